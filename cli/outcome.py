"""How a job ended, in sentences: what it is, why, what to do next. Pure.

Does not live here: everything else about a job (``cli.describe``), exit codes (``cli.exits``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cli import exits
from cli.exits import Exit
from cli.output import program, short_job, short_peer
from node.api.views import JobView, ShardView, VerdictView
from node.model import NonePublisher, VaultPublisher

ENDED = frozenset({"completed", "not_verified", "failed", "cancelled"})
TROUBLED = frozenset({"failed", "not_verified"})

UNVOTED = "stdout and stderr were not voted on: they are the word of the node that handed them over"

_WHY_MAX = 20  # Lines about a job; ``describe`` has more.

_AFTER_FAILURE = {  # What to do.
    "bids": "`{program} peers` shows who is there; ask for fewer with --concurrency and --min-bids, or wait longer with"
    " --bid-timeout",
    "bids/data": "check what -v, -i and -u name: too few nodes can have it",
    "bids/resources": "ask for less with --cpu, --memory, --gpu and --timeout",
    "bids/disk": "ask for less with --disk",
    "bids/full": "the nodes are busy: submit it again later",
    "bids/policy": "leave out what the nodes' operators do not allow, or ask them to allow it",
    "bids/engine": "change what the nodes cannot run, or join nodes that can; `{program} peers` shows who is there",
    "bids/verifier": "choose a verifier that the nodes have with --verifier",
    "bids/internal": "the nodes had trouble of their own: submit it again later",
    "time": "give it longer with --timeout",
    "hand_over": "submit it again",
    "restart": "submit it again",
    "room": "make room on the node (its data folder is full), then submit it again",
}

_AFTER_SILENCE = {  # What to do where nobody disagreed and too few proposed anything, by why most of the others failed.
    "time": "give it longer with --timeout",
    "cpu": "give it longer with --timeout",
    "memory": "give it more with --memory",
    "lost": "nodes went away: submit it again",
    "late": "nodes did not answer in time: submit it again",
    "full": "nodes had no room after all: submit it again later",
}
_AGAIN = "too few nodes came to a result: submit it again when you have seen why"

_DESCRIBED = {  # What a description shows of a failure.
    "executions": "what each node said",
    "time": "what each node said",
    "hand_over": "who did not hand over what it had proposed",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """For people: the headline, reasons line by line, what to do next, and what ``job describe`` has to say."""

    exit: Exit
    headline: str
    why: tuple[str, ...]
    advice: str
    described: str

    @property
    def next_step(self) -> str:
        """Both, for those who do not read a description."""
        return f"{self.advice}{'; ' if self.advice and self.described else ''}{self.described}"


def outcome_of(job: JobView) -> Outcome:
    """Of a job that has ended."""
    code = exits.of_job(job.state, None if job.failure is None else job.failure.code)
    why = list(_why(job))
    if len(why) > _WHY_MAX:
        why[_WHY_MAX:] = [f"… and more: `{program()} job describe {short_job(job.id)}`"]
    shown = _in_description(job)
    described = f"`{program()} job describe {short_job(job.id)}` {shown}" if shown else ""
    return Outcome(code, _headline(job), tuple(why), _advice(job), described)


def votes_of(verdict: VerdictView) -> int:
    """How many proposals were counted."""
    return sum(len(group.peers) for group in verdict.groups)


def agreed_of(verdict: VerdictView) -> int:
    """How many of them were for what won."""
    return next((len(group.peers) for group in verdict.groups if group.hash == verdict.hash), 0)


def only_shard(job: JobView) -> ShardView | None:
    """The shard of a job that has one, once something is known of it."""
    return job.details[0] if job.shards == 1 and job.details else None


def kept_by_node(job: JobView) -> bool:
    """Whether the node has the results for download; else they are published, or nobody keeps them."""
    return isinstance(job.spec.publisher, VaultPublisher)


def kept_word(job: JobView) -> str:
    """What becomes of results that won, in a word."""
    if isinstance(job.spec.publisher, NonePublisher):
        return "won"
    return "kept" if kept_by_node(job) else "published"


def counted(job: JobView) -> str:
    """How many shards are in which state, in words: ``8 completed, 2 failed``."""
    tally = {state: getattr(job.tally, state) for state in job.tally.__struct_fields__}
    return ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in tally.items() if count)


def _headline(job: JobView) -> str:
    match job.state:
        case "completed" if job.spec.verifier == "deterministic":
            return f"Verified: {_agreement(job)}"
        case "completed":
            word = "the result is one node's word" if job.shards == 1 else "each result is one node's word"
            return f"Done, not checked: {word} (verifier noop)"
        case "not_verified":
            return f"Not verified: {_reason(job, 'the nodes did not agree')}"
        case "failed":
            return f"Failed: {_reason(job, 'the node gave no reason')}"
        case "cancelled":
            return "Cancelled"
        case other:
            return f"Not ended yet ({other})"


def _agreement(job: JobView) -> str:
    """Who agreed on what, or how many shards there are."""
    shard = only_shard(job)
    verdict = None if shard is None else shard.verdict
    if shard is None or verdict is None:
        return f"{job.tally.completed} of {job.shards} shards, each by a vote of its own"
    return f"{agreed_of(verdict)} of {len(shard.executions)} nodes agree on {verdict.hash}"


def _reason(job: JobView, otherwise: str) -> str:
    shard = only_shard(job)
    of_verdict = "" if shard is None or shard.verdict is None else shard.verdict.reason
    of_failure = "" if job.failure is None else job.failure.reason
    return of_failure or of_verdict or job.reason or otherwise


def _why(job: JobView) -> Iterator[str]:
    if job.tally.completed and job.spec.vote_on == "outputs":
        yield UNVOTED
    if job.shards == 1:
        for shard in job.details:
            yield from why_of(shard, job.state)
        return
    if job.state != "completed":
        yield f"{job.shards} shards: {counted(job)}"
    for shard in job.details:
        if shard.state in TROUBLED:
            yield f"shard {shard.shard}: {reason_of(shard)}"
        else:
            yield from (f"shard {shard.shard}: {line}" for line in why_of(shard, job.state))


def reason_of(shard: ShardView) -> str:
    """Why a shard has no result, in a line."""
    if shard.failure is not None:
        return f"failed: {shard.failure.reason}"
    said = f": {shard.verdict.reason}" if shard.verdict is not None and shard.verdict.reason else ""
    return f"{shard.state.replace('_', ' ')}{said}"


def why_of(shard: ShardView, job_state: str) -> Iterator[str]:
    """What is worth telling of a shard: who did not agree, who lied, who gave nothing."""
    verdict = shard.verdict
    if verdict is not None and (shard.state == "not_verified" or len(verdict.groups) > 1):
        yield from (_group(verdict, index) for index in range(len(verdict.groups)))
    for run in shard.executions:
        if run.lied is not None:
            yield f"liar: {short_peer(run.peer)} won the vote and handed over something else: {run.lied}"
        elif run.agreed is False and verdict is not None and verdict.kind == "verified":
            yield f"disagreed: {short_peer(run.peer)} ({run.peer})"
        elif run.state == "failed" and job_state != "cancelled" and len(shard.executions) > 1:
            yield f"no result from {short_peer(run.peer)}: {run.code}: {run.reason}"
    if shard.results is not None and shard.results.exit_code not in (None, 0):
        yield f"the program ended with exit code {shard.results.exit_code}"


def _group(verdict: VerdictView, index: int) -> str:
    group = verdict.groups[index]
    peers = ", ".join(map(short_peer, group.peers))
    return f"{len(group.peers)} of {votes_of(verdict)}: {group.hash or '(unreadable)'} by {peers}"


def _advice(job: JobView) -> str:
    name = short_job(job.id)
    if job.results is not None and kept_word(job) == "won":
        return f"`{program()} job receipt {name}` proves the vote; nobody keeps the files (publisher none)"
    if job.results is not None and not kept_by_node(job):
        return f"`{program()} job receipt {name}` fetches what proves them"
    if job.results is not None:
        what = "the results" if job.state == "completed" else "what was won"
        return f"`{program()} job get {name}` downloads {what}"
    if job.state == "not_verified":
        return _after_vote(job)
    if job.failure is not None:
        step = _AFTER_FAILURE.get(_cause(job), "") or _AFTER_FAILURE.get(job.failure.code, "")
        return step.format(program=program())
    return ""


def _after_vote(job: JobView) -> str:
    """Whether nodes disagreed, or too few proposed anything: then it says nothing of the program."""
    undecided = [shard for shard in job.details if shard.state == "not_verified"]
    if not undecided or any(shard.verdict and len(shard.verdict.groups) > 1 for shard in undecided):
        return "is the program deterministic? The clock, randomness and the order of listings differ between nodes"
    failed = Counter(run.code for shard in undecided for run in shard.executions if run.code is not None)
    return _AFTER_SILENCE.get(failed.most_common(1)[0][0], _AGAIN) if failed else _AGAIN


def _in_description(job: JobView) -> str:
    if job.results is not None:
        return "says where they are" if kept_word(job) == "published" else ""
    if job.state == "not_verified":
        return "shows who said what"
    shown = "" if job.failure is None or job.state != "failed" else _DESCRIBED.get(job.failure.code, "")
    return f"shows {shown}" if shown else ""


def _cause(job: JobView) -> str:
    """Why bids were missing, if most nodes that declined had the same reason: ``bids/data``."""
    declined = Counter(answer.code for answer in job.answers if answer.code is not None)
    return f"bids/{declined.most_common(1)[0][0]}" if declined and job.failure and job.failure.code == "bids" else ""
