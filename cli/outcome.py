"""How a job ended, in sentences: what it is, why, what to do next. Pure.

Does not live here: everything else about a job (``cli.describe``), exit codes (``cli.exits``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from cli import exits
from cli.exits import Exit
from cli.output import program, short_job, short_peer
from node.api.views import JobView, VerdictView

ENDED = frozenset({"completed", "not_verified", "failed", "cancelled"})

_AFTER_FAILURE = {
    "bids": "`{program} peers` shows who is there; ask for fewer with --concurrency and --min-bids, or wait longer with"
    " --bid-timeout",
    "bids/data": "check the CID of -v and -i: too few nodes hold it",
    "bids/resources": "ask for less with --cpu and --memory",
    "bids/disk": "ask for less with --disk",
    "bids/full": "the nodes are busy: submit it again later, or wait longer with --bid-timeout",
    "executions": "`{program} job describe {job}` shows what each node said",
    "time": "give it longer with --timeout; `{program} job describe {job}` shows what each node said",
    "hand_over": "submit it again; `{program} job describe {job}` shows who did not hand over what it had proposed",
    "restart": "submit it again",
    "room": "make room on the node (its data folder is full), then submit it again",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """For people: the headline, reasons line by line, the next step."""

    exit: Exit
    headline: str
    why: tuple[str, ...]
    next_step: str


def outcome_of(job: JobView) -> Outcome:
    """Of a job that has ended."""
    code = exits.of_job(job.state, None if job.failure is None else job.failure.code)
    return Outcome(code, _headline(job), _why(job), _next_step(job))


def votes_of(verdict: VerdictView) -> int:
    """How many proposals were counted."""
    return sum(len(group.peers) for group in verdict.groups)


def _headline(job: JobView) -> str:
    verdict = job.verdict
    match job.state:
        case "completed" if verdict is not None and verdict.kind == "verified":
            agreed = next((len(group.peers) for group in verdict.groups if group.hash == verdict.hash), 0)
            return f"Verified: {agreed} of {len(job.executions)} nodes agree on {verdict.hash}"
        case "completed":
            return "Done, not checked: the result is one node's word (verifier noop)"
        case "not_verified":
            return f"Not verified: {verdict.reason if verdict else 'the nodes did not agree'}"
        case "failed":
            return f"Failed: {job.failure.reason if job.failure else 'the node gave no reason'}"
        case "cancelled":
            return "Cancelled"
        case other:
            return f"Not ended yet ({other})"


def _why(job: JobView) -> tuple[str, ...]:
    lines = []
    if job.verdict is not None and (job.state == "not_verified" or len(job.verdict.groups) > 1):
        lines += [_group(job.verdict, index) for index in range(len(job.verdict.groups))]
    for run in job.executions:
        if run.lied is not None:
            lines.append(f"liar: {short_peer(run.peer)} won the vote and handed over something else: {run.lied}")
        elif run.agreed is False and job.verdict is not None and job.verdict.kind == "verified":
            lines.append(f"disagreed: {short_peer(run.peer)} ({run.peer})")
        elif run.state == "failed" and job.state != "cancelled" and len(job.executions) > 1:
            lines.append(f"no result from {short_peer(run.peer)}: {run.code}: {run.reason}")
    if job.results is not None and job.results.exit_code not in (None, 0):
        lines.append(f"the program ended with exit code {job.results.exit_code}")
    return tuple(lines)


def _group(verdict: VerdictView, index: int) -> str:
    group = verdict.groups[index]
    peers = ", ".join(map(short_peer, group.peers))
    return f"{len(group.peers)} of {votes_of(verdict)}: {group.hash or '(unreadable)'} by {peers}"


def _next_step(job: JobView) -> str:
    name = short_job(job.id)
    if job.results is not None:
        return f"`{program()} job get {name}` downloads the results"
    if job.state == "not_verified":
        return f"is the program deterministic? `{program()} job describe {name}` shows who said what"
    if job.failure is not None:
        step = _AFTER_FAILURE.get(_cause(job), "") or _AFTER_FAILURE.get(job.failure.code, "")
        return step.format(program=program(), job=name)
    return ""


def _cause(job: JobView) -> str:
    """Why bids were missing, if most nodes that declined had the same reason: ``bids/data``."""
    declined = Counter(answer.code for answer in job.answers if answer.code is not None)
    return f"bids/{declined.most_common(1)[0][0]}" if declined and job.failure and job.failure.code == "bids" else ""
