"""seccomp: the system calls that a process gives up, as a small BPF program handed to ``prctl``.

Denied is what opens a way out of the process: sockets, other programs, other processes, and the kernel's large and
rarely needed surfaces. Not a list of what is allowed: what wasmtime, glibc and Python call differs between their
versions, and a call that is forgotten there would fail runs on some nodes and not on others. No library: the one there
is (libseccomp) is a package of the system, and this is a hundred instructions.
Source: Documentation/userspace-api/seccomp_filter.rst; numbers from asm/unistd_64.h and asm-generic/unistd.h.
Does not live here: files (``landlock``).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass

_PR_SET_SECCOMP = 22
_MODE_FILTER = 2

_LOAD, _EQUAL, _AT_LEAST, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in seccomp_data; of the argument the low half
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_CLONE_THREAD = 0x10000
_X32 = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class _Architecture:
    audit: int
    denied: tuple[int, ...]
    clone: int
    clone3: int
    kill: int
    tgkill: int
    prlimit64: int


# New system calls have one number everywhere. In order: pidfd_send_signal; io_uring; mounting (open_tree to fspick,
# mount_setattr); pidfd_open, pidfd_getfd; process_madvise; quotactl_fd; memfd_secret.
_DENIED_EVERYWHERE = (424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 442, 434, 438, 440, 443, 447)

_HERE = {
    "x86_64": _Architecture(
        audit=0xC000003E,
        denied=(
            *(41, 42, 43, 49, 50, 53, 288),  # socket, connect, accept, bind, listen, socketpair, accept4
            *(57, 58, 59, 322),  # fork, vfork, execve, execveat
            *(101, 310, 311, 312, 129, 297, 200),  # ptrace, process_vm_*, kcmp, rt_*sigqueueinfo, tkill
            *(29, 30, 64, 68, 240),  # shmget, shmat, semget, msgget, mq_open
            *(155, 161, 165, 166, 272, 308, 303, 304),  # pivot_root, chroot, mounts, unshare, setns, handles
            *(321, 298, 323, 300, 248, 249, 250),  # bpf, perf_event_open, userfaultfd, fanotify_init, keys
            *(175, 313, 176, 246, 320, 169, 167, 168, 163, 179),  # modules, kexec, reboot, swap, acct, quotactl
            *(164, 227, 159, 305, 170, 171, 103, 172, 173, 135),  # clocks, names, syslog, ports, personality
            *(141, 251, 142, 144, 203, 314, 256, 279),  # priorities and pages of others
        ),
        clone=56,
        clone3=435,
        kill=62,
        tgkill=234,
        prlimit64=302,
    ),
    "aarch64": _Architecture(
        audit=0xC00000B7,
        denied=(
            *(198, 203, 202, 200, 201, 199, 242),
            *(221, 281),
            *(117, 270, 271, 272, 138, 240, 130),
            *(194, 196, 190, 186, 180),
            *(41, 51, 40, 39, 97, 268, 264, 265),
            *(280, 241, 282, 262, 217, 218, 219),
            *(105, 273, 106, 104, 294, 142, 224, 225, 89, 60),
            *(170, 112, 171, 266, 161, 162, 116, 92),
            *(140, 30, 118, 119, 122, 274, 238, 239),
        ),
        clone=220,
        clone3=435,
        kill=129,
        tgkill=131,
        prlimit64=261,
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def is_here() -> bool:
    """Whether this kernel filters, and its system calls are known."""
    return platform.machine() in _HERE and os.path.exists("/proc/sys/kernel/seccomp/actions_avail")


def restrict() -> None:
    """Give them up, for good, for this thread and those it starts. Nothing where it is not here.

    Raises OSError. Needs ``no_new_privs``.
    """
    if not is_here():
        return
    code = _assembled(_HERE[platform.machine()], os.getpid())
    program = _Program(len(code) // 8, code)
    if _libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _assembled(here: _Architecture, own_pid: int) -> bytes:
    deny, no_such_call = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    return b"".join(
        (
            _instruction(_LOAD, _ARCHITECTURE),
            *_unless(_EQUAL, here.audit, _KILL),
            _instruction(_LOAD, _NUMBER),
            *_when(_AT_LEAST, _X32, deny),
            *_when_any(sorted((*here.denied, *_DENIED_EVERYWHERE)), deny),
            *_when(_EQUAL, here.clone3, no_such_call),  # Its flags lie in memory: glibc then calls clone.
            *_guarded(here.clone, _BITS, _CLONE_THREAD),
            *_guarded(here.kill, _EQUAL, own_pid),
            *_guarded(here.tgkill, _EQUAL, own_pid),
            *_guarded(here.prlimit64, _EQUAL, 0),
            _instruction(_RETURN, _ALLOW),
        )
    )


def _guarded(number: int, test: int, value: int) -> tuple[bytes, ...]:
    """This call is allowed when its first argument passes the test."""
    return (
        _instruction(_EQUAL, number, 0, 4),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(test, value, 0, 1),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _ERRNO | errno.EPERM),
    )


def _when_any(numbers: Iterable[int], answer: int) -> tuple[bytes, ...]:
    return tuple(piece for number in numbers for piece in _when(_EQUAL, number, answer))


def _when(test: int, value: int, answer: int) -> tuple[bytes, ...]:
    return (_instruction(test, value, 0, 1), _instruction(_RETURN, answer))


def _unless(test: int, value: int, answer: int) -> tuple[bytes, ...]:
    return (_instruction(test, value, 1, 0), _instruction(_RETURN, answer))


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One ``sock_filter``: jumps count the instructions that are left out."""
    return struct.pack("<HBBI", code, if_true, if_false, value)
