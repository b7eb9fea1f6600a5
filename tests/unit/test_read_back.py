"""What a manifest says of an exit code. What it takes to read a published folder back is in the simulation."""

from __future__ import annotations

import pytest
from doubles.hostile import manifest_for

from node.requester.read_back import exit_code_of


@pytest.mark.parametrize(
    ("text", "code"),
    [(b"0", 0), (b"7", 7), (b"255", 255), (b"256", None), (b"00", None), (b"-1", None), (b"0\n", None), (b"", None)],
)
def test_an_exit_code_is_known_by_the_hash_that_won(text, code):
    assert exit_code_of(manifest_for({"exitCode": text, "stdout": b"1"})[0]) == code


def test_only_the_file_at_the_top_is_the_exit_code():
    assert exit_code_of(manifest_for({"outputs/exitCode": b"1", "stdout": b"1"})[0]) is None
