"""Looks at the results of a run that takes long, and ends the process when they pass a limit.

A thread beside the one that runs the workload; it sleeps on a timer of the kernel, so that a short run costs two system
calls and no wake-up. The kernel's own limit (RLIMIT_FSIZE) is per file; this is for all files together.
Does not live here: the check after the run (``worker``).
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable

from node.executor.measure import Allowance, excess, nameless_bytes

FIRST_LOOK_S = 0.3
_SHARE = 10  # Looking takes at most one part in ten of the time.

_CLOCK_MONOTONIC = 1
_TFD_CLOEXEC = 0o2000000

_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Watch:
    """One per process. ``report`` is called at most once, in place of the run's own end, and then the process ends."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._watched: tuple[bytes, int, Allowance] | None = None
        self._timer = int(_libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_CLOEXEC))
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        threading.Thread(target=self._look, daemon=True).start()

    def begin(self, results: bytes, given: int, allowance: Allowance) -> None:
        """A run starts."""
        self._watched = (results, given, allowance)
        self._set(FIRST_LOOK_S)

    def end(self) -> None:
        """It has ended: from here on nothing is reported. Does not return when something just was."""
        with self._lock:
            self._watched = None
        self._set(0.0)

    def _look(self) -> None:
        while True:
            os.read(self._timer, 8)
            watched = self._watched
            if watched is None:
                continue
            began = time.monotonic()
            found = _found(*watched)
            with self._lock:
                if self._watched is not watched:
                    continue
                if found is not None:
                    self._end(found)
                self._set(max(FIRST_LOOK_S, _SHARE * (time.monotonic() - began)))

    def _end(self, found: str) -> None:
        try:
            self._report(found)
        finally:
            os._exit(0)

    def _set(self, after_s: float) -> None:
        seconds = int(after_s)
        timer = _Timer(_Timespec(0, 0), _Timespec(seconds, int((after_s - seconds) * 1e9)))
        _libc.timerfd_settime(self._timer, 0, ctypes.byref(timer), None)


def _found(results: bytes, given: int, allowance: Allowance) -> str | None:
    """The limit that is passed. A workload that leaves nothing to look with (descriptors, memory) is ended for that."""
    try:
        return excess(results, given, allowance, hidden_bytes=nameless_bytes(results))
    except (OSError, MemoryError) as error:
        return f"left no way to look at its results ({type(error).__name__}); open fewer files at a time"
