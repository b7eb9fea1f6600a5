"""The vote over the hashes of one shard. Pure.

The rules are those of Bacalhau 0.2: the largest group of equal hashes wins, unless another is as large, or there was
one proposal in all, or what won is the empty hash (a proposal that did not open), or fewer than ``confidence`` agree.
One node has one vote because votes are a mapping.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from node.model import Deal, DirHash, PeerId


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that proposed the same hash, sorted."""

    hash: DirHash
    peers: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """``hash`` won; the members of its group are the winners."""

    hash: DirHash
    winners: tuple[PeerId, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class NotVerified:
    """Nobody won, because."""

    reason: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Nothing was compared: ``hash`` is the word of ``source`` alone."""

    hash: DirHash
    source: PeerId
    groups: tuple[Group, ...]


def resolved(deal: Deal) -> int:
    """The confidence that a deal asks for: the majority of ``concurrency`` when none is given, else what is given."""
    return deal.concurrency // 2 + 1 if deal.confidence is None else deal.confidence


def grouped(proposals: Mapping[PeerId, DirHash]) -> tuple[Group, ...]:
    """Who agrees with whom: the largest group first, equally large ones by their hash."""
    peers: defaultdict[DirHash, list[PeerId]] = defaultdict(list)
    for peer, value in proposals.items():
        peers[value].append(peer)
    groups = [Group(value, tuple(sorted(members))) for value, members in peers.items()]
    return tuple(sorted(groups, key=_largest_first))


def tally(proposals: Mapping[PeerId, DirHash], *, confidence: int) -> Verified | NotVerified:
    """Count the votes. ``confidence`` 0 asks for the plurality and no more."""
    assert confidence >= 0
    groups = grouped(proposals)
    if not groups:
        return NotVerified("no node proposed a result", groups)
    if len(proposals) == 1:
        return NotVerified("only one node proposed a result, so there is nothing to compare it with", groups)
    first, *others = groups
    size = len(first.peers)
    if others and len(others[0].peers) == size:
        tied = sum(len(group.peers) == size for group in groups)
        return NotVerified(f"a draw: {tied} groups of {size} for the most votes", groups)
    if not first.hash:
        return NotVerified(f"most proposals ({size} of {len(proposals)}) could not be opened", groups)
    if size < confidence:
        return NotVerified(f"{size} of {len(proposals)} agree where {confidence} must", groups)
    return Verified(first.hash, first.peers, groups)


def _largest_first(group: Group) -> tuple[int, DirHash]:
    return -len(group.peers), group.hash
