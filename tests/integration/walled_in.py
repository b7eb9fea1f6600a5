"""Attempts from inside a process that is confined as a worker is: what is left to who broke out of wasmtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from contract.executors import HANG_S

import node

ROOT = Path(node.__file__).parent.parent
NO_RIGHT_TO_MOUNT = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")  # Root like any other user.

_BEFORE = """
import ctypes, json, os, sys

libc = ctypes.CDLL(None, use_errno=True)

def raw(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")

def write(path):
    with open(path, "wb") as file:
        file.write(b"x")
"""
_AFTER = """
ended = {}
for name, attempt in tries.items():
    try:
        attempt()
        ended[name] = "allowed"
    except OSError as error:
        ended[name] = os.strerror(error.errno)
print(json.dumps(ended))
"""


def tried(script: str, *arguments: Path, prefix: Sequence[str] = ()) -> dict[str, str]:
    """How each of the ``tries`` that the script defines ended, by name: allowed, or with which error."""
    program = _BEFORE + textwrap.dedent(script) + _AFTER
    inside = subprocess.run(
        [*prefix, sys.executable, "-P", "-c", program, *arguments],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        timeout=HANG_S,
        check=True,
    )
    ended: dict[str, str] = json.loads(inside.stdout)
    return ended
