"""A process that may not mount anything, as in most containers, whoever it is: Landlock, through libc."""

from __future__ import annotations

import ctypes

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # asm/unistd.h, the same everywhere
_PR_SET_NO_NEW_PRIVS = 38
_MAKE_DEVICES = 1 << 6  # linux/landlock.h: any right that is ruled over forbids mounts, too


def forbid_mounts() -> bool:
    """For this process and what it starts from now on; False where the kernel cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    handled = ctypes.c_uint64(_MAKE_DEVICES)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    if ruleset < 0:
        return False
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
