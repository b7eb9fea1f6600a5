"""Which bidders run a shard: rendezvous hashing over a salt that is drawn once the bids are in. Pure.

A node's place is the sha256 of the text ``<salt>|<job>|<shard>|<peer id>`` (salt and job in lower-case hex, shard in
decimal), smallest first. Nodes that can start at once stand before those that have to wait for room, and among either
those that hold the data before all others. Nobody knows the salt while bidding, so neither being fast nor choosing an
id buys a place (saying that one holds the data, or has room, does), and whoever has the salt can repeat the draw.
Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from node.model import Draw, JobId, PeerId


def lots(bidders: Iterable[PeerId], holders: Iterable[PeerId], salt: str, waiting: Iterable[PeerId] = ()) -> Draw:
    """The draw of a job, for all its shards; ``salt`` is the hex of 32 random bytes."""
    drawn = Draw(
        bidders=tuple(sorted(bidders)), holders=tuple(sorted(holders)), waiting=tuple(sorted(waiting)), salt=salt
    )
    assert len(set(drawn.bidders)) == len(drawn.bidders), "a node bids once"
    assert set(drawn.bidders).issuperset((*drawn.holders, *drawn.waiting))
    return drawn


def chosen(draw: Draw, job: JobId, shard: int, count: int) -> tuple[PeerId, ...]:
    """The ``count`` nodes that run this shard, of at least as many bidders, in the order of the draw."""
    assert 0 <= count <= len(draw.bidders)
    holders, waiting = frozenset(draw.holders), frozenset(draw.waiting)
    found: tuple[PeerId, ...] = ()
    for waits, holds in ((False, True), (False, False), (True, True), (True, False)):
        if len(found) < count:
            rank = (each for each in draw.bidders if (each in waiting) == waits and (each in holders) == holds)
            found += _by_place(rank, draw.salt, job, shard)
    return found[:count]


def _by_place(peers: Iterable[str], salt: str, job: JobId, shard: int) -> tuple[PeerId, ...]:
    prefix = hashlib.sha256(f"{salt}|{job}|{shard}|".encode())

    def place(peer: str) -> bytes:
        digest = prefix.copy()
        digest.update(peer.encode())
        return digest.digest()

    return tuple(map(PeerId, sorted(peers, key=place)))
