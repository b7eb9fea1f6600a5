"""Which bidders run a shard: rendezvous hashing over a salt that is drawn once the bids are in. Pure.

A node's place is the sha256 of the text ``<salt>|<job>|<shard>|<peer id>`` (salt and job in lower-case hex, shard in
decimal), smallest first; nodes that hold the data stand before all others. Nobody knows the salt while bidding, so
neither being fast nor choosing an id buys a place (saying that one holds the data does), and whoever has the salt can
repeat the draw. Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from node.model import Draw, JobId, PeerId


def lots(bidders: Iterable[PeerId], holders: Iterable[PeerId], salt: str) -> Draw:
    """The draw of a job, for all its shards; ``salt`` is the hex of 32 random bytes."""
    drawn = Draw(bidders=tuple(sorted(bidders)), holders=tuple(sorted(holders)), salt=salt)
    assert len(set(drawn.bidders)) == len(drawn.bidders), "a node bids once"
    assert set(drawn.bidders).issuperset(drawn.holders)
    return drawn


def chosen(draw: Draw, job: JobId, shard: int, count: int) -> tuple[PeerId, ...]:
    """The ``count`` nodes that run this shard, of at least as many bidders, in the order of the draw."""
    assert 0 <= count <= len(draw.bidders)
    holders = _by_place(draw.holders, draw.salt, job, shard)
    if len(holders) >= count:
        return holders[:count]
    held = frozenset(holders)
    others = _by_place((peer for peer in draw.bidders if peer not in held), draw.salt, job, shard)
    return (*holders, *others)[:count]


def _by_place(peers: Iterable[str], salt: str, job: JobId, shard: int) -> tuple[PeerId, ...]:
    prefix = hashlib.sha256(f"{salt}|{job}|{shard}|".encode())

    def place(peer: str) -> bytes:
        digest = prefix.copy()
        digest.update(peer.encode())
        return digest.digest()

    return tuple(map(PeerId, sorted(peers, key=place)))
