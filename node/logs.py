"""What ``serve`` says while it runs: one line per event on standard error, as text or as JSON.

Events come from the shells through ``logging`` (logger ``quorate.*``, the event's name as the message, fields as
``extra``). Peers' words are cut and without control characters before they get here; quoting here is the second guard.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from typing_extensions import override

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(style: Literal["text", "json"], level: Literal["debug", "info", "warning"]) -> None:
    """Send the ``quorate`` loggers to standard error; quieten libraries, which log normal events as errors."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("quorate").setLevel(level.upper())
    logging.getLogger("quorate.node").setLevel(logging.INFO)  # Programs wait for ``ready``, whatever else they hear.


class JsonLines(logging.Formatter):
    """One JSON object for each event: ``time``, ``level``, ``part``, ``event``, then its fields."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """See Formatter."""
        head = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "part": record.name.removeprefix("quorate."),
            "event": record.getMessage(),
        }
        if record.exc_info:
            head["traceback"] = self.formatException(record.exc_info)
        return json.dumps(head | fields_of(record), default=str)


class TextLines(logging.Formatter):
    """``12:00:00.123 part event key=value …`` for people."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """See Formatter."""
        level = "" if record.levelno < logging.WARNING else f"{record.levelname} "
        pairs = " ".join(f"{key}={_quoted(value)}" for key, value in fields_of(record).items())
        part = record.name.removeprefix("quorate.")
        line = f"{_time(record)[11:23]} {level}{part}: {record.getMessage()} {pairs}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What was passed as ``extra``."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _quoted(value: object) -> str:
    text = str(value)
    return text if text and text.isprintable() and " " not in text and '"' not in text else json.dumps(text)
