"""From the flags that every job has to its spec, by the same rules as the node's (``node.spec``).

Does not live here: how a broken rule is told (``cli.fields``), the part of the spec that says what runs
(``cli.wasm_spec``, ``cli.docker_spec``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cli import quantities
from cli.data import inputs_of, publisher_of, sharding_of
from cli.errors import UsageProblem
from cli.fields import refused
from node import spec
from node.errors import InvalidSpec
from node.model import OUTPUTS_DEFAULT, JobSpec

if TYPE_CHECKING:
    from cli.submission import Deal, Limits, Work


def job_spec(work: Work, deal: Deal, limited: Limits, engine: Mapping[str, Any], name: str, gpus: int = 0) -> JobSpec:
    """The complete spec; ``name`` is the job's unless a flag says another. Raises UsageProblem that names the flag."""
    document = {
        "version": 1,
        "name": work.name or name,
        "engine": {**engine, "env": _env(work.env or ())},
        "inputs": inputs_of(work),
        "outputs": _outputs(work.outputs or ()),
        "sharding": sharding_of(work),
        "publisher": publisher_of(work.publisher),
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
            "gpus": gpus,
        },
        "timeout_s": quantities.seconds(limited.timeout, "--timeout"),
    }
    try:
        return spec.parse(msgspec.json.encode(document))
    except InvalidSpec as error:
        raise refused(work, error.path, error.problem) from error
    except UnicodeEncodeError as error:
        raise UsageProblem("an argument is not valid UTF-8", "a job's arguments are text") from error


def name_of(text: str) -> str:
    """A job name from that of a program; ``job`` where nothing is left of it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")[:64] or "job"


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
