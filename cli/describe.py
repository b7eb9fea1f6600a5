"""A job for people: who bid, who declined and why, the draw, executions, the vote, and how it ended. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cli.outcome import ENDED, outcome_of, votes_of
from cli.output import short_peer
from cli.quantities import shown_size
from node.api.views import ExecutionView, JobView
from node.model import shown

_PEERS_SHOWN = 64


def described(job: JobView) -> str:
    """The whole text."""
    sections = [_head(job), _asked(job), _answers(job), _executions(job), _votes(job), _results(job), _ending(job)]
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section)))


def _head(job: JobView) -> Iterator[str]:
    yield from _pairs(
        ("id", job.id),
        ("name", job.name),
        ("state", job.state.replace("_", " ")),
        ("submitted", job.submitted_at),
        ("ended", job.ended_at or f"not yet; by {job.deadline} at the latest"),
    )


def _asked(job: JobView) -> Iterator[str]:
    spec, deal, resources = job.spec, job.spec.deal, job.spec.resources
    yield "asked for"
    inputs = [f"{shown(item)} at {item.path}" for item in spec.inputs]
    outputs = [f"{item.path} as {item.name}/" for item in spec.outputs]
    command = (("arguments", " ".join(map(repr, spec.engine.args))),) if spec.engine.args else ()
    yield from _pairs(
        ("module", spec.engine.module),
        *command,
        *(("environment", f"{name}={value!r}") for name, value in spec.engine.env.items()),
        *(("input", text) for text in inputs),
        *(("output", text) for text in outputs),
        ("verifier", spec.verifier),
        ("deal", f"concurrency {deal.concurrency}, confidence {deal.confidence}, bids needed {deal.bids_needed}"),
        ("bids within", f"{deal.bid_window_s:g} s"),
        ("limits", f"{resources.cpu:g} cores, {shown_size(resources.memory_bytes)} of memory,"),
        ("", f"{shown_size(resources.disk_bytes)} of disk, {spec.timeout_s:g} s"),
        indent="  ",
    )


def _answers(job: JobView) -> Iterator[str]:
    bids = [answer.peer for answer in job.answers if answer.code is None]
    declined = [answer for answer in job.answers if answer.code is not None]
    yield f"{len(bids)} bid, {len(declined)} declined"
    chosen = set(job.draw.chosen) if job.draw else set()
    for peer in bids[:_PEERS_SHOWN]:
        yield f"  bid       {peer}{'  chosen' if peer in chosen else ''}"
    for answer in declined[:_PEERS_SHOWN]:
        yield f"  declined  {answer.peer}  {answer.code}: {answer.reason}"
    hidden = max(0, len(bids) - _PEERS_SHOWN) + max(0, len(declined) - _PEERS_SHOWN)
    if hidden:
        yield f"  and {hidden} more (--json has them all)"
    if job.draw is not None:
        yield f"  drawn with salt {job.draw.salt}"


def _executions(job: JobView) -> Iterator[str]:
    if job.executions:
        yield "executions"
    for run in job.executions:
        yield f"  {short_peer(run.peer)}  {run.state:<9} {_what(run)}".rstrip()
        yield f"              {run.execution}"


def _what(run: ExecutionView) -> str:
    if run.lied is not None:
        return f"LIED: handed over something else than {run.hash}: {run.lied}"
    if run.state == "failed":
        return f"{run.code}: {run.reason}"
    agreed = {True: "  agreed", False: "  disagreed", None: ""}[run.agreed]
    return f"{'(unreadable)' if run.hash == '' else run.hash or ''}{agreed}"


def _votes(job: JobView) -> Iterator[str]:
    verdict = job.verdict
    if verdict is None:
        return
    yield f"verdict: {verdict.kind.replace('_', ' ')}{f' ({verdict.reason})' if verdict.reason else ''}"
    for group in verdict.groups:
        won = "  won" if verdict.kind == "verified" and group.hash == verdict.hash else ""
        yield f"  {len(group.peers)} of {votes_of(verdict)}  {group.hash or '(unreadable)'}{won}"
        yield f"          {', '.join(map(short_peer, group.peers))}"


def _results(job: JobView) -> Iterator[str]:
    results = job.results
    if results is None:
        return
    yield "results"
    yield from _pairs(
        ("hash", results.hash),
        ("files", f"{results.files}, {shown_size(results.bytes)}"),
        ("exit code", "unknown" if results.exit_code is None else str(results.exit_code)),
        ("from", results.peer),
        indent="  ",
    )


def _ending(job: JobView) -> Iterator[str]:
    if job.state not in ENDED:
        return
    ending = outcome_of(job)
    yield ending.headline
    if job.failure is not None:
        yield f"  code  {job.failure.code}"
    if ending.next_step:
        yield f"  next  {ending.next_step}"


def _pairs(*pairs: Sequence[str], indent: str = "") -> Iterator[str]:
    for name, value in pairs:
        yield f"{indent}{name:<12} {value}"
