"""Where names lie in a sharded folder. Hashes: as MurmurHash3.cpp has them."""

from __future__ import annotations

import pytest

from node.storage.ipfs import hamt


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
