"""The demo's liar: a lie is never the truth, and always the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cli.demo.liar import falsified


def test_the_first_number_is_one_more() -> None:
    assert falsified(b"about 1790 files, 31 bytes\n") == b"about 1791 files, 31 bytes\n"


@given(st.binary())
def test_whatever_was_said_is_falsified(output: bytes) -> None:
    assert falsified(output) != output
