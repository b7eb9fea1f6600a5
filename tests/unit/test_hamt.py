"""Where names lie in a sharded folder. Hashes: as MurmurHash3.cpp has them."""

from __future__ import annotations

import pytest

from node.storage.ipfs import dagpb, hamt, unixfs
from node.storage.ipfs.cid import RAW, Cid
from node.storage.ipfs.dagpb import Link


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"", 0x0000000000000000),
        (b"a", 0x85555565F6597889),
        (b"12345678", 0x3B4A640638B1419C),
        (b"123456789", 0x3C84645EDB66CCA4),
        (b"fifteen-letters", 0xD33521F49F2BACA9),
        (b"sixteen-letters!", 0x239D64AF0118F9B1),
        (b"seventeen letters", 0x5FE570CC0F2090EF),
        (b"a name of more than thirty-two bytes", 0x14CA331A5625AFED),
        ("\u65e5\u672c".encode(), 0x86D4E77D78BE1786),
    ],
)
def test_names_have_the_hashes_of_the_original(name: bytes, expected: int) -> None:
    assert hamt.hashed(name) == expected


def test_a_place_is_the_first_bits_of_the_hash_a_slot_for_each_level() -> None:
    name = "n" * 40
    slots = hamt.hashed(name.encode()).to_bytes(8, "big")

    for level in range(8):
        assert hamt.path_of(name, 256, level).to_bytes(8, "big")[-level - 1 :] == slots[: level + 1]
    assert hamt.path_of(name, 8, 0) == slots[0] >> 5
    with pytest.raises(ValueError, match="too deep"):
        hamt.path_of(name, 256, 8)


def test_a_name_is_not_found_in_the_slot_of_another() -> None:
    place = hamt.path_of("there", 256, 0)
    other = next(name for name in map(str, range(10_000)) if hamt.path_of(name, 256, 0) == place)
    link = Link(Cid.of(b"", RAW), f"{place:02X}there", 0)
    node = unixfs.decode(dagpb.encode([link], unixfs.shard_data(1 << place, 256)))

    assert hamt.child_of(node, "there", 0) == (place, "there", link)
    assert hamt.child_of(node, other, 0) is None
