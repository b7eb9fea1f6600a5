"""Why a run or a compilation ended, in words that a person can act on.

Does not live here: traps (``engine``), inputs (``staging``): their reasons come with the answer.
"""

from __future__ import annotations

import signal

from node.errors import DriverUnavailable, ExecutionFailed
from node.executor.base import RunLimits
from node.executor.measure import too_long
from node.executor.wasm.confine import COMPILE_CPU_S, COMPILE_MEMORY_BYTES, COMPILED_BYTES_MAX
from node.executor.wasm.protocol import Failed
from node.model import cut


def out_of_time(limits: RunLimits, *, compiling: bool) -> ExecutionFailed:
    """The wall clock."""
    what = "the module was still being compiled" if compiling else "still running"
    return ExecutionFailed("time", f"{what} after {limits.wall_s:g} s; raise --timeout")


def run_failed(answer: Failed) -> ExecutionFailed:
    """What the worker said of it."""
    advice = "; raise --memory" if answer.code == "memory" else ""
    return ExecutionFailed(answer.code, cut(answer.detail) + advice)


def run_ended_by(status: int | None, limits: RunLimits) -> ExecutionFailed | DriverUnavailable:
    """A worker that died in a run, by its exit status (a signal is negative; None: not known)."""
    if status == -signal.SIGPROF:
        return ExecutionFailed("cpu", f"used more than {limits.cpu_s:g} s of CPU time; raise --timeout")
    if status == -signal.SIGXFSZ:
        return ExecutionFailed("output", too_long(limits.output_bytes))
    return DriverUnavailable(f"the worker process {_died(status)}; the run may be tried again")


def compilation_ended_by(status: int | None) -> ExecutionFailed | DriverUnavailable:
    """A compiler that died."""
    if status == -signal.SIGXCPU:
        return ExecutionFailed("module", f"takes more than {COMPILE_CPU_S} s to compile; make the module smaller")
    if status == -signal.SIGXFSZ:
        return ExecutionFailed("module", f"compiles to more than {COMPILED_BYTES_MAX} bytes; make the module smaller")
    if status in (-signal.SIGABRT, -signal.SIGSEGV):
        return ExecutionFailed(
            "module", f"needs more than {COMPILE_MEMORY_BYTES} bytes to compile; make the module smaller"
        )
    return DriverUnavailable(f"the compiler process {_died(status)}; it may be tried again")


def _died(status: int | None) -> str:
    if status is None:
        return "is gone"
    if status == -signal.SIGKILL:
        return "was killed (is this machine out of memory?)"
    return f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with code {status}"
