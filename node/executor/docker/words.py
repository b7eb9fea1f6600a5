"""What the engine says, made fit for those who are not of this machine. Pure.

Its errors name paths of its own: where it keeps images, where results lie, its socket. Operators' logs keep them; a
requester, and everybody whom it shows a job, gets ``…`` in their place. Does not live here: whose fault an error is
(``executor``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from node.executor.base import Task
from node.model import DockerEngine

_PATH = re.compile(r"(?:unix://|(?<![^\s\"'(=:<\[])(?=/(?!/)))/[^\s\"'(),;<>\]]*")
_STARTED = re.compile(r'exec: "(/[^"]*)"')  # The program of an image, as the image calls it.
_EVERYWHERE = frozenset({"/proc", "/sys", "/dev", "/dev/null"})
# What is put in front of what went wrong, one program after another.
_PREFIXES = (
    "failed to create task for container: ",
    "failed to create shim task: ",
    "OCI runtime create failed: ",
    "runc create failed: ",
    "unable to start container process: ",
    "error during container init: ",
)


def without_paths(text: str, known: Collection[str] = ()) -> str:
    """Every absolute path but those that are ``known`` to whoever reads it."""

    def shown(found: re.Match[str]) -> str:
        path = found[0].rstrip(":.")
        return (path if path in known else "…") + found[0][len(path) :]

    return _PATH.sub(shown, text)


def cause(text: str, task: Task) -> str:
    """What the engine has against starting the task, without who passed it on; its paths are the task's own."""
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    return without_paths(text, {*_EVERYWHERE, *_STARTED.findall(text), *_paths(task)})


def _paths(task: Task) -> Iterator[str]:
    engine = task.engine
    assert isinstance(engine, DockerEngine)
    yield from (path for _, path in task.outputs)
    yield from (mount.guest for mount in task.inputs)
    yield from (engine.workdir or "", *(engine.entrypoint or ()), *engine.args)
