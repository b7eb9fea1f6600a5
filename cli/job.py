"""``job``: what one asks about one's own jobs and does with them; also the wait and the download of submissions."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import flags, output, quantities
from cli.exits import Exit
from cli.export import CarFile
from cli.flags import Form, JobId, Node, flat
from cli.logs import Whose, show_logs
from node import limits

if TYPE_CHECKING:
    from cli.client import Client
    from cli.download import Downloaded
    from node.api.views import JobSummary, JobView, ShardView

app = flags.app("Your jobs.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where results go."""

    output_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results; by default job-<first 8 digits of the id>.", rich_help_panel="Results"
        ),
    ] = None
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace results that were downloaded there before.", rich_help_panel="Results"),
    ] = False


@app.command("list")
@flat
def list_jobs(
    node: Node,
    form: Form,
    limit: Annotated[int, typer.Option(min=1, max=limits.JOBS_LISTED_MAX, help="How many at most.")] = 20,
) -> Exit:
    """Your newest jobs, newest first."""
    from cli.client import Client

    with Client(node.api) as client:
        jobs = client.jobs(limit)
    if form.as_json:
        output.json_data(jobs)
    elif not jobs.jobs:
        output.say(f"no jobs yet; `{output.program()} wasm run MODULE.wasm` submits one")
    else:
        columns = ("id", "name", "state", "verdict", "shards", "submitted", "reason")
        output.table(columns, [_row(job) for job in jobs.jobs])
    return Exit.DONE


@app.command()
@flat
def describe(job: JobId, node: Node, form: Form) -> Exit:
    """Everything about a job: who bid, who declined and why, who was drawn, what each said, and the verdict."""
    from cli.client import Client
    from cli.describe import described

    with Client(node.api) as client:
        view = client.job(job)
    if form.as_json:
        output.json_data(view)
    else:
        output.data(described(view))
    return Exit.DONE


@app.command()
@flat
def shards(
    job: JobId,
    node: Node,
    form: Form,
    troubled: Annotated[bool, typer.Option("--troubled", help="Only those without a result.")] = False,
) -> Exit:
    """Every shard of a job: its state, how many paths it saw and the first of them, and why it has no result."""
    from cli.client import Client
    from cli.outcome import TROUBLED

    with Client(node.api) as client:
        found = [one for one in client.shards(client.job(job).id) if not troubled or one.state in TROUBLED]
    if form.as_json:
        output.json_data({"shards": found})
        return Exit.DONE
    rows = [_shard_row(one) for one in found]
    output.table(("shard", "state", "paths", "first", "reason"), rows)
    return Exit.DONE


@app.command()
@flat
def get(job: JobId, node: Node, target: Target, form: Form) -> Exit:
    """Download the results of a job, and its receipt beside them; every file is checked against what won the vote.

    One shard: stdout, stderr, exitCode and the output volumes. Several: the same in per_shard/N/, and all of them
    together in combined_results/. Where some shards have no result, the exit code says how the job ended.
    """
    from cli.client import Client
    from cli.outcome import outcome_of

    with Client(node.api) as client:
        view = client.job(job)
        got = fetched(client, view, target)
    if form.as_json:
        told = {"folder": str(got.folder), "receipt": str(got.receipt), "hash": got.hash, "files": got.files}
        output.json_data({**told, "vote_on": view.spec.vote_on})
    else:
        output.data(str(got.folder))
    return outcome_of(view).exit


@app.command()
@flat
def receipt(
    job: JobId,
    node: Node,
    target: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="By default job-<first 8 digits of the id>.receipt.json; - for standard output.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> Exit:
    """Fetch the signed receipt of a job without its results, which may be published elsewhere; it is checked first."""
    from cli.client import Client
    from cli.receipts import keep_receipt

    with Client(node.api) as client:
        view = client.job(job)
        keep_receipt(client, view, target or Path(f"job-{output.short_job(view.id)}.receipt.json"), force=force)
    return Exit.DONE


@app.command("export")
@flat
def export_results(job: JobId, node: Node, target: CarFile, form: Form) -> Exit:
    """Write the results of a job as a CAR file, for IPFS and Filecoin; they are checked against what won the vote."""
    from cli.client import Client
    from cli.export import export

    with Client(node.api) as client:
        export(client, job, target, as_json=form.as_json)
    return Exit.DONE


@app.command()
@flat
def cancel(job: JobId, node: Node, form: Form) -> Exit:
    """End a job that has not ended yet."""
    from cli.client import Client

    with Client(node.api) as client:
        view = client.cancel(job)
    if form.as_json:
        output.json_data(view)
    output.say(f"job {output.short_job(view.id)} is cancelled")
    return Exit.DONE


@app.command()
@flat
def wait(
    job: JobId,
    node: Node,
    form: Form,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="Wait no longer: 90, 10m, 2h.")] = "",
) -> Exit:
    """Wait until a job has ended; the exit code says how it did."""
    from cli.client import Client

    seconds = quantities.seconds(timeout, "--timeout") if timeout else None
    with Client(node.api) as client:
        view = awaited(client, client.job(job), seconds)
    if form.as_json:
        output.json_data(view)
    return concluded(view)


@app.command()
@flat
def logs(job: JobId, node: Node, whose: Whose) -> Exit:
    """What a run writes, while it does: its stdout to standard output, its stderr to standard error.

    While the vote over a shard is open the output of one execution is shown and of no other: of the first that started,
    or of the one that was asked for before any was shown. It is its node's word. Afterwards it is what is kept.
    """
    from cli.client import Client

    with Client(node.api) as client:
        view = client.job(job)
        show_logs(client, view.id, whose)
        return concluded(awaited(client, client.job(view.id), None, quiet=True)) if whose.follow else Exit.DONE


def _row(job: JobSummary) -> tuple[str, ...]:
    """For people an id that can be typed and the time to the second; for programs both whole."""
    is_shown = output.redraws(sys.stdout)
    name = output.short_job(job.id) if is_shown else job.id
    submitted = job.submitted_at[:19].replace("T", " ") if is_shown else job.submitted_at
    shards = f"{job.completed}/{job.shards}" if job.shards > 1 else "-"
    return name, job.name, job.state, job.verdict or "-", shards, submitted, job.reason


def _shard_row(shard: ShardView) -> tuple[str, ...]:
    from cli.outcome import TROUBLED, reason_of

    why = reason_of(shard) if shard.state in TROUBLED else ""
    return str(shard.shard), shard.state, str(shard.paths.count), "".join(shard.paths.first[:1]), why


def awaited(client: Client, job: JobView, seconds: float | None, *, quiet: bool = False) -> JobView:
    """The job once it has ended, shown as it happens. Raises TimedOut; Ctrl-C says how to go on, and goes on up."""
    from cli.following import Patience, follow
    from cli.live import JobWatch, watching
    from cli.outcome import ENDED, kept_word

    if job.state in ENDED:
        return job
    short = output.short_job(job.id)
    troubled = (lambda _: None) if quiet else output.say
    try:
        with watching(JobWatch(shards=job.shards, kept=kept_word(job)), quiet=quiet) as show:
            for event in follow(client, job.id, Patience.of(seconds), troubled):
                show(event)
            ended = client.job(job.id)
            show(ended)
    except KeyboardInterrupt:
        program = output.program()
        output.say(f"job {short} goes on; follow it with `{program} job wait {short}`,")
        output.say(f"or end it with `{program} job cancel {short}`")
        raise
    return ended


def concluded(job: JobView, *, goes_on: bool = False) -> Exit:
    """Say how a job ended, and give that as exit code. ``goes_on``: the command does the next step itself."""
    from cli.outcome import outcome_of

    outcome = outcome_of(job)
    output.say(outcome.headline, "good" if outcome.exit is Exit.DONE else "error")
    for line in outcome.why:
        output.say(f"  {line}")
    if outcome.next_step and not goes_on:
        output.say(f"next: {outcome.next_step}")
    return outcome.exit


def fetched(client: Client, job: JobView, target: Target) -> Downloaded:
    """The job's results, downloaded and checked. Raises what ``cli.download`` does."""
    from cli.download import check_target, download
    from cli.outcome import UNVOTED

    folder = target.output_dir or Path(f"job-{output.short_job(job.id)}")
    check_target(folder, force=target.force)
    check_results(job)
    try:
        got = download(client, job, folder, output.say)
    except KeyboardInterrupt:
        short = output.short_job(job.id)
        output.say(f"what has come is kept: the same `{output.program()} job get {short}` goes on from there")
        raise
    output.say(f"{got.files} files, {quantities.shown_size(got.bytes)}, in {got.folder}; each is the one that won")
    if job.spec.vote_on == "outputs":
        output.say(f"  {UNVOTED}")
    _tell_shards(job, got)
    output.say(f"  directory hash {got.hash}")
    output.say(f"  receipt        {got.receipt} (holds)")
    output.say(f"next: check it offline with `{output.program()} verify {got.receipt} {got.folder}`")
    return got


def check_results(job: JobView) -> None:
    """Raises CommandError unless the job has results that can be downloaded."""
    from cli.errors import CommandError
    from cli.outcome import ENDED, kept_by_node

    if job.state not in ENDED:
        raise CommandError(
            f"job {output.short_job(job.id)} has not ended ({job.state.replace('_', ' ')})",
            f"`{output.program()} job wait {output.short_job(job.id)}` waits for it",
        )
    if job.results is not None and not kept_by_node(job):
        raise CommandError(
            f"the node does not keep the results of job {output.short_job(job.id)}: {_whereabouts(job)}",
            f"`{output.program()} job receipt {output.short_job(job.id)}` fetches the receipt, and {_checked_by(job)}",
        )
    if job.results is None:
        raise CommandError(
            f"job {output.short_job(job.id)} has no results ({job.state.replace('_', ' ')})",
            f"`{output.program()} job describe {output.short_job(job.id)}` says why",
        )


def _checked_by(job: JobView) -> str:
    from cli.outcome import kept_word

    if kept_word(job) == "won":
        return f"`{output.program()} verify RECEIPT` checks the vote; with another --publisher there are files too"
    return f"`{output.program()} verify RECEIPT FOLDER` checks what you get from there"


def _whereabouts(job: JobView) -> str:
    places = [shard.results.location for shard in job.details if shard.results is not None and shard.results.location]
    if not places:
        return "its spec asks that nobody does (publisher none)"
    return f"they are at {places[0]}" + (f", and {job.tally.completed - 1} more" if job.shards > 1 else "")


def _tell_shards(job: JobView, got: Downloaded) -> None:
    from cli.outcome import counted

    if job.shards == 1:
        return
    output.say(f"  {job.shards} shards ({counted(job)}); all together in {got.folder / 'combined_results'}")
    if got.differing:
        output.say(f"  {got.differing} files share a name with another and differ; they are in per_shard/ alone")
