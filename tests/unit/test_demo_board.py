"""The demo's table: what each event of a job changes in it, and what it shows at the end."""

from __future__ import annotations

import io

from rich.console import Console

from cli.demo.board import Board, Row, empty, judged, line, saw, table
from node.api.views import EventView, GroupView, VerdictView

NAMES = {"peer-a": "node-1", "peer-b": "node-2", "peer-c": "node-3"}


def event(kind: str, peer: str | None = None, at: float = 0.0, text: str = "") -> EventView:
    instant = f"2026-01-02T03:04:{5 + at:06.3f}Z"
    return EventView(seq=1, at=instant, kind=kind, peer=peer, execution=None, text=text)


def after(*events: EventView) -> Board:
    board = empty(NAMES)
    for each in (event("submitted"), *events):
        board = saw(board, each)
    return board


def verdict(kind: str, *groups: tuple[str, ...]) -> VerdictView:
    named = tuple(GroupView(hash=f"h1:{number}", peers=peers) for number, peers in enumerate(groups))
    return VerdictView(kind=kind, hash="h1:0" if kind == "verified" else "", groups=named, reason="")


def test_cells_say_how_long_after_the_submission() -> None:
    board = after(event("bid", "peer-a", 0.25), event("started", "peer-a", 1), event("proposed", "peer-a", 2.5))

    assert board.rows["peer-a"] == Row("node-1", "✓ 0.25 s", "✓ 1.00 s", "✓ 2.50 s")
    assert board.rows["peer-b"] == Row("node-2")


def test_what_went_wrong_stands_where_it_went_wrong() -> None:
    board = after(
        event("declined", "peer-a", 0, "no room"),
        event("execution_failed", "peer-b", 1, "time: too slow"),
        event("proposed", "peer-c", 1, "does not open"),
    )

    assert board.rows["peer-a"].bid == "✗ no room"
    assert board.rows["peer-b"].proposed == "✗ time: too slow"
    assert board.rows["peer-c"].proposed == "✗ does not open"


def test_events_of_strangers_change_no_row() -> None:
    assert after(event("bid", "peer-x"), event("drawn"), event("gossip", "peer-a")).rows == empty(NAMES).rows


def test_after_a_verified_vote_each_node_agreed_or_not() -> None:
    board = judged(after(), verdict("verified", ("peer-a", "peer-c"), ("peer-b",)))

    assert [row.agreed for row in board.rows.values()] == ["✓ yes (2 of 3)", "✗ no (1 of 3)", "✓ yes (2 of 3)"]


def test_without_agreement_the_groups_are_told_apart() -> None:
    board = judged(after(), verdict("not_verified", ("peer-a", "peer-c"), ("peer-b",)))

    assert [row.agreed for row in board.rows.values()] == ["group A (2 of 3)", "group B (1 of 3)", "group A (2 of 3)"]


def test_a_winner_that_lied_at_the_hand_over_stays_a_liar() -> None:
    board = judged(after(event("liar", "peer-a", 1, "other bytes")), verdict("verified", ("peer-a", "peer-b")))

    assert board.rows["peer-a"].agreed == "✗ other bytes"
    assert board.rows["peer-b"].agreed == "✓ yes (2 of 2)"


def test_without_a_terminal_an_event_is_a_line() -> None:
    assert line(after(), event("declined", "peer-b", 1.5, "no room")) == "  1.500 s  node-2  declined  no room"
    assert line(after(), event("submitted")) == "  0.000 s  job     submitted"


def test_peers_words_cannot_style_the_table() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)

    console.print(table(after(event("declined", "peer-a", 0, "[bold]no[/bold]"))))

    shown = console.file
    assert isinstance(shown, io.StringIO)
    assert "[bold]no[/bold]" in shown.getvalue()
