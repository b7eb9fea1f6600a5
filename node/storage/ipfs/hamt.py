"""Folders too large for one block: hash array mapped tries, laid out as Kubo does (``boxo/ipld/unixfs/hamt``).

A name's place is its hash, a few bits for each level. A link is named by its slot in hex; the name follows when it
leads to an entry, and nothing follows when it leads to a further shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from node.storage.ipfs import unixfs
from node.storage.ipfs.dagpb import Link

FANOUT = 256  # of what we write
HASH_BITS = 64

_HEX = frozenset("0123456789ABCDEF")
_MASK = (1 << 64) - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F

Made = Callable[[list[Link], bytes], Link]
"""Makes one block of links and data, and gives a nameless link to it."""


class Slot(NamedTuple):
    """A link of a shard. ``name``: of the entry, or empty when it leads to a further shard."""

    place: int
    name: str
    link: Link


def shard(entries: Sequence[Link], made: Made) -> Link:
    """A sharded folder of these entries. Raises ValueError when names collide in all their 64 bits."""
    return _shard([(hashed(entry.name.encode()), entry) for entry in entries], made, HASH_BITS - 8)


def slots_of(node: unixfs.Node) -> Iterator[Slot]:
    """The links of a shard, in their order. Raises ValueError for a link that is not in its slot."""
    digits, bits = len(f"{node.fanout - 1:X}"), int.from_bytes(node.data, "big")
    last = -1
    for link in node.links:
        prefix = link.name[:digits]
        place = int(prefix, 16) if len(prefix) == digits and _HEX.issuperset(prefix) else -1
        if place <= last or not bits >> place & 1:
            raise ValueError(f"a sharded folder with a link {link.name[:300]!r} that is not in its slot")
        last = place
        yield Slot(place, link.name[digits:], link)


def path_of(name: str, fanout: int, level: int) -> int:
    """The slots of a name down to this level, as one number. Raises ValueError below the last level."""
    bits = (level + 1) * (fanout.bit_length() - 1)
    if bits > HASH_BITS:
        raise ValueError("a sharded folder that is too deep")
    return hashed(name.encode()) >> (HASH_BITS - bits)


def child_of(node: unixfs.Node, name: str, level: int) -> Slot | None:
    """The slot where a name is, or where the shard is that has it. Raises ValueError."""
    place = path_of(name, node.fanout, level) & (node.fanout - 1)
    return next((slot for slot in slots_of(node) if slot.place == place and slot.name in ("", name)), None)


def hashed(name: bytes) -> int:
    """The first 64 bits of murmur3 x64 128, seed 0 (Austin Appleby's MurmurHash3.cpp)."""
    first = second = 0
    whole = len(name) & ~15
    for at in range(0, whole, 16):
        first ^= _mixed(int.from_bytes(name[at : at + 8], "little"), _C1, 31, _C2)
        first = (_rotated(first, 27) + second) * 5 + 0x52DCE729 & _MASK
        second ^= _mixed(int.from_bytes(name[at + 8 : at + 16], "little"), _C2, 33, _C1)
        second = (_rotated(second, 31) + first) * 5 + 0x38495AB5 & _MASK
    first ^= _mixed(int.from_bytes(name[whole : whole + 8], "little"), _C1, 31, _C2)
    second ^= _mixed(int.from_bytes(name[whole + 8 :], "little"), _C2, 33, _C1)
    first ^= len(name)
    second ^= len(name)
    first = first + second & _MASK
    second = second + first & _MASK
    return _finished(first) + _finished(second) & _MASK


def _shard(entries: Sequence[tuple[int, Link]], made: Made, shift: int) -> Link:
    if shift < 0:
        raise ValueError("the names of a folder collide: it cannot be sharded")
    slots: dict[int, list[tuple[int, Link]]] = {}
    for entry in entries:
        slots.setdefault(entry[0] >> shift & 0xFF, []).append(entry)
    links = []
    for place, inside in sorted(slots.items()):
        link = inside[0][1] if len(inside) == 1 else _shard(inside, made, shift - 8)
        links.append(link._replace(name=f"{place:02X}{link.name}"))
    return made(links, unixfs.shard_data(sum(1 << place for place in slots), FANOUT))


def _mixed(word: int, by: int, turn: int, then: int) -> int:
    word = word * by & _MASK
    return ((word << turn | word >> (64 - turn)) & _MASK) * then & _MASK


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & _MASK


def _finished(word: int) -> int:
    word = (word ^ word >> 33) * 0xFF51AFD7ED558CCD & _MASK
    word = (word ^ word >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return word ^ word >> 33
