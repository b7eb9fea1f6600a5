"""From the flags of ``wasm run`` to a job spec, by the same rules as the node's (``node.spec``).

Does not live here: how a broken rule is told to people who use flags (``cli.fields``).
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from cli import quantities
from cli.errors import UsageProblem
from cli.job_spec import job_spec, name_of
from node import limits
from node.errors import InvalidModule
from node.model import JobSpec
from node.vault.modules import HOW_TO_SHRINK, check_head

if TYPE_CHECKING:
    from cli.submission import Deal, Limits
    from cli.wasm import Program

_HEAD_BYTES = 8


def read_module(path: Path) -> str:
    """The sha256 of a module. Raises UsageProblem, InvalidModule for what cannot be one, before a node is asked."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise UsageProblem(f"{path} is {kind}", "give the .wasm file itself")
        if status.st_size > limits.MODULE_BYTES_MAX:
            raise UsageProblem(
                f"{path} has {quantities.shown_size(status.st_size)}, a module may have"
                f" {quantities.shown_size(limits.MODULE_BYTES_MAX)}",
                HOW_TO_SHRINK,
            )
        with path.open("rb") as file:
            check_head(file.read(_HEAD_BYTES), whole=True)
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except InvalidModule as error:
        raise InvalidModule(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise UsageProblem(f"{path} does not exist", "give the path of a .wasm file") from error
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read: {error.strerror}", "give the path of a .wasm file") from error


def spec_of(program: Program, deal: Deal, limited: Limits, sha256: str) -> JobSpec:
    """The complete spec. Raises UsageProblem that names the flag."""
    engine = {
        "type": "wasm",
        "module": sha256,
        "args": program.args or [],
        "profile": program.profile,
        "isolation": program.isolation,
        "fuel": program.fuel,
        "stdin": program.stdin,
    }
    return job_spec(program, deal, limited, engine, name_of(program.module.stem))
