"""From the flags of ``wasm run`` to a job spec, by the same rules as the node's (``node.spec``).

Does not live here: how a broken rule is told to people who use flags (``cli.fields``).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cli import quantities
from cli.data import inputs_of, publisher_of, sharding_of
from cli.errors import UsageProblem
from cli.fields import refused
from node import limits, spec
from node.errors import InvalidModule, InvalidSpec
from node.model import OUTPUTS_DEFAULT, JobSpec
from node.vault.modules import check_head

if TYPE_CHECKING:
    from cli.wasm import Deal, Limits, Program

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
                "build it without debug information (wasm-opt -Oz, or strip)",
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
    document = {
        "version": 1,
        "name": program.name or name_of(program.module),
        "engine": {"type": "wasm", "module": sha256, "args": program.args or [], "env": _env(program.env or ())},
        "inputs": inputs_of(program),
        "outputs": _outputs(program.outputs or ()),
        "sharding": sharding_of(program),
        "publisher": publisher_of(program.publisher),
        "verifier": deal.verifier,
        "vote_on": deal.vote_on,
        "deal": {
            "concurrency": deal.concurrency,
            "confidence": deal.confidence,
            "min_bids": deal.min_bids,
            "holders_first": not deal.any_node,
            "ready_first": not deal.any_node,
            "bid_window_s": quantities.seconds(deal.bid_timeout, "--bid-timeout"),
        },
        "resources": {
            "cpu": quantities.cores(limited.cpu, "--cpu"),
            "memory_bytes": quantities.size(limited.memory, "--memory"),
            "disk_bytes": quantities.size(limited.disk, "--disk"),
        },
        "timeout_s": quantities.seconds(limited.timeout, "--timeout"),
    }
    try:
        return spec.parse(msgspec.json.encode(document))
    except InvalidSpec as error:
        raise refused(program, error.path, error.problem) from error
    except UnicodeEncodeError as error:
        raise UsageProblem("an argument is not valid UTF-8", "a job's arguments are text") from error


def name_of(module: Path) -> str:
    """A job name from a file name; ``job`` where nothing is left of it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", module.stem).lstrip("._-")[:64] or "job"


def _env(pairs: Sequence[str]) -> dict[str, str]:
    env = {}
    for pair in pairs:
        name, has_value, value = pair.partition("=")
        if not has_value:
            found = os.environ.get(name)
            if found is None:
                raise UsageProblem(f"--env: there is no variable {name!r} here", "write it as -e NAME=VALUE")
            value = found
        env[name] = value
    return env


def _outputs(volumes: Sequence[str]) -> list[dict[str, Any]]:
    """The default is always there; naming it again moves it."""
    named = [_pair(text, "--output-volumes", "NAME:/PATH, e.g. -o tables:/tables") for text in volumes]
    taken = {name for name, _ in named}
    default = [(output.name, output.path) for output in OUTPUTS_DEFAULT if output.name not in taken]
    return [{"name": name, "path": path} for name, path in default + named]


def _pair(text: str, flag: str, form: str) -> tuple[str, str]:
    name, _, path = text.partition(":")
    if not name or not path.startswith("/"):
        raise UsageProblem(f"{flag}: got {text!r}", f"write it as {form}")
    return name, path
