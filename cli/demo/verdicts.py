"""What a job's end means, in words: who agreed, who did not. Pure.

Lives here: a job's view and the nodes' names in, lines out. Does not live here: the table while it runs (``cli.live``).
"""

from __future__ import annotations

from collections.abc import Mapping

from cli.outcome import only_shard, votes_of
from node.api.views import GroupView, JobView, VerdictView


def verdict_of(job: JobView) -> VerdictView | None:
    """The one of its one shard."""
    shard = only_shard(job)
    return None if shard is None else shard.verdict


def agreed(job: JobView) -> tuple[str, ...]:
    """Peers of the winning group; none without one."""
    verdict = verdict_of(job)
    won = [group for group in _groups(job) if verdict and group.hash == verdict.hash]
    return won[0].peers if job.state == "completed" and won else ()


def disagreed(job: JobView) -> tuple[str, ...]:
    """Peers that proposed something else than what won."""
    won = agreed(job)
    return tuple(peer for group in _groups(job) for peer in group.peers if won and peer not in won)


def lines(job: JobView, names: Mapping[str, str]) -> tuple[str, ...]:
    """The verdict, most important line first."""
    verdict, won = verdict_of(job), agreed(job)
    if verdict is not None and won:
        outvoted = [f"DISAGREED: {_named((peer,), names)} proposed {_hash_of(job, peer)}" for peer in disagreed(job)]
        return (f"VERIFIED: {len(won)} of {votes_of(verdict)} nodes agree on {verdict.hash}", *outvoted)
    if verdict is not None and verdict.kind == "not_verified":
        return (f"NOT VERIFIED: {verdict.reason}", *_group_lines(verdict, names))
    return (f"{job.state.upper().replace('_', ' ')}: {job.failure.reason if job.failure else 'no verdict'}",)


def _group_lines(verdict: VerdictView, names: Mapping[str, str]) -> list[str]:
    return [
        f"  group {number}: {len(group.peers)} of {votes_of(verdict)}: {_named(group.peers, names)}  {group.hash}"
        for number, group in enumerate(verdict.groups, 1)
    ]


def _groups(job: JobView) -> tuple[GroupView, ...]:
    verdict = verdict_of(job)
    return verdict.groups if verdict else ()


def _hash_of(job: JobView, peer: str) -> str:
    return next((group.hash for group in _groups(job) if peer in group.peers), "nothing")


def _named(peers: tuple[str, ...], names: Mapping[str, str]) -> str:
    return ", ".join(sorted(names.get(peer, peer) for peer in peers))
