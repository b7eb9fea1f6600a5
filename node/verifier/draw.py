"""Which bidders run a shard: rendezvous hashing over a salt that is drawn once the bids are in. Pure.

A node's place is the sha256 of the text ``<salt>|<job>|<shard>|<peer id>`` (salt and job in lower-case hex, shard in
decimal), smallest first. Nobody knows the salt while bidding, so neither being fast nor choosing an id buys a place,
and whoever has the salt can repeat the draw. Source: Thaler and Ravishankar, "Using name-based mappings to increase hit
rates", 1998.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from node.model import Draw, JobId, PeerId


def draw(bidders: Iterable[PeerId], salt: str, job: JobId, shard: int, count: int) -> Draw:
    """Choose ``count`` of at least as many distinct bidders; ``salt`` is the hex of 32 random bytes."""
    names = sorted(bidders)
    assert len(set(names)) == len(names), "a node bids once"
    assert 0 <= count <= len(names)
    order = sorted(names, key=lambda peer: hashlib.sha256(f"{salt}|{job}|{shard}|{peer}".encode()).digest())
    return Draw(bidders=tuple(names), salt=salt, chosen=tuple(order[:count]))


def chosen(drawn: Draw, job: JobId, shard: int, count: int) -> tuple[PeerId, ...]:
    """The nodes of a shard, in their order: those that hold the data before others."""
    holders = set(drawn.holders)

    def place(peer: str) -> tuple[bool, bytes]:
        return peer not in holders, hashlib.sha256(f"{drawn.salt}|{job}|{shard}|{peer}".encode()).digest()

    return tuple(PeerId(peer) for peer in sorted(drawn.bidders, key=place)[:count])
