"""What a child process gives up before it touches anything that others wrote.

Called between the fork and the first Engine, so that the engine's threads inherit all of it, and before anything that
others wrote is looked at, but for a module that is only read. Files: those that are named, by Landlock. System calls:
none that leads to another process or out of the machine, by seccomp. A kernel without them lacks a second wall, which
the node says in its log.
Does not live here: limits of one run (``worker``), ends by wall clock (the node).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import tempfile
from collections.abc import Sequence

from node import limits
from node.executor.wasm import landlock, seccomp
from node.executor.wasm.landlock import Rule

COMPILE_CPU_S = 60  # A 26 MB interpreter takes about 25; the child ends by SIGXCPU.
COMPILE_MEMORY_BYTES = 2 * limits.GiB  # The child ends by SIGABRT.
COMPILED_BYTES_MAX = 1 * limits.GiB  # The child ends by SIGXFSZ.

_FILES_OPEN_MAX = 1024
_COMPILE_NICE = 10  # Compiling is throughput: it gives way to the node and to runs.
_ENGINE_BYTES = 384 * limits.MiB  # The engine's own heap and tables, and what the profile remembers of files.
_THREAD_BYTES = 8 * limits.MiB  # Stack and heap of each of its threads, one per core.
_RESERVED_BYTES = 24 * limits.GiB  # wasmtime reserves 4 GiB for each of two memories, 4 for references, and guards.
_THREAD_RESERVED_BYTES = 256 * limits.MiB  # So does malloc, for each thread.

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


def adopt(files: Sequence[int], parent: int) -> None:
    """Own session, only ``files`` open (as 3, 4, …), no terminal; ended when ``parent`` ends."""
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It died before the line above.
        os._exit(0)
    _keep_only(files)
    os.umask(0o077)
    for number in (signal.SIGXCPU, signal.SIGXFSZ, signal.SIGPROF, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def go_nowhere() -> None:
    """A working folder of its own for this process and its children: empty, and without a name, so that it stays so."""
    with contextlib.suppress(OSError):  # No folder can be made here: then it is the root, as at the start.
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)


def lacking() -> tuple[str, ...]:
    """What this kernel cannot confine with."""
    return tuple(name for name, wall in (("landlock", landlock), ("seccomp", seccomp)) if not wall.is_here())


def confine_worker(memory_bytes: int, files: Sequence[Rule]) -> None:
    """Hard limits that hold for every run of this process, and the files that it can reach."""
    _confine()
    _limit_memory(memory_bytes)
    _wall_in(files)


def confine_compiler() -> None:
    """Hard limits of a compilation: a module of 85 KB can ask for minutes and gigabytes. No file can be reached."""
    _confine()
    _limit_memory(COMPILE_MEMORY_BYTES)
    _hard(resource.RLIMIT_CPU, COMPILE_CPU_S)
    _hard(resource.RLIMIT_FSIZE, COMPILED_BYTES_MAX)
    os.nice(_COMPILE_NICE)
    _wall_in(())


def _wall_in(files: Sequence[Rule]) -> None:
    landlock.restrict(files)
    seccomp.restrict()


def _limit_memory(granted: int) -> None:
    """RLIMIT_DATA counts what can be written to, so it is the limit; RLIMIT_AS, with room to reserve, is the rest."""
    pages, *_, data_pages, _ = (int(field) for field in _statm())
    page, cores = resource.getpagesize(), os.cpu_count() or 1
    _hard(resource.RLIMIT_DATA, data_pages * page + granted + _ENGINE_BYTES + cores * _THREAD_BYTES)
    _hard(resource.RLIMIT_AS, pages * page + granted + _RESERVED_BYTES + cores * _THREAD_RESERVED_BYTES)


def _confine() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    _hard(resource.RLIMIT_CORE, 0)
    _hard(resource.RLIMIT_NOFILE, _FILES_OPEN_MAX)


def _hard(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(what, (value, value))


def _keep_only(files: Sequence[int]) -> None:
    """Copies go above every number in use first, so that no move overwrites a later one."""
    highest = max(3 + len(files), *files) + 1
    high = [_duplicate(number, highest) for number in files]
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    for place, number in enumerate(high, start=3):
        os.dup2(number, place, inheritable=False)
    os.closerange(3 + len(files), os.sysconf("SC_OPEN_MAX"))


def _duplicate(number: int, at_least: int) -> int:
    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, at_least)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _statm() -> list[str]:
    with open("/proc/self/statm") as file:
        return file.read().split()
