"""``docker run``: a container image, as a job.

Lives here: the command. Does not live here: what it shares with other commands that submit jobs (``cli.submission``),
what a flag means in the spec (``cli.docker_spec``), the engine of a node (``cli.docker_host``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import typer

from cli import flags, output
from cli.exits import Exit
from cli.flags import flat
from cli.job import Target
from cli.submission import LIMITS, Connection, Deal, Limits, Rest, Then, Work, check, submitted

app = flags.app("Submit jobs that run in containers.")

INSIDE = "The container"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container(Work):
    """What runs, on what, and in what."""

    command: ClassVar[str] = "docker run"

    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="NAME:TAG, which is pinned to a digest once, or NAME@sha256:….")
    ]
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- ARGS", help="What the image's ENTRYPOINT is given in place of its CMD, after a --."),
    ] = None
    entrypoint: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="In place of the image's; empty: none.", rich_help_panel=INSIDE),
    ] = None
    workdir: Annotated[
        str | None,
        typer.Option("-w", "--workdir", metavar="PATH", help="Where it starts.", rich_help_panel=INSIDE),
    ] = None
    network: Annotated[
        Literal["none", "full"],
        typer.Option(help="full: where the node's operator allows it.", rich_help_panel=INSIDE),
    ] = "none"
    isolation: Annotated[
        Literal["container", "sandbox"],
        typer.Option(help="sandbox: a kernel of its own in front of the node's, as in gVisor.", rich_help_panel=INSIDE),
    ] = "container"
    runtime: Annotated[
        str, typer.Option(metavar="NAME", help="The runtime that it takes, e.g. runsc.", rich_help_panel=INSIDE)
    ] = ""
    root: Annotated[
        bool, typer.Option("--root", help="Be root inside, where the operator allows it.", rich_help_panel=INSIDE)
    ] = False
    gpu: Annotated[int, typer.Option(min=0, metavar="N", help="NVIDIA GPUs.", rich_help_panel=LIMITS)] = 0


@app.callback()
def _docker() -> None:
    """Submit jobs that run in containers."""


@app.command()
@flat
def run(container: Container, deal: Deal, limits: Limits, then: Then, target: Target, connection: Connection) -> Exit:
    """Run an image in containers, wait for the verdict, and say what to do next.

    Without network, capabilities or a writable root; /outputs is kept. Every node runs the digest that the image's name
    means when the job is submitted. The job's id goes to standard output, as with `wasm run`.
    """
    from cli.docker_spec import spec_of, warning

    rest = Rest(then, target, connection)
    check(container.publisher, rest)
    wanted = spec_of(container, deal, limits)
    known = warning(wanted)
    if known and not then.id_only:
        output.say(f"note: {known}", "dim")
    return submitted(wanted, container, rest)
