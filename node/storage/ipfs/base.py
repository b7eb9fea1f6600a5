"""Where blocks come from: what Kubo's RPC, the embedded bitswap and trustless gateways have in common.

Does not live here: what the blocks mean (``unixfs``, ``reader``), and the driver that jobs see (``driver``).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from node.storage.ipfs.cid import Cid


class BlockSession(Protocol):
    """All blocks of one DAG, for one reader."""

    def want(self, cids: Sequence[Cid]) -> None:
        """These will be asked for next, in this order: a hint to fetch ahead, which binds nobody."""

    def at_hand(self, cid: Cid, bytes_max: int) -> bytes | None:
        """The block, checked, if it has come, is in memory and is no larger; its session may then forget it."""

    async def get(self, cid: Cid) -> bytes:
        """The block, checked against its CID, of at most ``BLOCK_BYTES_MAX``. Raises StorageError, by a deadline."""


class Blocks(Protocol):
    """A source of blocks."""

    @property
    def name(self) -> str:
        """``kubo``, ``bitswap``, ``gateway``."""

    async def has(self, cid: Cid) -> bool:
        """Whether the block can be had, within a few seconds. Raises StorageError when nobody can be asked."""

    def session(self, root: Cid) -> AbstractAsyncContextManager[BlockSession]:
        """Blocks of the DAG under ``root``, for as long as the context lasts."""

    async def add(self, path: Path, pin: str = "") -> Cid:
        """Import a file or folder (profile ``unixfs-v1-2025``), pin it, and serve it from now on.

        ``pin`` names the pin, else its CID does; what had that name before is let go.
        Raises StorageError (it cannot be read), NoRoom (it cannot be kept).
        """

    async def unpin(self, pin: str) -> None:
        """Let go of what was added under this name, where pins have names; no such pin: nothing. Raises StorageError.

        What another pin has too stays pinned.
        """
