"""What a job's history says about each node: a table that grows event by event. Pure.

Lives here: board and event in, board out; the board as rich tables and lines. Does not live here: where events come
from, when they are shown (``cli.demo.demo``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from rich.markup import escape
from rich.table import Table

from node.api.views import EventView, VerdictView

Step = Literal["bid", "running", "proposed", "agreed"]
_STEPS: tuple[Step, ...] = ("bid", "running", "proposed", "agreed")
_STEP_OF: dict[str, Step] = {"bid": "bid", "started": "running", "proposed": "proposed"}
_FAILED: dict[str, Step] = {"declined": "bid", "execution_failed": "proposed", "liar": "agreed"}


@dataclass(frozen=True, slots=True)
class Row:
    """One node; each cell says when, or what instead, and is empty until it is known."""

    name: str
    bid: str = ""
    running: str = ""
    proposed: str = ""
    agreed: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """Rows by peer id, in the order of the nodes."""

    rows: Mapping[str, Row]
    began: datetime | None = None


def empty(names: Mapping[str, str]) -> Board:
    """A board for these peers and their names."""
    return Board({peer: Row(name) for peer, name in names.items()})


def saw(board: Board, event: EventView) -> Board:
    """The board after one more event; events of no node's, and of strangers, change nothing but the beginning."""
    began = board.began or _instant(event)
    board = replace(board, began=began)
    row = board.rows.get(event.peer or "")
    if row is None or event.peer is None:
        return board
    if event.kind in _STEP_OF:
        cell = f"✓ {_seconds(began, event):.2f} s"
        row = _with(row, _STEP_OF[event.kind], f"✗ {event.text}" if event.text else cell)
    elif event.kind in _FAILED:
        row = _with(row, _FAILED[event.kind], f"✗ {event.text}")
    return replace(board, rows={**board.rows, event.peer: row})


def judged(board: Board, verdict: VerdictView) -> Board:
    """The board with who agreed with whom."""
    rows = dict(board.rows)
    for letter, group in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", verdict.groups, strict=False):
        won = verdict.kind == "verified" and group.hash == verdict.hash
        cell = "✓ yes" if won else "✗ no" if verdict.kind == "verified" else f"group {letter}"
        for peer in group.peers:
            if peer in rows and not rows[peer].agreed:
                rows[peer] = replace(rows[peer], agreed=f"{cell} ({len(group.peers)} of {_votes(verdict)})")
    return replace(board, rows=rows)


def table(board: Board) -> Table:
    """For a terminal."""
    shown = Table("node", *_STEPS)
    for row in board.rows.values():
        shown.add_row(row.name, *(_coloured(getattr(row, step)) for step in _STEPS))
    return shown


def line(board: Board, event: EventView) -> str:
    """For a file: one event."""
    at = _seconds(board.began or _instant(event), event)
    row = board.rows.get(event.peer or "")
    words = [f"{at:7.3f} s", row.name if row else "job   ", event.kind.replace("_", " "), event.text]
    return "  ".join(word for word in words if word)


def _with(row: Row, step: Step, cell: str) -> Row:
    cells = {name: getattr(row, name) for name in _STEPS} | {step: cell}
    return Row(row.name, **cells)


def _coloured(cell: str) -> str:
    colour = {"✓": "green", "✗": "red"}.get(cell[:1])
    return f"[{colour}]{escape(cell)}[/]" if colour else escape(cell)


def _votes(verdict: VerdictView) -> int:
    return sum(len(group.peers) for group in verdict.groups)


def _instant(event: EventView) -> datetime:
    return datetime.fromisoformat(event.at)


def _seconds(began: datetime, event: EventView) -> float:
    return (_instant(event) - began).total_seconds()
