"""A job for people: who bid, who declined and why, the draw, executions, the vote, and how it ended. Pure.

Of a job with several shards: how many are in which state, then those that have no result, each with what its nodes
said; the others are told in a line each, and of thousands only the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from cli.outcome import ENDED, TROUBLED, agreed_of, counted, only_shard, outcome_of, reason_of, votes_of
from cli.output import program, short_job, short_peer
from cli.quantities import shown_size
from node.api.views import AnswerView, ExecutionView, JobView, ShardView
from node.model import DockerEngine, InlineInput, Input, JobSpec, UrlInput, WasmEngine, about, cut, shown

_PEERS_SHOWN = 64
_TROUBLED_SHOWN = 20
_OTHERS_SHOWN = 10


def described(job: JobView) -> str:
    """The whole text."""
    sections = [_head(job), _asked(job), _answers(job), *_shards(job), _results(job), _ending(job)]
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
    inputs = [f"{_input(item)} at {item.path}" for item in spec.inputs]
    outputs = [f"{item.path} as {item.name}/" for item in spec.outputs]
    command = (("arguments", " ".join(map(repr, spec.engine.args))),) if spec.engine.args else ()
    yield from _pairs(
        *_engine(spec),
        *command,
        *(("environment", f"{name}={value!r}") for name, value in spec.engine.env.items()),
        *(("input", text) for text in inputs),
        *(("output", text) for text in outputs),
        *_sharding(spec),
        ("publisher", str(spec.publisher.__struct_config__.tag)),
        ("verifier", spec.verifier),
        *_voted(spec),
        ("deal", f"concurrency {deal.concurrency}, confidence {deal.confidence}, bids needed {deal.bids_needed}"),
        ("bids within", f"{deal.bid_window_s:g} s"),
        ("limits", f"{resources.cpu:g} cores, {shown_size(resources.memory_bytes)} of memory,"),
        ("", f"{shown_size(resources.disk_bytes)} of disk, {spec.timeout_s:g} s"),
        indent="  ",
    )


def _input(ref: Input) -> str:
    if isinstance(ref, InlineInput):
        return f"files sent along ({', '.join(ref.files)})"
    size = f", {shown_size(ref.size)}" if isinstance(ref, UrlInput) and ref.size is not None else ""
    return f"{shown(ref)}{size}"


def _engine(spec: JobSpec) -> Iterator[tuple[str, str]]:
    match spec.engine:
        case WasmEngine():
            yield "module", spec.engine.module
            yield from _run_as(spec.engine)
        case DockerEngine():
            yield "image", spec.engine.image
            yield "pinned as", spec.engine.digest or spec.engine.image_id or "nothing"
        case _:
            assert_never(spec.engine)


def _run_as(engine: WasmEngine) -> Iterator[tuple[str, str]]:
    """What is not as it is by default."""
    if engine.profile != "deterministic":
        yield "profile", engine.profile
    if engine.isolation != "shared":
        yield "isolation", engine.isolation
    if engine.fuel is not None:
        yield "fuel", str(engine.fuel)
    if engine.stdin is not None:
        yield "stdin", engine.stdin


def _voted(spec: JobSpec) -> Iterator[tuple[str, str]]:
    if spec.vote_on == "outputs":
        yield "voted on", "exit code and outputs; not stdout and stderr"


def _sharding(spec: JobSpec) -> Iterator[tuple[str, str]]:
    cut = spec.sharding
    if cut is not None:
        yield "sharding", f"{cut.glob_pattern} below {cut.base_path or '/'}, {cut.batch_size} in each shard"


def _answers(job: JobView) -> Iterator[str]:
    bids = [answer for answer in job.answers if answer.code is None]
    declined = [answer for answer in job.answers if answer.code is not None]
    yield f"{len(bids)} bid{'' if len(bids) == 1 else 's'}, {len(declined)} declined"
    shard = only_shard(job)
    chosen = {run.peer for run in shard.executions} if shard else set()
    for answer in bids[:_PEERS_SHOWN]:
        yield "  ".join(["  bid     ", answer.peer, *_marks(answer, is_chosen=answer.peer in chosen)])
    for answer in declined[:_PEERS_SHOWN]:
        yield f"  declined  {answer.peer}  {answer.code}: {answer.reason}"
    hidden = max(0, len(bids) - _PEERS_SHOWN) + max(0, len(declined) - _PEERS_SHOWN)
    if hidden:
        yield f"  and {hidden} more (--json has them all)"
    if job.draw is not None:
        yield f"  drawn with salt {job.draw.salt}"


def _marks(answer: AnswerView, *, is_chosen: bool) -> Iterator[str]:
    if answer.holds:
        yield "holds the data"
    if answer.wait_s:
        yield f"room in {about(answer.wait_s)}"
    if is_chosen:
        yield "chosen"


def _shards(job: JobView) -> Iterator[Iterator[str]]:
    if job.shards == 1:
        for shard in job.details:
            yield _executions(job, shard)
            yield _votes(shard)
        return
    yield _summary(job)
    for shard in [shard for shard in job.details if shard.state in TROUBLED][:_TROUBLED_SHOWN]:
        yield _trouble(job, shard)


def _summary(job: JobView) -> Iterator[str]:
    yield f"{job.shards} shards: {counted(job)}"
    others = [shard for shard in job.details if shard.state not in TROUBLED and shard.state != "waiting"]
    for shard in others[:_OTHERS_SHOWN]:
        yield f"  shard {shard.shard:<6} {shard.state.replace('_', ' '):<13} {_in_a_line(shard)}".rstrip()
    hidden = job.shards - job.tally.waiting - job.tally.failed - job.tally.not_verified - len(others[:_OTHERS_SHOWN])
    if hidden > 0:
        yield f"  and {hidden} more"
    troubled = job.tally.failed + job.tally.not_verified
    if troubled > _TROUBLED_SHOWN:
        rest = f"`{program()} job shards {short_job(job.id)} --troubled` has all"
        yield f"of {troubled} without a result the first {_TROUBLED_SHOWN} ({rest}):"


def _in_a_line(shard: ShardView) -> str:
    verdict, results = shard.verdict, shard.results
    words = []
    if verdict is not None and verdict.kind == "verified":
        words.append(f"{agreed_of(verdict)} of {len(shard.executions)} agree")
    if results is not None:
        words.append(f"{results.files} files, {shown_size(results.bytes)}, from {short_peer(results.peer)}")
        words.append(f"exit code {results.exit_code}" if results.exit_code else "")
        words.append(results.location)
    return ", ".join(filter(None, [*words, _sources(shard)]))


def _trouble(job: JobView, shard: ShardView) -> Iterator[str]:
    yield f"shard {shard.shard}: {reason_of(shard)}"
    yield from _seen(shard)
    yield from _runs(job, shard)


def _seen(shard: ShardView) -> Iterator[str]:
    """The first of its paths; who listed the input chose the words."""
    if shard.paths.first:
        more = shard.paths.count - 1
        yield f"  of {cut(shard.paths.first[0])}{f' and {more} more' if more else ''}"


def _executions(job: JobView, shard: ShardView) -> Iterator[str]:
    if shard.executions:
        yield "executions"
    yield from _runs(job, shard)


def _runs(job: JobView, shard: ShardView) -> Iterator[str]:
    for run in shard.executions:
        yield f"  {short_peer(run.peer)}  {run.state:<9} {_what(run)}".rstrip()
        yield f"              {run.execution}"
        for ref, source in zip(job.spec.inputs, run.sources, strict=False):
            if source:
                yield f"              {shown(ref)} from {source}"


def _sources(shard: ShardView) -> str:
    """Where the inputs of all its executions came from."""
    names = sorted({source for run in shard.executions for source in run.sources if source})
    return f"inputs from {' and '.join(names)}" if names else ""


def _what(run: ExecutionView) -> str:
    if run.lied is not None:
        return f"LIED: handed over something else than {run.hash}: {run.lied}"
    if run.state == "failed":
        return f"{run.code}: {run.reason}"
    if run.state == "accepted" and run.wait_s:
        return f"waits for room, {about(run.wait_s)}"
    agreed = {True: "  agreed", False: "  disagreed", None: ""}[run.agreed]
    return f"{'(unreadable)' if run.hash == '' else run.hash or ''}{agreed}"


def _votes(shard: ShardView) -> Iterator[str]:
    verdict = shard.verdict
    if verdict is None:
        return
    yield f"verdict: {verdict.kind.replace('_', ' ')}{f' ({verdict.reason})' if verdict.reason else ''}"
    for group in verdict.groups:
        won = "  won" if verdict.kind == "verified" and group.hash == verdict.hash else ""
        yield f"  {len(group.peers)} of {votes_of(verdict)}  {group.hash or '(unreadable)'}{won}"
        yield f"          {', '.join(map(short_peer, group.peers))}"


def _results(job: JobView) -> Iterator[str]:
    results, shard = job.results, only_shard(job)
    if results is None:
        return
    yield "results"
    yield from _pairs(("hash", results.hash), ("files", f"{results.files}, {shown_size(results.bytes)}"), indent="  ")
    if job.spec.vote_on == "outputs":
        yield from _pairs(("not voted", "stdout and stderr: the word of the node they come from"), indent="  ")
    if shard is not None and shard.results is not None:
        code = shard.results.exit_code
        yield from _pairs(
            ("exit code", "unknown" if code is None else str(code)), ("from", shard.results.peer), indent="  "
        )
        if shard.results.location:
            yield from _pairs(("published", shard.results.location), indent="  ")


def _ending(job: JobView) -> Iterator[str]:
    if job.state not in ENDED:
        return
    ending = outcome_of(job)
    yield ending.headline
    if job.failure is not None:
        yield f"  code  {job.failure.code}"
    if ending.advice:
        yield f"  next  {ending.advice}"


def _pairs(*pairs: Sequence[str], indent: str = "") -> Iterator[str]:
    for name, value in pairs:
        yield f"{indent}{name:<12} {value}"
