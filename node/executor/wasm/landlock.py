"""Landlock: which files this process can still reach, and that it can reach no network and signal nobody outside.

Three system calls, the same on every architecture; no library. What a kernel has is asked of it: files from version 2
on (Linux 5.19; before, nothing could be linked from one folder to another), TCP from 4, signals and abstract sockets
from 6. Source: Documentation/userspace-api/landlock.rst, include/uapi/linux/landlock.h.
Does not live here: which files those are (``confine``), other system calls (``seccomp``).
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import os
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_VERSION_MIN = 2
_TCP_FROM, _SCOPES_FROM = 4, 6
_ALL_TCP, _ALL_SCOPES = 0b11, 0b11

_libc = ctypes.CDLL(None, use_errno=True)


class Right(enum.IntFlag):
    """What may be done with a file, or below a folder."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ = Right.READ_FILE | Right.READ_DIR
LINKED_FROM = READ | Right.REFER
ARRANGE = LINKED_FROM | Right.MAKE_DIR | Right.MAKE_REG | Right.MAKE_SYM | Right.REMOVE_DIR | Right.REMOVE_FILE
WRITE = ARRANGE | Right.WRITE_FILE | Right.TRUNCATE

_OF_FILES = Right.EXECUTE | Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE | Right.IOCTL_DEV
_SINCE = {2: Right.REFER, 3: Right.TRUNCATE, 5: Right.IOCTL_DEV}


@dataclass(frozen=True, slots=True)
class Rule:
    """A file, or a folder and all below it, wherever they are moved to."""

    path: bytes
    rights: Right


def is_here() -> bool:
    """Whether this kernel has enough of it."""
    return _version() >= _VERSION_MIN


def restrict(rules: Iterable[Rule]) -> None:
    """Give up all files but these, for good, for this thread and those it starts. Nothing where it is not here.

    A path that is not there gives no rule. Raises OSError. Needs ``no_new_privs``.
    """
    version = _version()
    if version < _VERSION_MIN:
        return
    handled = _handled(version)
    attributes = struct.pack(
        "<QQQ", handled, _ALL_TCP if version >= _TCP_FROM else 0, _ALL_SCOPES if version >= _SCOPES_FROM else 0
    )
    size = 24 if version >= _SCOPES_FROM else 16 if version >= _TCP_FROM else 8
    ruleset = _call(_CREATE_RULESET, attributes, size, 0)
    try:
        for rule in rules:
            with contextlib.suppress(FileNotFoundError):
                _add(ruleset, rule, handled)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _version() -> int:
    """0 where there is none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)))


def _handled(version: int) -> int:
    later = Right(0)
    for since, right in _SINCE.items():
        if since > version:
            later |= right
    return int(~later & Right((1 << len(Right)) - 1))


def _add(ruleset: int, rule: Rule, handled: int) -> None:
    place = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = rule.rights & handled
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("<Qi", rights, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: int | bytes) -> int:
    passed = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    result = int(_libc.syscall(number, *passed))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
