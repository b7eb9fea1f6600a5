"""A process that reads and writes what the modes of files allow and no more, though root may be running the tests.

Root may read everything because of two capabilities (capabilities(7)); the process begins by giving them up.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
from collections.abc import Callable
from typing import Any

PATIENCE_S = 120
_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words of 32 bits for each set
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2


def unprivileged(function: Callable[..., None], *arguments: Any) -> None:
    """Call it there. Whatever it raises is on standard error, and fails here. All of it has to be picklable."""
    process = multiprocessing.get_context("spawn").Process(target=_called, args=(function, arguments))
    process.start()
    process.join(PATIENCE_S)
    process.kill()
    process.join()
    assert process.exitcode == 0, f"{function} failed in a process of its own, see standard error"


def _called(function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Before there are other threads: capabilities are a thread's, and those that it starts inherit them."""
    if os.geteuid() == 0:
        _give_up(_DAC_OVERRIDE | _DAC_READ_SEARCH)
    function(*arguments)


def _give_up(bits: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    head, sets = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    _must(libc.capget(head, sets))
    sets[0] &= ~bits
    sets[1] &= ~bits
    _must(libc.capset(head, sets))


def _must(status: int) -> None:
    if status != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
