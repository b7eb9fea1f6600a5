"""Which bytes of a file a request asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.api.ranges import Beyond, Part, Unchanged, Whole, etag, select

TAG = etag("ab" * 32)


def selected(wanted, size=10, if_range=None, if_none_match=None):
    return select(TAG, size, wanted=wanted, if_range=if_range, if_none_match=if_none_match)


CASES = [
    (None, 10, Whole()),
    ("bytes=0-0", 10, Part(0, 0)),
    ("bytes=0-9", 10, Part(0, 9)),
    ("bytes=3-", 10, Part(3, 9)),
    ("bytes=9-", 10, Part(9, 9)),
    ("bytes=0-99", 10, Part(0, 9)),
    ("bytes=-3", 10, Part(7, 9)),
    ("bytes=-10", 10, Part(0, 9)),
    ("bytes=-99", 10, Part(0, 9)),
    ("BYTES = 1-2 ", 10, Part(1, 2)),
    ("bytes=10-", 10, Beyond()),
    ("bytes=10-20", 10, Beyond()),
    ("bytes=-0", 10, Beyond()),
    ("bytes=0-", 0, Beyond()),
    ("bytes=-1", 0, Beyond()),
    # Malformed or not served: as if it were not there.
    ("bytes=5-2", 10, Whole()),
    ("bytes=-", 10, Whole()),
    ("bytes=", 10, Whole()),
    ("bytes=a-b", 10, Whole()),
    ("bytes=0-1,3-4", 10, Whole()),
    ("items=0-1", 10, Whole()),
    ("bytes=0-1;", 10, Whole()),
    ("bytes=\u0661-\u0662", 10, Whole()),
    ("bytes=" + "9" * 5000 + "-", 10, Whole()),
]


@pytest.mark.parametrize(("wanted", "size", "expected"), CASES)
def test_ranges(wanted, size, expected):
    assert selected(wanted, size) == expected


@pytest.mark.parametrize(
    ("if_range", "expected"),
    [
        (TAG, Part(1, 2)),
        (f" {TAG} ", Part(1, 2)),
        ('"other"', Whole()),
        (f"W/{TAG}", Whole()),
        ("Sat, 21 Nov 2026 12:47:23 GMT", Whole()),
        ("", Whole()),
    ],
)
def test_a_part_is_for_those_who_have_the_rest_of_the_same_file(if_range, expected):
    assert selected("bytes=1-2", if_range=if_range) == expected


@pytest.mark.parametrize(
    ("if_none_match", "expected"),
    [
        (TAG, Unchanged()),
        (f"W/{TAG}", Unchanged()),
        (f'"x", {TAG}', Unchanged()),
        ("*", Unchanged()),
        ('"x"', Whole()),
        ("", Whole()),
    ],
)
def test_what_the_caller_has_is_not_sent_again(if_none_match, expected):
    assert selected(None, if_none_match=if_none_match) == expected


@given(st.integers(0, 50), st.one_of(st.none(), st.integers(0, 60)), st.one_of(st.none(), st.integers(0, 60)))
def test_any_range_is_what_python_would_slice(size, first, last):
    wanted = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    content = bytes(range(size))
    match selected(wanted, size):
        case Part(start, end):
            assert 0 <= start <= end < size
            expected = content[-last:] if first is None else content[first : None if last is None else last + 1]
            assert content[start : end + 1] == expected
        case Beyond():
            assert (last == 0 or size == 0) if first is None else first >= size
        case other:
            assert other == Whole()
            assert (first is None and last is None) or (first is not None and last is not None and last < first)


@given(st.text(max_size=60), st.integers(0, 100))
def test_no_header_breaks_it(header, size):
    selected(header, size, if_range=header, if_none_match=header)
    selected(f"bytes={header}", size)
