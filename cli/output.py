"""Where words go: data to standard output, everything for people to standard error.

Lives here: printing, and whether to paint. Does not live here: what is said. Rich is imported where a terminal gets a
table, and nowhere else: it costs more than most commands take.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, TextIO

_PLAIN_JOB = 8  # So much of a job id is shown where it need not be whole.
_STYLES = {"error": "\x1b[1;31m", "good": "\x1b[1;32m", "dim": "\x1b[2m"}


def program() -> str:
    """What this program was called as: ``node`` and ``quorate`` are the same."""
    name = PurePath(sys.argv[0]).name
    return name if name in ("node", "quorate") else "quorate"


def redraws(stream: TextIO) -> bool:
    """Whether what was written there can be written over."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paints(stream: TextIO) -> bool:
    """Whether colours are welcome there (https://no-color.org)."""
    return redraws(stream) and not os.environ.get("NO_COLOR")


def say(text: str, style: str = "") -> None:
    """A line for people."""
    shown = clean(text)
    if style and paints(sys.stderr):
        shown = f"{_STYLES[style]}{shown}\x1b[0m"
    sys.stderr.write(f"{shown}\n")
    sys.stderr.flush()


def data(text: str) -> None:
    """A line of data."""
    _write(clean(text))


def json_data(value: Any) -> None:
    """A value as JSON, in the shapes of ``node.api.views``."""
    import msgspec

    _write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows of data: aligned on a terminal, separated by tabs (and without a head) for a program."""
    if not redraws(sys.stdout):
        for row in rows:
            _write("\t".join(map(_one_line, row)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*columns, box=None, pad_edge=False, header_style="dim")
    for row in rows:
        shown.add_row(*(Text(_one_line(cell)) for cell in row))
    Console(highlight=False).print(shown)


def clean(text: str) -> str:
    """Without what could move a terminal's cursor: peers and nodes chose some of these words."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def short_job(job: str) -> str:
    """Enough of a job id to type."""
    return job[:_PLAIN_JOB]


def short_peer(peer: str) -> str:
    """The end of a peer id; all begin alike."""
    return f"…{peer[-8:]}" if len(peer) > 12 else peer


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _one_line(text: str) -> str:
    return clean(text).replace("\n", " ")
