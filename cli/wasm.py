"""``wasm run``: a WASI program, as a job.

Lives here: the command. Does not live here: the rules of a spec (``node.spec``), what it shares with other commands
that submit jobs (``cli.submission``), what a flag means in the spec (``cli.wasm_spec``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli import flags, output
from cli.exits import Exit
from cli.flags import flat
from cli.job import Target
from cli.submission import Connection, Deal, Limits, Rest, Then, Work, check, submitted

if TYPE_CHECKING:
    from cli.client import Client

app = flags.app("Submit WebAssembly jobs.")

ENGINE = "How it runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(Work):
    """What runs, on what."""

    module: Annotated[Path, typer.Argument(metavar="MODULE.wasm", help="A WASI preview 1 command.")]
    args: Annotated[
        list[str] | None, typer.Argument(metavar="-- ARGS", help="The program's own arguments, after a --.")
    ] = None
    stdin: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="What it reads as standard input: an input's path, or that of a file in one. By default nothing.",
            rich_help_panel=ENGINE,
        ),
    ] = None
    profile: Annotated[
        Literal["deterministic", "native"],
        typer.Option(
            help="What it sees: the same clock, randomness and order of files on every node, or those of its machine.",
            rich_help_panel=ENGINE,
        ),
    ] = "deterministic"
    fuel: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="How much it may execute, counted alike everywhere, about one for an instruction; then it ends with"
            " exit code 152. By default nothing is counted.",
            rich_help_panel=ENGINE,
        ),
    ] = None
    isolation: Annotated[
        Literal["shared", "process"],
        typer.Option(help="process: in one that no other run had before it or has after it.", rich_help_panel=ENGINE),
    ] = "shared"


@app.callback()
def _wasm() -> None:
    """Submit WebAssembly jobs."""


@app.command()
@flat
def run(program: Program, deal: Deal, limits: Limits, then: Then, target: Target, connection: Connection) -> Exit:
    """Submit a WASI program, wait for the verdict, and say what to do next.

    The job's id goes to standard output, so that ID=$(... wasm run ... --id-only) works; --id-only waits for nothing
    unless --wait is given too. With --json the job goes there as it ended, or as it is when nothing is waited for.
    """
    from cli.wasm_spec import read_module, spec_of

    rest = Rest(then, target, connection)
    check(program.publisher, rest)
    sha256 = read_module(program.module)
    wanted = spec_of(program, deal, limits, sha256)
    _warn(program, deal)

    def ready(client: Client) -> None:
        _upload(client, program.module, sha256, quiet=then.id_only)

    return submitted(wanted, program, rest, ready)


def _warn(program: Program, deal: Deal) -> None:
    if program.profile == "native" and deal.verifier == "deterministic":
        output.say(
            "warning: with --profile native nodes see different clocks, randomness and orders of files, so that honest"
            " ones may disagree"
        )


def _upload(client: Client, module: Path, sha256: str, *, quiet: bool) -> None:
    from cli.quantities import shown_size

    if client.has_module(sha256):
        return
    if not quiet:
        output.say(f"uploading {module.name}, {shown_size(module.stat().st_size)}", "dim")
    client.upload(module, sha256)
