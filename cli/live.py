"""A job as it happens: a table of nodes on a terminal, one line per event elsewhere. On standard error.

``JobWatch`` is fed with what the API says (events, and at the end the job) and rendered by whoever has a screen;
``watching`` is that screen. Does not live here: where events come from (``cli.following``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli import output
from cli.errors import BrokenAnswer
from cli.outcome import counted
from node.api.views import EventView, JobView, ShardView

if TYPE_CHECKING:
    from rich.table import Table

STEPS = ("bid", "running", "proposed", "agreed")
ROWS_MAX = 40  # Of a larger crowd the table shows those that got furthest.

# Which cell an event fills, and whether it is good news.
_CELLS = {
    "bid": ("bid", True),
    "declined": ("bid", False),
    "started": ("running", True),
    "proposed": ("proposed", True),
    "execution_failed": ("proposed", False),
    "liar": ("agreed", False),
}
_GOOD, _BAD = "✓", "✗"

# What gets no line of its own.
_UNTOLD = frozenset({"offered"})
_UNTOLD_OF_MANY = frozenset({"offered", "drawn", "queued", "started", "proposed", "kept"})

# What the caption says from an event of the whole job on; a verdict and an end say it themselves.
_PHASES = {"submitted": "waiting for bids"}


class JobWatch:
    """What is known of each node's part in a job of so many shards. ``names``: how to call peers, by peer id;
    ``kept``: what becomes of results (``cli.outcome.kept_word``).
    """

    def __init__(self, names: Mapping[str, str] | None = None, shards: int = 1, kept: str = "kept") -> None:
        self._names = dict(names or {})
        self._words = {"kept": kept}
        self._shards = shards
        self._began: datetime | None = None
        self.rows: dict[str, dict[str, str]] = {peer: {} for peer in self._names}
        self.phase = "submitted"
        self._voted = 0  # shards, of a job with several

    def saw(self, event: EventView) -> None:
        """One more event; the same one again changes nothing."""
        self._began = self._began or _instant(event)
        if event.kind == "drawn":
            self.phase = "running"
        elif self._of(event) is not None and event.peer is None:
            self._voted += event.kind == "verdict"
            self.phase = f"running: {self._voted} votes are over; shard {event.shard}: {event.text}"
        elif event.peer is None:
            self.phase = _PHASES.get(event.kind, event.text)
        if event.peer is None or event.kind == "offered":
            return
        row = self.rows.setdefault(event.peer, {})
        if event.kind in _CELLS:
            step, is_good = _CELLS[event.kind]
            is_good = is_good and (event.kind == "bid" or not event.text)  # A bid may say that its node has the data.
            row[step] = f"{_GOOD} {self._seconds(event):.2f} s" if is_good else f"{_BAD} {event.text}"
        elif event.kind == "drawn":
            row.setdefault("running", "chosen")
        elif event.kind == "queued":
            row["running"] = event.text
        elif event.kind == "progress":
            row["proposed"] = event.text

    def settled(self, job: JobView) -> None:
        """The job as it ended: who agreed, and what no event told."""
        self.phase = job.state.replace("_", " ")
        if job.shards > 1:
            self.phase = f"{self.phase}: {counted(job)}"
            return
        for shard in job.details:
            self._settled(job, shard)

    def _settled(self, job: JobView, shard: ShardView) -> None:
        chosen = {run.peer for run in shard.executions}
        for peer, row in self.rows.items():
            if job.draw is not None and row.get("bid", "").startswith(_GOOD) and peer not in chosen:
                row["running"] = "not chosen"
        for run in shard.executions:
            row = self.rows.setdefault(run.peer, {})
            if run.lied is not None:
                row["agreed"] = f"{_BAD} lied: {run.lied}"
            elif run.agreed is not None:
                row["agreed"] = f"{_GOOD} yes" if run.agreed else f"{_BAD} no{_group_of(shard, run.peer)}"
            elif run.state == "failed":
                row["proposed"] = f"{_BAD} {run.code}: {run.reason}"

    def name(self, peer: str) -> str:
        """How a peer is called here."""
        return self._names.get(peer) or output.short_peer(peer)

    def tells(self, event: EventView) -> bool:
        """Whether the event is worth a line."""
        return event.kind not in (_UNTOLD if self._shards == 1 else _UNTOLD_OF_MANY)

    def line(self, event: EventView) -> str:
        """One event as a line, after ``saw``."""
        shard = self._of(event)
        words = [f"{self._seconds(event):7.3f} s", *([] if shard is None else [f"shard {shard}"])]
        if event.peer or shard is None:
            words.append(self.name(event.peer) if event.peer else "job")
        kind = self._words.get(event.kind, event.kind).replace("_", " ")
        return "  ".join([*words, kind, event.text]).rstrip()

    def table(self) -> Table:
        """For a terminal."""
        from rich.table import Table
        from rich.text import Text

        shown = Table("node", *STEPS, caption=output.clean(self.phase), caption_justify="left")
        ranked = sorted(self.rows.items(), key=lambda item: -len(item[1])) if len(self.rows) > ROWS_MAX else None
        for peer, row in (ranked or list(self.rows.items()))[:ROWS_MAX]:
            cells = (Text(output.clean(row.get(step, "")), style=_style(row.get(step, ""))) for step in STEPS)
            shown.add_row(Text(self.name(peer)), *cells)
        return shown

    def _of(self, event: EventView) -> int | None:
        """Which shard, where there are several."""
        return event.shard if self._shards > 1 else None

    def _seconds(self, event: EventView) -> float:
        return (_instant(event) - (self._began or _instant(event))).total_seconds()


@contextmanager
def watching(watch: JobWatch, *, quiet: bool = False) -> Iterator[Callable[[EventView | JobView], None]]:
    """Feeds ``watch`` with what is passed to the yielded function, and shows it as it grows.

    ``quiet``: nothing is shown.
    """

    def feed(news: EventView | JobView) -> None:
        if isinstance(news, EventView):
            watch.saw(news)
        else:
            watch.settled(news)

    def feed_and_print(news: EventView | JobView) -> None:
        feed(news)
        if isinstance(news, EventView) and watch.tells(news):
            output.say(watch.line(news))

    if quiet:
        yield feed
    elif output.redraws(sys.stderr):
        yield from _on_terminal(watch, feed)
    else:
        yield feed_and_print


def _on_terminal(
    watch: JobWatch, feed: Callable[[EventView | JobView], None]
) -> Iterator[Callable[[EventView | JobView], None]]:
    from rich.console import Console
    from rich.live import Live

    with Live(get_renderable=watch.table, console=Console(stderr=True), refresh_per_second=10, transient=False):
        yield feed


def _group_of(shard: ShardView, peer: str) -> str:
    """Where nobody won, which side a node was on."""
    verdict = shard.verdict
    if verdict is None or verdict.kind != "not_verified":
        return ""
    index = next((i for i, group in enumerate(verdict.groups) if peer in group.peers), None)
    return "" if index is None else f" (group {index + 1} of {len(verdict.groups)})"


def _style(cell: str) -> str:
    return {_GOOD: "green", _BAD: "red"}.get(cell[:1], "")


def _instant(event: EventView) -> datetime:
    try:
        at = datetime.fromisoformat(event.at)
    except ValueError as error:
        raise BrokenAnswer(f"an event at no time: {event.at[:40]!r}") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
