"""The flags of ``demo`` and ``devnet``. What they do is imported when they are called."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import UsageProblem
from cli.exits import Exit
from cli.flags import Form, flat

NODES_MAX = 16  # Each is a process of a hundred megabytes.

Count = Annotated[int, typer.Option("--nodes", min=2, max=NODES_MAX, help="How many nodes.")]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """What the demo shows."""

    nodes: Count = 5
    liars: Annotated[int, typer.Option(min=0, max=NODES_MAX, help="So many nodes falsify what they return.")] = 0
    source: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FOLDER", exists=True, file_okay=False, help="Python files to count imports in."
        ),
    ] = None
    folder: Annotated[Path | None, typer.Option("--dir", metavar="FOLDER", help="Put everything there.")] = None
    keep: Annotated[bool, typer.Option("--keep", help="Keep the nodes' folders, the data and the logs too.")] = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """Which network to run."""

    nodes: Count = 5
    folder: Annotated[Path | None, typer.Option("--dir", metavar="FOLDER", help="Keep the nodes' folders there.")] = (
        None
    )


@flat
def demo(show: Show, form: Form) -> Exit:
    """Run a real job on several nodes of this machine, show it as it happens, and check the result."""
    from cli.demo import demo as shown

    if show.liars > show.nodes:
        raise UsageProblem(f"--liars {show.liars} of --nodes {show.nodes}", "at most as many liars as nodes")
    given = {field.name: getattr(show, field.name) for field in dataclasses.fields(show)}
    return shown.demo(shown.Wish(**given, as_json=form.as_json))


@flat
def devnet(net: Net, form: Form) -> Exit:
    """Run several nodes on this machine until Ctrl-C, and say how to talk to them."""
    from cli.demo import devnet as kept

    return kept.devnet(kept.Wish(nodes=net.nodes, folder=net.folder, as_json=form.as_json))
