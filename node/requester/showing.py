"""Whose output a client is shown: of each shard one execution's alone, for as long as its vote is open. Pure.

Whoever could compare two runs before all have proposed would know how the vote goes, and a node that is its own client
would know what to propose. So the first one that is shown stays the one until the vote is closed.
Does not live here: the bytes (``node.requester.tailing``).
"""

from __future__ import annotations

from collections.abc import Sequence

from node.errors import Conflict, NotFound
from node.journal.records import ExecutionRecord, JobRecord, ShardRecord
from node.model import ExecutionId, NonePublisher, VaultPublisher
from node.requester.life import Running


def while_open(state: Running, asked: str, shown: ExecutionId | None) -> ExecutionRecord | None:
    """The execution to show; None until one has started. ``asked``: the beginning of an id, "" for any.

    ``shown``: the one whose output has been shown already. Raises NotFound, Conflict.
    """
    if shown is not None and not shown.startswith(asked):
        raise Conflict(
            f"the vote over shard {state.shard} is open, and until it is closed the output of one execution is shown:"
            f" that of {shown}"
        )
    if shown is not None or asked:
        return _named(state.executions, state.shard, shown or asked)
    begun = {run.execution: run for run in state.executions if run.state in ("running", "proposed")}
    return next((begun[execution] for execution in state.started if execution in begun), None)


def once_closed(shard: ShardRecord, asked: str, shown: ExecutionId | None) -> ExecutionRecord | None:
    """The same when the vote is over: any may be asked for, else it is the one shown before, else one that won.

    None where there is none. Raises NotFound, Conflict.
    """
    if asked:
        return _named(shard.executions, shard.shard, asked)
    source = None if shard.results is None else shard.results.peer
    ranked = (
        [run for run in shard.executions if run.execution == shown],
        [run for run in shard.executions if run.peer == source],
        [run for run in shard.executions if run.agreed],
    )
    return next((run for runs in ranked for run in runs), None)


def is_kept_output(run: ExecutionRecord, shard: ShardRecord, record: JobRecord) -> bool:
    """Whether the streams that are kept of a shard are, byte for byte, those of this execution."""
    assert shard.results is not None
    return run.peer == shard.results.peer or (run.agreed is True and record.spec.vote_on == "all")


def why_not_kept(record: JobRecord, shard: ShardRecord) -> str | None:
    """Why the node that was asked has no output of a shard of a job that has ended; None when it has."""
    publisher = record.spec.publisher
    if shard.results is None or record.results is None:
        reason = shard.failure.reason if shard.failure else shard.verdict.reason if shard.verdict else record.reason
        return f"nothing is kept of its output: {shard.state.replace('_', ' ')}{f' ({reason})' if reason else ''}"
    if isinstance(publisher, NonePublisher):
        return "nothing is kept of its output: the job has publisher none"
    if not isinstance(publisher, VaultPublisher):
        return f"its output is published with the results, at {shard.results.location}"
    return None


def kept_as(record: JobRecord, shard: ShardRecord) -> str:
    """What the output that is kept of a shard is worth."""
    assert shard.results is not None
    if record.spec.verifier == "noop":
        return f"kept, as {shard.results.peer} says: nothing was compared"
    if record.spec.vote_on == "outputs":
        return f"kept, as {shard.results.peer} says: it was not voted on"
    return "kept: it won the vote"


def _named(runs: Sequence[ExecutionRecord], shard: int, asked: str) -> ExecutionRecord:
    found = [run for run in runs if run.execution.startswith(asked)]
    if not found:
        raise NotFound(f"no execution {asked!r} of shard {shard}; `job describe` lists them, by shard")
    if len(found) > 1:
        raise Conflict(f"{asked!r} is the beginning of several execution ids; give more of it")
    return found[0]
