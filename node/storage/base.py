"""The storage boundary: what every source of inputs promises.

Lives here: the interface and what passes through it; what a list of files is as a tree. Does not live here: which
driver serves which kind of input (``node.storage.sources``), where fetched inputs are kept (``node.storage.cache``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from node.ambient import Offload
from node.model import PeerId

Ref = TypeVar("Ref", contravariant=True)  # the kind of input that a driver serves: a class of ``node.model.Input``


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or folder of an input. ``path`` is relative to it, with slashes; the input itself is ``""``."""

    path: str
    size: int  # bytes; 0 for a folder
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """An input as a path of this machine, and the name of the driver that it came from.

    ``look``: how to look at data that others may change, or whose file system may hang. None: the node's own copy.
    """

    path: Path
    source: str
    look: Offload | None = None


@runtime_checkable
class Resolves(Protocol):
    """A driver whose inputs can change: the requester pins them, once per job, before nodes hear of them."""

    async def resolved(self, ref: Any) -> Any:
        """The same input with what was seen of it. Raises StorageError."""


class Storage(Protocol[Ref]):
    """A source of inputs. Read-only: nothing that it hands out may be written to by a job.

    Every call raises StorageError for data that cannot be had, or is here and cannot be used; the text says why and
    is shown to the job's owner. Nothing waits for ever: each driver has its own deadline for each step.
    Cancelling any call leaves nothing behind that could be taken for whole.
    """

    @property
    def name(self) -> str:
        """Shown in ``describe``, in receipts and in reasons: ``filecoin_unsealed``."""

    async def size(self, ref: Ref) -> int:
        """Bytes of all its files; never less than what ``prepared`` shows. Raises StorageError."""

    async def to_fetch(self, ref: Ref) -> int:
        """All that a bid needs to know, by one look: bytes that ``prepared`` would add to this disk now, 0 for what is
        held here or on its way already.

        Raises Absent (this node cannot have it), StorageError (it cannot be used), NoRoom (it could not be kept). What
        a driver finds out by fetching alone, ``prepared`` says.
        """

    async def list(self, ref: Ref) -> tuple[Entry, ...]:
        """The tree, the input itself included, sorted by path. Links are not followed. Raises StorageError."""

    def prepared(self, ref: Ref, origin: PeerId) -> AbstractAsyncContextManager[Prepared]:
        """The data as a path of this machine, valid inside the context. ``origin``: the requester of the job.

        Raises StorageError (it cannot be had), NoRoom (it cannot be kept).
        """


def folders_above(paths: Iterable[str]) -> set[str]:
    """Every folder on the way to one of these paths; the root, ``""``, is not among them."""
    return {path[:at] for path in paths for at, character in enumerate(path) if character == "/"}


def entries_of(sizes: Mapping[str, int]) -> tuple[Entry, ...]:
    """As ``Storage.list`` has it: a folder of files of these paths and sizes, and every folder on the way to them."""
    files = (Entry(path, size, is_folder=False) for path, size in sizes.items())
    folders = (Entry(path, 0, is_folder=True) for path in {"", *folders_above(sizes)})
    return tuple(sorted([*files, *folders], key=attrgetter("path")))
