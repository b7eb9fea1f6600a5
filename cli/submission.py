"""What every command that submits a job shares: its flags, and from a spec to what a person is told.

Lives here: the deal, the limits, what happens after; the submission, the wait and the download. Does not live here:
what runs (``cli.wasm``, ``cli.docker``), what a flag means in the spec (``cli.job_spec``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli import output
from cli.data import Data
from cli.errors import UsageProblem
from cli.exits import Exit
from cli.flags import Node
from cli.job import Target, awaited, concluded, fetched

if TYPE_CHECKING:
    from cli.client import Client
    from node.api.views import JobView
    from node.model import JobSpec

DEAL, LIMITS, AFTER = "Who runs it", "What it may use", "What happens then"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Data):
    """What every job has besides what runs it."""

    name: Annotated[str, typer.Option(help="The job's name; by default the program's.")] = ""
    env: Annotated[
        list[str] | None,
        typer.Option("-e", "--env", metavar="K=V", help="A variable; -e K takes its value from here. Repeatable."),
    ] = None
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--output-volumes",
            metavar="NAME:PATH",
            help="A folder that is kept as NAME/. Repeatable; outputs:/outputs is always there.",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """How much redundancy is bought."""

    verifier: Annotated[
        Literal["deterministic", "noop"], typer.Option(help="How results are judged.", rich_help_panel=DEAL)
    ] = "noop"
    concurrency: Annotated[
        int, typer.Option("-c", "--concurrency", help="How many nodes run it.", rich_help_panel=DEAL)
    ] = 1
    confidence: Annotated[
        int | None,
        typer.Option(
            help="How many have to agree; by default the majority; 0: the largest group.", rich_help_panel=DEAL
        ),
    ] = None
    min_bids: Annotated[int, typer.Option(help="How many have to bid before lots are drawn.", rich_help_panel=DEAL)] = 0
    vote_on: Annotated[
        Literal["all", "outputs"],
        typer.Option(help="What has to agree: all, or all but stdout and stderr.", rich_help_panel=DEAL),
    ] = "all"
    any_node: Annotated[
        bool,
        typer.Option(
            "--any-node",
            help="Lots alone decide: nodes that hold the data, or have room, are not preferred.",
            rich_help_panel=DEAL,
        ),
    ] = False
    bid_timeout: Annotated[
        str, typer.Option(metavar="TIME", help="How long bids are waited for.", rich_help_panel=DEAL)
    ] = "10s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one execution may use."""

    cpu: Annotated[str, typer.Option(metavar="CORES", help="2, 0.5 or 500m.", rich_help_panel=LIMITS)] = "100m"
    memory: Annotated[str, typer.Option(metavar="SIZE", help="512Mi, 512MB, …", rich_help_panel=LIMITS)] = "100MB"
    disk: Annotated[str, typer.Option(metavar="SIZE", help="For results.", rich_help_panel=LIMITS)] = "1GB"
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="How long a run may take: 90, 10m, 2h.", rich_help_panel=LIMITS)
    ] = "10m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Then:
    """What the command does besides submitting."""

    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait",
            help="Wait for the end; the default, but not with --id-only.",
            show_default=False,
            rich_help_panel=AFTER,
        ),
    ] = None
    wait_timeout: Annotated[
        str,
        typer.Option(
            "--wait-timeout-secs", metavar="TIME", help="Wait no longer; the job goes on.", rich_help_panel=AFTER
        ),
    ] = "600"
    download: Annotated[
        bool, typer.Option("--download", help="Download the results at the end.", rich_help_panel=AFTER)
    ] = False
    id_only: Annotated[
        bool, typer.Option("--id-only", help="Print the id, and wait for nothing.", rich_help_panel=AFTER)
    ] = False
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the whole spec, with sharding also the shards, and submit nothing.",
            rich_help_panel=AFTER,
        ),
    ] = False

    @property
    def waits(self) -> bool:
        """Whether the command is there until the job has ended."""
        return self.download or (not self.id_only if self.wait is None else self.wait)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection(Node):
    """Which node, and in which form it is told."""

    as_json: Annotated[bool, typer.Option("--json", help="The job as JSON on standard output.")] = False


@dataclass(frozen=True, slots=True)
class Rest:
    """What there is to do besides submitting, and where."""

    then: Then
    target: Target
    connection: Connection


def check(publisher: str, rest: Rest) -> None:
    """Flags that exclude each other. Raises UsageProblem."""
    then, target, connection = rest.then, rest.target, rest.connection
    from cli.quantities import seconds

    if then.download and publisher != "vault":
        raise UsageProblem("--download fetches what the node keeps", "leave --publisher or --download")
    if then.download and then.wait is False:
        raise UsageProblem("--download and --no-wait exclude each other", "download later with `job get`")
    if target.output_dir is not None and not then.download:
        raise UsageProblem("--output-dir says where --download puts the results", "add --download")
    if then.id_only and connection.as_json:
        raise UsageProblem("--id-only and --json exclude each other", "--json has the id too")
    seconds(then.wait_timeout, "--wait-timeout-secs")
    if then.download and target.output_dir is not None:
        from cli.download import check_target

        check_target(target.output_dir, force=target.force)


def submitted(wanted: JobSpec, work: Work, rest: Rest, ready: Callable[[Client], None] | None = None) -> Exit:
    """Submit it, or with --dry-run show it. ``ready`` brings what the node needs first."""
    from cli.client import Client
    from cli.fields import by_flags
    from node import spec

    if rest.then.dry_run:
        return _shown(wanted, work, rest.connection)
    with Client(rest.connection.api) as client:
        if ready is not None:
            ready(client)
        with by_flags(work):
            job = client.submit(spec.document(wanted))
        return _followed(client, job, rest)


def _shown(wanted: JobSpec, work: Work, connection: Connection) -> Exit:
    """Without sharding nobody is asked."""
    from cli.client import Client
    from cli.fields import by_flags
    from node import spec

    if wanted.sharding is None:
        output.json_data(wanted)
        return Exit.DONE
    with Client(connection.api) as client, by_flags(work):
        plan = client.plan(spec.document(wanted))
    output.json_data({"spec": wanted, "shards": plan.shards})
    return Exit.DONE


def _followed(client: Client, job: JobView, rest: Rest) -> Exit:
    from cli.quantities import seconds

    then, as_json = rest.then, rest.connection.as_json
    if not as_json:
        output.data(job.id)
    if not then.waits:
        if as_json:
            output.json_data(job)
        if not then.id_only:
            output.say(f"next: `{output.program()} job wait {output.short_job(job.id)}` follows it")
        return Exit.DONE
    job = awaited(client, job, seconds(then.wait_timeout, "--wait-timeout-secs"), quiet=then.id_only)
    if as_json:
        output.json_data(job)
    code = concluded(job, goes_on=then.download and job.results is not None)
    if then.download and job.results is not None:
        fetched(client, job, rest.target)
    return code
