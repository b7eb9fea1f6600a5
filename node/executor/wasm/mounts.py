"""Mounts in a namespace of this process's own, by the few calls of libc that Python 3.11 does not have.

Nothing that is mounted here is ever seen outside of the process and what it forks, and the kernel removes it with the
last of them, however they end. What the machine mounts and unmounts meanwhile is seen here too (propagation ``slave``):
no share is kept busy for its operator, none is missed.
Does not live here: what is mounted, and where (``view``).
"""

from __future__ import annotations

import ctypes
import os

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8  # linux/mount.h
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = 32, 4096, 16384, 1 << 19
_READ_ONLY = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
_MNT_DETACH = 2
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000  # linux/sched.h
_CAPABILITIES_V3 = 0x20080522  # linux/capability.h: two sets of three words

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


class Refused(Exception):
    """The kernel, or what it was told of this machine's rules, does not allow it."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what}: {os.strerror(number)}")
        self.errno = number


def unshare() -> bool:
    """Give this process, which has one thread, a mount namespace; whether it got capabilities with it, to be dropped.

    Who may not do so alone may with a user namespace, in which nobody but the same user exists. Raises Refused.
    """
    try:
        _done("unshare", _libc.unshare(_CLONE_NEWNS))
    except Refused:
        _unshare_as_user()
        return True
    _follow_the_machine()
    return False


def drop_capabilities() -> None:
    """For good, with PR_SET_NO_NEW_PRIVS. Raises Refused."""
    head = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    _done("capset", _libc.capset(head, (ctypes.c_uint32 * 6)()))


def mount_empty(folder: bytes, entries_max: int) -> None:
    """A file system in memory over ``folder``, for names alone: it holds no bytes. Raises Refused."""
    options = b"mode=700,size=4k,nr_inodes=%d" % entries_max
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _done("mount", _libc.mount(b"tmpfs", folder, b"tmpfs", flags, options))


def bind(file: int, target: bytes) -> None:
    """Show the open file or folder (O_PATH is enough) at ``target``, read-only; with what is mounted in it.

    Raises Refused.
    """
    _done("mount", _libc.mount(b"/proc/self/fd/%d" % file, target, None, _MS_BIND | _MS_REC, None))
    seal(target)


def seal(target: bytes) -> None:
    """Make what is mounted there read-only. Raises Refused."""
    _done("mount", _libc.mount(None, target, None, _MS_REMOUNT | _MS_BIND | _READ_ONLY, None))


def unmount(folder: bytes) -> None:
    """With all that is mounted in it, at once, also when it is in use. Raises Refused."""
    _done("umount", _libc.umount2(folder, _MNT_DETACH))


def why_not() -> str | None:
    """Why this machine does not let a process of this user do all of the above; None if it does. Forks a child."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            code = _tried()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return None if code == 0 else os.strerror(code) if code > 0 else "the attempt was killed"


def _tried() -> int:
    """0, or an errno; ``/proc`` is a folder that is there wherever ``bind`` works."""
    try:
        unshare()
        bind(os.open("/", os.O_PATH), b"/proc")
        mount_empty(b"/proc", 2)
    except Refused as refused:
        return refused.errno
    except OSError as error:
        return error.errno or 255
    return 0


def _unshare_as_user() -> None:
    uid, gid = os.geteuid(), os.getegid()
    _done("unshare", _libc.unshare(_CLONE_NEWNS | _CLONE_NEWUSER))
    try:
        for file, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            _tell(file, line)
        _follow_the_machine()
    except Refused:
        drop_capabilities()
        raise


def _follow_the_machine() -> None:
    _done("mount", _libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None))


def _tell(file: str, line: str) -> None:
    try:
        with open(f"/proc/self/{file}", "w") as opened:
            opened.write(line)
    except OSError as error:
        raise Refused(file, error.errno or 0) from error


def _done(what: str, result: int) -> None:
    if result != 0:
        raise Refused(what, ctypes.get_errno())
