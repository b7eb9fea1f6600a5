"""The storage boundary: what every source of inputs promises."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from node.model import Input


class Storage(Protocol):
    """A source of inputs. Read-only: nothing that it hands out may be written to by a job."""

    @property
    def name(self) -> str:
        """Shown in ``describe`` and in reasons: ``filecoin_unsealed``."""

    async def has(self, ref: Input) -> bool:
        """Whether the data is here. Raises StorageError when it is and cannot be used."""

    async def size(self, ref: Input) -> int:
        """Bytes of all its files. Raises StorageError."""

    async def to_fetch(self, ref: Input) -> int:
        """Bytes that ``prepared`` would add to this machine's disk; 0 when it copies nothing. Raises StorageError."""

    def prepared(self, ref: Input) -> AbstractAsyncContextManager[Path]:
        """The data as a path of this machine, valid inside the context. Raises StorageError."""
