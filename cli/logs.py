"""``job logs``: output of a run, to where it belongs, over as many connections as it takes.

A terminal is given text alone: these are a stranger's bytes, and some bytes steer terminals. Whatever else reads them
gets them as they are. Does not live here: one connection (``cli.client``).
"""

from __future__ import annotations

import codecs
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TextIO
from urllib.parse import urlencode

import typer

from cli import output
from cli.errors import Unreachable

if TYPE_CHECKING:
    from cli.client import Client
    from node.api.views import LogView

_TEXT = frozenset("\n\t\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Whose output is shown, and for how long."""

    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Go on until the job has ended; the exit code says how it did, as of wait."
        ),
    ] = False
    execution: Annotated[
        str, typer.Option(metavar="ID", help="Of which execution, by the beginning of its id; by default any.")
    ] = ""
    shard: Annotated[
        int | None, typer.Option(min=0, help="Of which shard; by default that of --execution, else 0.")
    ] = None


class _Pen:
    """Writes one stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def write(self, data: bytes) -> None:
        if self._stream.isatty():
            text = self._decode(data)
            self._stream.write("".join(c if c.isprintable() or c in _TEXT else "\ufffd" for c in text))
        else:
            self._stream.flush()
            self._stream.buffer.write(data)
        self._stream.flush()


def show_logs(client: Client, job: str, whose: Whose, pauses_s: Sequence[float] | None = None) -> None:
    """Until there is no more, or, when following, until the job has ended; a lost connection is then taken up again.

    Raises Unreachable when the node stays away, and what ``Client`` raises.
    """
    from cli.following import RETRY_S

    reader, pauses_s = _Reader(client, job, whose), RETRY_S if pauses_s is None else pauses_s
    failures = 0
    while True:
        before = reader.after
        try:
            reader.read()
        except Unreachable as error:
            failures = 1 if reader.after != before else failures + 1
            if not whose.follow or failures > len(pauses_s):
                raise
            output.say(f"{error}; asking again", "dim")
            time.sleep(pauses_s[failures - 1])
        else:
            return


class _Reader:
    """Shows what comes; ``after`` is the id of the last event that the node can take up again."""

    def __init__(self, client: Client, job: str, whose: Whose) -> None:
        self._client = client
        self._job = job
        shard = {} if whose.shard is None else {"shard": whose.shard}
        self._query = urlencode({**shard, "execution": whose.execution, "follow": str(whose.follow).lower()})
        self._show = _shower()
        self.after = ""

    def read(self) -> None:
        """One connection, to the end of the output. Raises Unreachable."""
        for view in self._client.logs(self._job, self._query, self.after):
            if view is None:
                continue
            self.after = _id_of(view) or self.after
            self._show(view)
            if view.kind == "end":
                return
        raise Unreachable("the node ended the stream of output")


def _shower() -> Callable[[LogView], None]:
    pens = {"stdout": _Pen(sys.stdout), "stderr": _Pen(sys.stderr)}
    told: set[str | None] = set()

    def show(view: LogView) -> None:
        if view.kind in pens:
            pens[view.kind].write(view.data)
        elif view.kind == "execution" and view.execution not in told:
            told.add(view.execution)
            output.say(f"output of {view.execution} on {output.short_peer(view.peer or '')}, {view.text}", "dim")
        elif view.kind != "execution" and view.text:
            output.say(view.text, "dim")

    return show


def _id_of(view: LogView) -> str:
    return f"{view.execution}.{view.stdout}.{view.stderr}" if view.execution else ""
