"""Run a module so that it dies with whoever started it: ``python -m cli.demo.leash PARENT_PID MODULE ARGS...``.

A demo that is killed with SIGKILL cannot end its nodes, so the kernel does (prctl(2), PR_SET_PDEATHSIG). It is asked
here, in the child, because a ``preexec_fn`` may hang in a process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Never returns to the caller's argument list: the module gets its own."""
    parent, module, *arguments = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # It died before the kernel was asked.
        os._exit(1)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
