"""What a run has written to stdout and stderr so far, piece by piece.

Engines write both files as the workload does; nothing is kept beside them, and nothing happens unless somebody asks.
Of a result that is in memory alone they are there.
Does not live here: who may ask (``node.compute.role``).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from node import limits
from node.compute.kept import Kept
from node.messages import LogPiece, LogsWanted
from node.model import STDERR, STDOUT

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def piece_of(results: Path, wanted: LogsWanted) -> LogPiece:
    """What lies behind the offsets, at most ``limits.LOG_PIECE_BYTES`` of each; nothing where there is no file yet.
    Blocking.
    """
    return LogPiece(_read(results / STDOUT, wanted.stdout), _read(results / STDERR, wanted.stderr))


def piece_in(results: Kept, wanted: LogsWanted) -> LogPiece:
    """The same of a result that is not on disk."""
    return LogPiece(_cut(results.content(STDOUT), wanted.stdout), _cut(results.content(STDERR), wanted.stderr))


def _cut(content: bytes, offset: int) -> bytes:
    return content[offset : offset + limits.LOG_PIECE_BYTES]


def _read(path: Path, offset: int) -> bytes:
    try:
        file = os.open(path, _FILE)
    except OSError:
        return b""
    try:
        is_file = stat.S_ISREG(os.fstat(file).st_mode)
        return os.pread(file, limits.LOG_PIECE_BYTES, offset) if is_file else b""
    except OSError:  # A disk that fails ends the run by itself.
        return b""
    finally:
        os.close(file)
