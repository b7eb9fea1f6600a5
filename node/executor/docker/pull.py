"""One pull as the engine tells of it, line by line: where it is ended, and what those who wait are told.

``heard`` runs in the thread that reads the lines. Does not live here: who pulls what when (``images``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import trio

from node import limits
from node.errors import DriverUnavailable, NoRoom
from node.executor.docker.words import without_paths
from node.model import cut

_MB = 10**6
_CAME = frozenset({"Verifying Checksum", "Download complete", "Extracting", "Pull complete"})  # of a layer

Tell = Callable[[str], None]


class Pull:
    """``folder`` is where the engine keeps images; ``listeners`` may change meanwhile, in trio's thread."""

    def __init__(self, name: str, folder: str, bytes_max: int, listeners: Sequence[Tell]) -> None:
        self.is_abandoned = False
        self._name = name
        self._folder = folder
        self._bytes_max = bytes_max
        self._listeners = listeners
        self._totals: dict[str, int] = {}  # of layers
        self._done: dict[str, int] = {}
        self._told_at = time.monotonic()

    def heard(self, line: dict[str, Any]) -> None:
        """One line. Raises NoRoom, DriverUnavailable: it is to end."""
        if self.is_abandoned:
            raise DriverUnavailable("nobody waits for it any more")
        if line.get("error"):
            raise DriverUnavailable(cut(without_paths(str(line["error"]))))
        self._count(str(line.get("id")), str(line.get("status")), line.get("progressDetail") or {})
        if sum(self._totals.values()) > self._bytes_max:
            raise NoRoom(f"it has more than {self._bytes_max} bytes, this node's limit for an image")
        self._check_disk()
        if time.monotonic() - self._told_at >= limits.PROGRESS_EVERY_S:
            self._told_at = time.monotonic()
            trio.from_thread.run_sync(self.tell, self._text(str(line.get("status", ""))))

    def tell(self, text: str) -> None:
        """To all who wait."""
        for listener in tuple(self._listeners):
            listener(text)

    @property
    def amount(self) -> str:
        """How much of what is known to come has come; "" while nothing is known."""
        total = sum(self._totals.values())
        return f"{sum(self._done.values()) // _MB} of {-(-total // _MB)} MB" if total else ""

    def _text(self, status: str) -> str:
        return f"pulling {self._name}: {', '.join(filter(None, (self.amount, status.lower())))}"

    def _count(self, layer: str, status: str, detail: dict[str, Any]) -> None:
        if status == "Downloading" and detail.get("total"):
            self._totals[layer] = int(detail["total"])
            self._done[layer] = int(detail.get("current", 0))
        elif status in _CAME and layer in self._totals:
            self._done[layer] = self._totals[layer]

    def _check_disk(self) -> None:
        """A layer can unpack to a thousand times what it is on its way, and the engine tells of that alone."""
        try:
            found = os.statvfs(self._folder)
        except OSError:  # Of an engine that sees another tree of files than we do.
            return
        if found.f_bavail * found.f_frsize < limits.DISK_RESERVE_BYTES:
            raise NoRoom("the disk of the docker engine is almost full")
