"""How a shard and a job end, in records and in words. Pure."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from operator import attrgetter
from typing import assert_never

import msgspec

from node.journal.records import ExecutionRecord, Failure, Group, Tally, VerdictRecord
from node.model import EXIT_CODE
from node.requester.life import Ended, Trouble, Working
from node.verifier.base import Verdict
from node.verifier.manifest import PREFIX, Manifest
from node.verifier.vote import NotVerified, Unchecked, Verified

_EXIT_CODES = {hashlib.sha256(str(code).encode()).hexdigest(): code for code in range(256)}


def judged(run: ExecutionRecord, verdict: VerdictRecord) -> ExecutionRecord:
    """The run with its side of the vote; runs without a proposal have none. Equal hashes share their text."""
    if run.state != "proposed":
        return run
    agreed = run.hash == verdict.hash != ""  # Without a winner it is empty.
    return msgspec.structs.replace(run, agreed=agreed, hash=verdict.hash if agreed else run.hash)


def stopped(run: ExecutionRecord, failure: Failure | None) -> ExecutionRecord:
    """The run when its job is over; one that had ended stays as it was."""
    if run.state in ("proposed", "failed"):
        return run
    if failure is not None:
        return msgspec.structs.replace(run, state="failed", code="late", reason=failure.reason)
    return msgspec.structs.replace(run, state="failed", code="cancelled", reason="the owner cancelled the job")


def verdict_record(verdict: Verdict) -> VerdictRecord:
    """A verdict as it is kept and shown."""
    groups = tuple(Group(hash=group.hash, peers=group.peers) for group in verdict.groups)
    match verdict:
        case Verified(winner):
            return VerdictRecord(kind="verified", hash=winner, groups=groups)
        case Unchecked(winner):
            return VerdictRecord(kind="unchecked", hash=winner, groups=groups)
        case NotVerified(reason):
            return VerdictRecord(kind="not_verified", groups=groups, reason=reason)


def verdict_text(verdict: VerdictRecord) -> str:
    """A verdict in a line."""
    sizes = [len(group.peers) for group in verdict.groups]
    match verdict.kind:
        case "verified":
            return f"verified: {sizes[0]} of {sum(sizes)} agree on {verdict.hash}"
        case "unchecked":
            return f"not checked (noop): {verdict.hash}"
        case "not_verified":
            camps = f" (groups of equal results: {', '.join(map(str, sizes))})" if len(sizes) > 1 else ""
            return f"not verified: {verdict.reason}{camps}"
        case _:
            assert_never(verdict.kind)


def most_first(item: tuple[object, int]) -> tuple[int, str]:
    """The order of reasons that were counted."""
    return -item[1], str(item[0])


def failure_of_all(executions: tuple[ExecutionRecord, ...]) -> Failure:
    """Why there is nothing to vote on."""
    reasons = Counter((run.code, run.reason) for run in executions)
    (code, reason), count = min(reasons.items(), key=most_first)
    text = f"no execution gave a result: {count} of {len(executions)} ended with {code}: {reason}"
    timed_out = all(run.code in ("time", "late") for run in executions)
    return Failure(code="time" if timed_out else "executions", reason=text)


def exit_code_of(manifest: Manifest) -> int | None:
    """By the hash of its file, if that says what an exit code can be: the file may be a peer's, and may change."""
    name = f"{PREFIX}/{EXIT_CODE}"
    at = bisect_left(manifest.lines, name, key=attrgetter("name"))
    found = manifest.lines[at : at + 1]
    return _EXIT_CODES.get(found[0].sha256) if found and found[0].name == name else None


def end_of_all(state: Working, shards: int) -> Ended:
    """How a job ends whose shards are all settled: failed if one failed, else not verified if one was not."""
    failed, not_verified = state.failed, state.not_verified
    if failed is not None:
        assert failed.failure is not None
        reason = _of_shards(failed, "failed", state.tally, shards)
        failure = Failure(code=failed.failure.code, reason=reason)
        return ended_as(state, "failed", failure=failure, reason=reason)
    if not_verified is not None:
        return ended_as(state, "not_verified", reason=_of_shards(not_verified, "not_verified", state.tally, shards))
    return ended_as(state, "completed")


def ended_as(state: Working, end: str, failure: Failure | None = None, reason: str = "") -> Ended:
    """How the job ends, with what it knows by now."""
    return Ended(
        state=end,  # type: ignore[arg-type]
        answers=state.answers,
        tally=state.tally,
        draw=state.draw,
        failure=failure,
        reason=reason,
    )


def totals(tally: Tally) -> str:
    """How many shards are in which state, in words."""
    counts = msgspec.structs.asdict(tally)
    return ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in counts.items() if count)


def moved(tally: Tally, before: str, after: str) -> Tally:
    """One shard went from one state to another."""
    changes = {before: getattr(tally, before) - 1, after: getattr(tally, after) + 1}
    return msgspec.structs.replace(tally, **changes)


def all_over(tally: Tally, state: str) -> Tally:
    """Every shard that is not settled ends like this."""
    left = tally.waiting + tally.running + tally.handing_over
    changes = {"waiting": 0, "running": 0, "handing_over": 0, state: getattr(tally, state) + left}
    return msgspec.structs.replace(tally, **changes)


def _of_shards(first: Trouble, state: str, tally: Tally, shards: int) -> str:
    if shards == 1:
        return first.reason
    words = f"{getattr(tally, state)} of {shards} shards {'failed' if state == 'failed' else 'were not verified'}"
    return f"{words}; shard {first.shard}: {first.reason}"
