"""A process that may not mount anything, as in most containers, whoever it is: Landlock, through libc."""

from __future__ import annotations

import ctypes
import os
import struct

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # asm/unistd.h, the same everywhere
_PR_SET_NO_NEW_PRIVS = 38
_PATH_BENEATH = 1
_REFER = 1 << 13  # linux/landlock.h: any right that is ruled over forbids mounts, and this one, too, unless it is given


def forbid_mounts() -> bool:
    """For this process and what it starts from now on; False where the kernel cannot. Links and moves stay allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    handled = ctypes.c_uint64(_REFER)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    if ruleset < 0:
        return False
    everywhere = struct.pack("<Qi", _REFER, os.open("/", os.O_PATH))
    if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, everywhere, 0) != 0:
        return False
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
