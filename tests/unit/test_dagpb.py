"""The dag-pb codec: written as Kubo writes it, read strictly, and never an error other than ValueError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import varint
from node.limits import BLOCK_BYTES_MAX, BLOCK_LINKS_MAX
from node.storage.ipfs import dagpb
from node.storage.ipfs.cid import DAG_PB, RAW, Cid
from node.storage.ipfs.dagpb import Link, Node

A = Cid.of(b"a", RAW)
HASH = b"\x0a\x24" + A.raw
links = st.builds(
    Link, st.sampled_from([A, Cid.of(b"", DAG_PB, version=0)]), st.text(max_size=5), st.integers(0, 2**64 - 1)
)


def _link(body: bytes) -> bytes:
    return b"\x12" + varint.encode(len(body)) + body


def test_links_come_first_and_are_sorted_by_the_bytes_of_their_names() -> None:
    block = dagpb.encode([Link(A, "é", 3), Link(A, "b", 2), Link(A, "Z", 1)], b"\x08\x01")

    assert [link.name for link in dagpb.decode(block).links] == ["Z", "b", "é"]
    assert block.endswith(b"\x0a\x02\x08\x01")


def test_links_of_one_name_stay_in_their_order() -> None:
    node = dagpb.decode(dagpb.encode([Link(A, "", 3), Link(A, "", 1), Link(A, "", 2)], b""))

    assert [link.tsize for link in node.links] == [3, 1, 2]


@given(st.lists(links, max_size=8), st.binary(max_size=300))
def test_what_is_written_comes_back(some: list[Link], data: bytes) -> None:
    node = dagpb.decode(dagpb.encode(some, data))

    assert node.data == data
    assert sorted(node.links, key=repr) == sorted(some, key=repr)


@given(links)
def test_size_of_a_link_is_what_it_adds_to_a_block(link: Link) -> None:
    assert len(dagpb.encode([link], b"")) - len(dagpb.encode([], b"")) == len(dagpb.encoded_link(link))


@given(st.binary(max_size=100), st.lists(links, max_size=3), st.integers(0, 200), st.integers(0, 255))
def test_bytes_are_a_node_or_a_value_error(junk: bytes, some: list[Link], at: int, byte: int) -> None:
    whole = dagpb.encode(some, junk)
    at %= len(whole)
    for block in (junk, whole[:at], whole[:at] + bytes((byte,)) + whole[at + 1 :]):
        try:
            dagpb.decode(block)
        except ValueError:
            continue


def test_data_may_come_before_links_as_old_blocks_have_it() -> None:
    assert dagpb.decode(b"\x0a\x01x" + _link(HASH)) == Node((Link(A, "", 0),), b"x")


@pytest.mark.parametrize(
    "block",
    [
        b"\x0a\x01x\x0a\x01y",
        _link(HASH) + b"\x0a\x01x" + _link(HASH),
        b"\x1a\x01x",
        b"\x08\x01",
        b"\x0a\x05x",
        b"\x0a\x02x",
        b"\x0a\x81\x00x",
        _link(b""),
        _link(b"\x12\x01n" + HASH),
        _link(HASH + HASH),
        _link(HASH + b"\x18\x01\x12\x01n"),
        _link(HASH + b"\x12\x01n\x12\x01n"),
        _link(HASH + b"\x20\x01"),
        _link(HASH + b"\x12\x01\xff"),
        _link(HASH + b"\x18" + b"\xff" * 10),
        _link(b"\x0a\x24" + b"\x01\x71" + A.raw[2:]),
    ],
)
def test_what_is_no_dag_pb_is_refused(block: bytes) -> None:
    with pytest.raises(ValueError, match=r"dag-pb|UTF-8|varint|codec"):
        dagpb.decode(block)


def test_blocks_with_too_many_links_are_refused_and_those_with_just_as_many_are_not() -> None:
    tiny = _link(b"\x0a\x04" + b"\x01\x55\x00\x00")

    assert len(dagpb.decode(tiny * BLOCK_LINKS_MAX).links) == BLOCK_LINKS_MAX
    with pytest.raises(ValueError, match="too many"):
        dagpb.decode(tiny * (BLOCK_LINKS_MAX + 1))


def test_blocks_over_the_limit_are_refused() -> None:
    with pytest.raises(ValueError, match="a block of"):
        dagpb.decode(b"\x0a" + varint.encode(BLOCK_BYTES_MAX) + bytes(BLOCK_BYTES_MAX))


@given(st.integers(0, 2**64 - 1))
def test_varints_come_back(value: int) -> None:
    raw = varint.encode(value)

    assert varint.decode(b"x" + raw + b"x", 1) == (value, 1 + len(raw))


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\x80\x00", b"\xff" * 9 + b"\x7f", b"\xff" * 11])
def test_varints_that_are_cut_padded_or_over_64_bits_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="varint"):
        varint.decode(raw, 0)
