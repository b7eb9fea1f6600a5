"""The cache of compiled modules: each compiled once, in a process of its own, however many ask.

``<sha256>.<settings>.cwasm`` is machine code that workers execute: whoever can write to the folder owns the node, so it
is refused when others can, at the start and at each use. The parts of the deterministic profile lie beside the modules,
as if they were some. What was used longest ago goes when the folder is over its limit.
Does not live here: the modules themselves (``node.vault.modules``), compiling (``compiler``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from node import limits
from node.ambient import Offload
from node.errors import DriverUnavailable, ExecutionFailed, OperatorError
from node.executor.base import Task
from node.executor.wasm.processes import Processes
from node.executor.wasm.protocol import PARTS, Broken, Compiled, CompilerSpec, Failed
from node.executor.wasm.reasons import compilation_ended_by
from node.executor.wasm.settings import Settings
from node.executor.wasm.tasks import engine_of
from node.model import cut
from node.turns import Turns

log = logging.getLogger("quorate.executor.wasm")

COMPILERS_MAX = 2  # Further modules wait for their turn; one party has all but one at most.
COMPILE_WALL_S = 180.0  # A compiler is killed; on a busy machine its CPU limit comes later than this.

_REFUSED_MAX = 1024  # The refusal longest ago is forgotten, and that module compiled again when asked for.
_INCOMING = ".compiling-"


@dataclass(frozen=True, slots=True)
class _Item:
    """What is compiled: a module by its sha256, or a part of the deterministic profile."""

    what: str
    settings: Settings

    @property
    def name(self) -> str:
        return f"{self.what}.{self.settings.key}.cwasm"


class Modules:
    """Compiled modules by the sha256 of their source and the settings."""

    def __init__(self, folder: Path, processes: Processes, offload: Offload) -> None:
        self._folder = folder
        self._processes = processes
        self._offload = offload
        self._turns = Turns(COMPILERS_MAX)
        self._compiling: dict[_Item, trio.Event] = {}
        self._refused: OrderedDict[_Item, str] = OrderedDict()

    def open(self) -> None:
        """Make or check the folder, remove what a crash left. Raises OperatorError. Blocking."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self._folder.stat()
        except OSError as error:
            raise OperatorError(f"{self._folder} cannot be used: {error.strerror}") from error
        if not _is_ours(found):
            raise OperatorError(
                f"others can write to {self._folder}, from which this node executes code; chown it to the node's user"
                " and chmod it 0700, or delete it"
            )
        for left_over in self._folder.glob(f"{_INCOMING}*"):
            left_over.unlink(missing_ok=True)

    async def compiled(self, task: Task, settings: Settings) -> tuple[Path, ...]:
        """Where the machine code lies: of the task's module, and of what goes around it.

        Raises ExecutionFailed, DriverUnavailable.
        """
        items = _items(task, settings)
        paths = tuple(self._folder / item.name for item in items)
        while (lacking := await self._offload(_lacking, paths)) is not None:
            item = items[lacking]
            if item in self._refused:
                raise ExecutionFailed("module", self._refused[item])
            under_way = self._compiling.get(item)
            if under_way is None:
                await self._lead(item, task)
            else:
                await under_way.wait()  # When the one who leads is cancelled, another one does.
        return paths

    async def forget(self, task: Task, settings: Settings) -> None:
        """Its machine code cannot be used: the next who asks compiles it again."""
        for item in _items(task, settings):
            await self._offload(_remove, self._folder / item.name)

    async def _lead(self, item: _Item, task: Task) -> None:
        done = self._compiling[item] = trio.Event()
        try:
            async with self._turns.one(task.tenant):
                assert task.module is not None
                module = b"" if item.what in PARTS else os.fsencode(task.module)
                await self._compile(item, CompilerSpec(item.what, module, item.settings))
        finally:
            del self._compiling[item]
            done.set()

    async def _compile(self, item: _Item, spec: CompilerSpec) -> None:
        try:
            file, incoming = tempfile.mkstemp(prefix=_INCOMING, dir=self._folder)
        except OSError as error:
            raise DriverUnavailable(f"the compiled module cannot be kept: {error.strerror}") from error
        try:
            await self._compile_to(file, spec)
            await self._offload(_keep, Path(incoming), self._folder / item.name)
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
                raise self._refuse(_Item(spec.what, spec.settings), cut(detail))
            case _:
                raise self._ended(spec, child.status)

    def _ended(self, spec: CompilerSpec, status: int | None) -> ExecutionFailed | DriverUnavailable:
        error = compilation_ended_by(status)
        if isinstance(error, DriverUnavailable):
            return error
        if spec.what in PARTS:  # That is nobody's module.
            return DriverUnavailable(f"the deterministic profile cannot be compiled: {error.detail}")
        return self._refuse(_Item(spec.what, spec.settings), error.detail)

    def _refuse(self, item: _Item, detail: str) -> ExecutionFailed:
        self._refused[item] = detail
        if len(self._refused) > _REFUSED_MAX:
            self._refused.popitem(last=False)
        return ExecutionFailed("module", detail)


def _items(task: Task, settings: Settings) -> tuple[_Item, ...]:
    module = engine_of(task).module
    whats = (module, *PARTS) if settings.deterministic else (module,)
    return tuple(_Item(what, settings) for what in whats)


def _lacking(paths: Sequence[Path]) -> int | None:
    """The index of one that is not there; those that are there are marked as used now. Raises DriverUnavailable.

    One that somebody else could have written is deleted, and so not there: it would be executed as it is.
    """
    folder = paths[0].parent
    if not _is_ours(folder.stat()):
        raise DriverUnavailable("others can write to this node's cache of compiled modules; nothing in it is executed")
    for index, path in enumerate(paths):
        try:
            if not _is_ours(path.lstat()):
                log.error("compiled_module_not_ours", extra={"path": str(path)})
                _remove(path)
                return index
            os.utime(path)
        except FileNotFoundError:
            return index
    return None


def _is_ours(found: os.stat_result) -> bool:
    """Of a file or folder: this node's user alone can write to it. The mode of a link tells nothing, so none is."""
    return found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode) and not found.st_mode & 0o022


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
