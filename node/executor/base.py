"""The engine boundary: what every execution engine promises.

Lives here: the interface and what is passed through it. Does not live here: where inputs come from (``node.storage``),
hashing of results (``node.verifier``), who may run what (``node.compute``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from node.model import EngineSpec, ExecutionId
from node.removal import remove


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine can do; asked before, so that nothing is refused after."""

    deterministic: bool


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of this machine, shown to the workload read-only at ``guest``.

    ``within``: a guest folder above it that shows this and other mounts within it, and nothing else.
    ``root``: the whole input that it is a part of; None: it is all of it. ``inode``: which that was when it was looked
    at, by device and inode; None: of the node's own, where looking again cannot hang.
    ``is_bound``: a single file or a part, of data that the node does not own: neither linked nor copied, where that can
    be. No link may stand in its place or, for a part, on the way from its input to it.
    """

    host: Path
    guest: str
    within: str | None = None
    root: Path | None = None
    is_bound: bool = False
    inode: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """Where a run is ended, each with the failure code it ends with."""

    wall_s: float  # "time"
    cpu_s: float  # "cpu"
    memory_bytes: int  # "memory", or an allocation that fails inside the workload
    output_bytes: int  # "output": stdout, stderr and volumes together
    output_files: int  # "output"
    cores: float = 1.0  # how fast; nothing is ended for it


def _unheard(text: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run. ``tenant`` separates: nothing warm that one tenant used is given to another.

    What stands before the first slash in it is who answers for the tenant (a requester for its client).
    """

    execution: ExecutionId
    tenant: str
    engine: EngineSpec
    module: Path | None  # of a WASM engine
    inputs: tuple[Mount, ...]
    outputs: tuple[tuple[str, str], ...]  # (name, guest path)
    limits: RunLimits
    seed: str = ""  # what randomness may come from: the same for all executions of a shard, and for no others
    gpus: tuple[str, ...] = ()  # ids of those that are reserved for it
    tell: Callable[[str], None] = _unheard  # hears, for people, what is fetched before it can run


GiveBack = Callable[[bool], None]
Collect = Callable[[int, GiveBack], Awaitable[None]]


def give_back(results: Path, stays: bool) -> None:
    """A GiveBack for an engine with nothing more to do than to remove what nobody needs. Raises OSError."""
    if not stays:
        remove(results)


class Executor(Protocol):
    """Runs workloads. ``serve`` is its whole life and owns what it keeps between runs.

    Cancelling ``run`` ends the workload before the cancellation propagates: when the call is over, in any way, nothing
    of it is still running.
    """

    @property
    def name(self) -> str:
        """The engine's ``type`` in job specs."""

    @property
    def capabilities(self) -> Capabilities:
        """Constant for the life of the executor."""

    @property
    def is_ready(self) -> bool:
        """Whether a run could start now, as far as is known."""

    async def serve(self) -> None:
        """Keep what is shared between runs (warm workers); cancelling it ends all of that. ``run`` needs it running."""

    async def probe(self) -> None:
        """Raise DriverUnavailable unless a run could start now."""

    def refusal(self, engine: EngineSpec) -> str | None:
        """Why this node's operator would not have it run; None when it may. Pure."""

    def identity(self, engine: EngineSpec) -> str | None:
        """What would run it, equal on two nodes exactly where their results can be compared; at most 128 characters.

        None: that takes ``looked_up``. Blocks for nothing.
        """

    async def looked_up(self, engine: EngineSpec) -> str:
        """Its identity. Fetches nothing. Raises DriverUnavailable where it could not be run here."""

    async def resolved(self, engine: EngineSpec) -> EngineSpec:
        """The same with what its names mean written down; asked by the requester, once per job.

        Raises DriverUnavailable when they cannot be looked up now, any other ResourceError when they mean nothing here;
        the text says what to do.
        """

    async def run(self, task: Task, results: Path, collect: Collect) -> int:
        """Run to completion, have the results collected and return the exit code, 0 to 255.

        ``results`` is where a folder will be: an empty one, or none yet in one that exists. ``stdout`` and ``stderr``
        grow in it as the workload writes; afterwards it holds both and one folder per output, also where the workload
        wrote nothing. Then ``collect`` is awaited, once, with the exit code. It calls what it is given with it, in a
        thread: whether the results are to stay; otherwise nothing is left there. That is how small results that were
        read into memory cost neither folders nor a further thread. What it raises ends the run.

        Raises ExecutionFailed (trap, a limit, a module that does not compile) or DriverUnavailable; then nothing is
        collected, what ``results`` holds is undefined, and stdout and stderr are what had come by then.
        """
