"""What clients rely on by name stands in ``docs/api.md``: states, events, codes, and the fields of a spec."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from node.journal.records import EventKind, JobFailureCode, JobState, ShardState
from node.model import Deal, DeclineCode, DockerEngine, FailureCode, JobSpec, Resources, Sharding, WasmEngine

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


@pytest.mark.parametrize("words", [EventKind, JobFailureCode, JobState, ShardState, DeclineCode, FailureCode])
def test_every_word_of_a_closed_set_is_told(words: object) -> None:
    assert [word for word in get_args(words) if f"`{word}`" not in TEXT] == []


@pytest.mark.parametrize("record", [JobSpec, Deal, Resources, Sharding, WasmEngine, DockerEngine])
def test_every_field_of_a_spec_is_told(record: type[JobSpec]) -> None:
    names = [name for name in record.__struct_fields__ if name != "version"]  # Of which there is one.
    assert [name for name in names if f"`{name}`" not in TEXT and f'"{name}"' not in TEXT] == []
