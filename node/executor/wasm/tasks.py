"""What a task asks of a worker: whose it must be, what it must reach, and the run that it is told of.

Does not live here: workers (``executor``), what the messages are (``protocol``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from node import limits
from node.executor.base import Task
from node.executor.wasm.pool import Key, Place
from node.executor.wasm.protocol import Input, Job
from node.executor.wasm.settings import Settings, level_here
from node.model import Sha256, WasmEngine

LEVEL = level_here()
READS_BYTES_MAX = 16 * limits.KiB  # Of paths of inputs: with more a worker can reach the folder that they all lie in.


def engine_of(task: Task) -> WasmEngine:
    """That of every task which comes here."""
    assert isinstance(task.engine, WasmEngine)
    return task.engine


def settings_of(task: Task) -> Settings:
    """How its module is compiled."""
    engine = engine_of(task)
    return Settings(LEVEL, engine.profile == "deterministic", engine.fuel is not None)


def key_of(task: Task, results: Path) -> Key:
    """Which workers it may have. Blocking, if it has inputs; waits for no file system but the node's own."""
    return Key(
        tenant=task.tenant,
        module=Sha256(engine_of(task).module),
        memory_bytes=task.limits.memory_bytes,
        settings=settings_of(task),
        reads=_reads(task) if task.inputs else (),
        results=os.fsencode(results.parent),
    )


def paths_of(reads: Sequence[Place]) -> tuple[bytes, ...]:
    """What a worker is told that it may reach; it fits into a packet."""
    paths = tuple(place.path for place in reads)
    return paths if sum(map(len, paths)) <= READS_BYTES_MAX else (os.path.commonpath(paths),)


def job_of(task: Task, results: Path) -> Job:
    """What its worker is told."""
    engine = engine_of(task)
    return Job(
        args=engine.args,
        env=tuple(sorted(engine.env.items())),
        inputs=tuple(Input(os.fsencode(mount.host), mount.guest, mount.within) for mount in task.inputs),
        outputs=task.outputs,
        results=os.fsencode(results),
        stdin=engine.stdin,
        fuel=engine.fuel,
        seed=task.seed,
        cpu_s=task.limits.cpu_s,
        output_bytes=task.limits.output_bytes,
        output_files=task.limits.output_files,
    )


def _reads(task: Task) -> tuple[Place, ...]:
    """Whole inputs, so that the shards of a job have their worker in common."""
    roots = {os.fsencode(mount.root or mount.host): mount.inode for mount in task.inputs}
    return tuple(_place(path, roots[path]) for path in sorted(roots))


def _place(path: bytes, inode: tuple[int, int] | None) -> Place:
    """What is not there is nowhere; the run says so."""
    if inode is None:
        try:
            found = os.stat(path)
        except OSError:
            return Place(path, 0, 0)
        inode = found.st_dev, found.st_ino
    return Place(path, *inode)
