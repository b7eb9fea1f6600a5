"""Which files are asked for together: small neighbours that are not there yet, as many as a node gives at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.joined import SMALL_BYTES, TOGETHER_MIN, runs
from node import limits
from node.api.views import FileView


def files(*sizes: int) -> list[FileView]:
    return [FileView(name=f"{number:05}", size=size, sha256="") for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((), []),
        ((1,) * (TOGETHER_MIN - 1), []),
        ((1,) * TOGETHER_MIN, [range(TOGETHER_MIN)]),
        ((SMALL_BYTES,) * TOGETHER_MIN, [range(TOGETHER_MIN)]),
        ((SMALL_BYTES + 1,) * TOGETHER_MIN, []),
        ((0,) * 20 + (SMALL_BYTES + 1,) + (0,) * 20, [range(20), range(21, 41)]),
        ((1,) * (2 * limits.FILES_JOINED_MAX + 3), [range(1000), range(1000, 2000)]),
    ],
)
def test_small_neighbours_come_together(tmp_path: Path, sizes: tuple[int, ...], expected: list[range]) -> None:
    assert list(runs(files(*sizes), tmp_path)) == expected


def test_what_is_there_already_does_not_come_again(tmp_path: Path) -> None:
    (tmp_path / "00020").symlink_to("nowhere")
    assert list(runs(files(*(1,) * 41), tmp_path)) == [range(20), range(21, 41)]
