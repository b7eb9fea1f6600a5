"""From a field of a spec back to the flag that filled it: rules name fields, people who use flags see none. Pure.

Lives here: which flag, as it was written, and what to write instead. Does not live here: what a flag means in the spec
(``cli.job_spec``, ``cli.data``), the rules (``node.spec``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from cli.data import Data, written
from cli.errors import SpecRefused, UsageProblem
from cli.output import program

FLAGS = {
    "$.name": "--name",
    "$.engine.args": "ARGS",
    "$.engine.env": "--env",
    "$.engine.profile": "--profile",
    "$.engine.isolation": "--isolation",
    "$.engine.fuel": "--fuel",
    "$.engine.stdin": "--stdin",
    "$.engine.image": "IMAGE",
    "$.engine.entrypoint": "--entrypoint",
    "$.engine.workdir": "--workdir",
    "$.engine.runtime": "--runtime",
    "$.inputs": "--input-volumes, -i, -u and --input-file",
    "$.outputs": "--output-volumes",
    "$.sharding.glob_pattern": "--sharding-glob-pattern",
    "$.sharding.base_path": "--sharding-base-path",
    "$.sharding.batch_size": "--sharding-batch-size",
    "$.sharding": "--sharding-glob-pattern",
    "$.publisher": "--publisher",
    "$.verifier": "--verifier",
    "$.vote_on": "--vote-on",
    "$.deal.concurrency": "--concurrency",
    "$.deal.confidence": "--confidence",
    "$.deal.min_bids": "--min-bids",
    "$.deal.bid_window_s": "--bid-timeout",
    "$.resources.cpu": "--cpu",
    "$.resources.memory_bytes": "--memory",
    "$.resources.disk_bytes": "--disk",
    "$.resources.gpus": "--gpu",
    "$.timeout_s": "--timeout",
}

_FIELD = re.compile(r"`(\$\.[^`]*)`")
_OF_AN_INPUT = re.compile(r"\$\.inputs\[(\d{1,6})\]")
_PLACE = re.compile(r"\$\.inputs\[\d+\]\.path\Z")


def refused(data: Data, path: str, problem: str) -> UsageProblem:
    """A broken rule in the words of the command line. ``path``: the field, as in ``$.inputs[0].path``."""
    inputs = written(data)
    flag = _flag_of(path, inputs)
    said = _FIELD.sub(lambda match: f"`{_flag_of(match[1], inputs) or match[1]}`", _said_once(flag, problem))
    return UsageProblem(f"{flag}: {said}" if flag else f"{said} at `{path}`", _hint(path, problem, data))


@contextmanager
def by_flags(data: Data) -> Iterator[None]:
    """The same for rules that the node checks; what names no field stays as it is. Raises UsageProblem."""
    try:
        yield
    except SpecRefused as error:
        if not _flag_of(error.path, written(data)):
            raise
        raise refused(data, error.path, error.rule) from error


def _flag_of(path: str, inputs: tuple[str, ...]) -> str:
    match = _OF_AN_INPUT.match(path)
    if match is not None and int(match[1]) < len(inputs):
        return inputs[int(match[1])]
    return next(
        (flag for field, flag in FLAGS.items() if path == field or path.startswith((f"{field}[", f"{field}."))), ""
    )


def _said_once(flag: str, problem: str) -> str:
    """Without the source in front that the flag has already named."""
    source, _, rest = problem.partition(" ")
    named = flag.partition(" ")[2]
    return rest if source and (named == source or named.startswith(f"{source}:/")) else problem


def _hint(path: str, problem: str, data: Data) -> str:
    """Of two inputs that are in each other's way, a file that is sent along is the one that moves."""
    if "its operator" in problem:
        return "ask another node with --api, or this one's operator"
    if _OF_AN_INPUT.fullmatch(path):
        return "look at what it names, try again, or ask another node with --api"
    if _PLACE.match(path) is None:
        return f"`{program()} {data.command} --help` says what each flag takes"
    meant = [int(match[1]) for match in _OF_AN_INPUT.finditer(f"{path} {problem}")]
    flags = [written(data)[index] for index in meant if index < len(written(data))]
    mover = next((flag for flag in flags if flag.startswith("--input-file ")), flags[0] if flags else "")
    kind, _, text = mover.partition(" ")
    match kind:
        case "--input-file":
            name, placed, _ = text.rpartition(":/")
            return f"put it elsewhere: --input-file {name if placed else text}:/other/"
        case "-u":
            return f"put it elsewhere: -v {text}:/other/"
        case _:
            return f"put it elsewhere: -v {text if kind == '-i' else text.rpartition(':/')[0]}:/other"
