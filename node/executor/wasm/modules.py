"""The cache of compiled modules: each compiled once, in a process of its own, however many ask.

``<sha256>.<profile>.cwasm`` is machine code that workers execute: whoever can write to the folder owns the node, so it
is refused when others can. The module used longest ago goes when the folder is over its limit.
Does not live here: the modules themselves (``node.vault.modules``), compiling (``compiler``).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import trio

from node import limits
from node.ambient import Offload
from node.errors import DriverUnavailable, ExecutionFailed, OperatorError
from node.executor.base import Task
from node.executor.wasm.processes import Processes
from node.executor.wasm.protocol import PROFILE, Broken, Compiled, CompilerSpec, Failed
from node.executor.wasm.reasons import compilation_ended_by
from node.model import Sha256, WasmEngine, cut
from node.turns import Turns

COMPILERS_MAX = 2  # Further modules wait for their turn; one party has all but one at most.
COMPILE_WALL_S = 180.0  # A compiler is killed; on a busy machine its CPU limit comes later than this.

_REFUSED_MAX = 1024  # The refusal longest ago is forgotten, and that module compiled again when asked for.
_INCOMING = ".compiling-"


def wanted(task: Task) -> Sha256:
    """The module that it runs."""
    assert isinstance(task.engine, WasmEngine)
    return Sha256(task.engine.module)


class Modules:
    """Compiled modules by the sha256 of their source."""

    def __init__(self, folder: Path, processes: Processes, offload: Offload) -> None:
        self._folder = folder
        self._processes = processes
        self._offload = offload
        self._profile = f"{PROFILE}-{importlib.metadata.version('wasmtime')}"
        self._turns = Turns(COMPILERS_MAX)
        self._compiling: dict[Sha256, trio.Event] = {}
        self._refused: OrderedDict[Sha256, str] = OrderedDict()

    def open(self) -> None:
        """Make or check the folder, remove what a crash left. Raises OperatorError. Blocking."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self._folder.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise OperatorError(
                f"others can write to {self._folder}, from which this node executes code; chown it to the node's user"
                " and chmod it 0700, or delete it"
            )
        for left_over in self._folder.glob(f"{_INCOMING}*"):
            left_over.unlink(missing_ok=True)

    async def compiled(self, task: Task) -> Path:
        """Where the machine code of the task's module lies. Raises ExecutionFailed, DriverUnavailable."""
        sha256 = wanted(task)
        path = self._path(sha256)
        while not await self._offload(_used, path):
            if sha256 in self._refused:
                raise ExecutionFailed("module", self._refused[sha256])
            under_way = self._compiling.get(sha256)
            if under_way is None:
                await self._lead(sha256, task)
            else:
                await under_way.wait()  # When the one who leads is cancelled, another one does.
        return path

    async def forget(self, task: Task) -> None:
        """Its machine code cannot be used: the next who asks compiles it again."""
        await self._offload(_remove, self._path(wanted(task)))

    def _path(self, sha256: Sha256) -> Path:
        return self._folder / f"{sha256}.{self._profile}.cwasm"

    async def _lead(self, sha256: Sha256, task: Task) -> None:
        done = self._compiling[sha256] = trio.Event()
        try:
            async with self._turns.one(task.tenant):
                assert task.module is not None
                await self._compile(sha256, task.module)
        finally:
            del self._compiling[sha256]
            done.set()

    async def _compile(self, sha256: Sha256, module: Path) -> None:
        try:
            file, incoming = tempfile.mkstemp(prefix=_INCOMING, dir=self._folder)
        except OSError as error:
            raise DriverUnavailable(f"the compiled module cannot be kept: {error.strerror}") from error
        try:
            await self._compile_to(file, CompilerSpec(os.fsencode(module), sha256))
            await self._offload(_keep, Path(incoming), self._path(sha256))
        finally:
            os.close(file)
            _remove(Path(incoming))

    async def _compile_to(self, file: int, spec: CompilerSpec) -> None:
        child = await self._processes.spawn(spec, [file])
        answer = None
        try:
            with trio.move_on_after(COMPILE_WALL_S):
                answer = await child.channel.answer()
        finally:
            await child.end()
        match answer:
            case Compiled():
                return
            case Broken(detail):
                raise DriverUnavailable(cut(detail))
            case Failed("module", detail):
                raise self._refuse(Sha256(spec.sha256), cut(detail))
            case _:
                error = compilation_ended_by(child.status)
                raise self._refuse(Sha256(spec.sha256), error.detail) if isinstance(error, ExecutionFailed) else error

    def _refuse(self, sha256: Sha256, detail: str) -> ExecutionFailed:
        self._refused[sha256] = detail
        if len(self._refused) > _REFUSED_MAX:
            self._refused.popitem(last=False)
        return ExecutionFailed("module", detail)


def _used(path: Path) -> bool:
    """Whether it is there; it is marked as used now."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _keep(incoming: Path, path: Path) -> None:
    """Give it its name, and make room."""
    try:
        incoming.replace(path)
    except OSError as error:
        raise DriverUnavailable(f"the compiled module cannot be kept: {error.strerror}") from error
    entries = sorted(_sizes(path.parent))
    total = sum(size for _, size, _ in entries)
    for _, size, item in entries:
        if total > limits.MODULE_CACHE_BYTES and item != path:
            _remove(item)
            total -= size


def _sizes(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """When used (ns), bytes and path of each; another one may be making room at the same time."""
    for item in folder.glob("*.cwasm"):
        with contextlib.suppress(FileNotFoundError):
            found = item.stat()
            yield found.st_mtime_ns, found.st_size, item


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
