"""Reading a DAG through a source of blocks onto disk, and looking at what came."""

from __future__ import annotations

from pathlib import Path

import trio

from node.ambient import Threads
from node.storage.ipfs import reader
from node.storage.ipfs.base import Blocks
from node.storage.ipfs.cid import Cid

GUARD_S = 120


def fetched(source: Blocks, cid: Cid, target: Path, limit_bytes: int = 1 << 40) -> Path:
    """All of it, at ``target``. Raises StorageError."""
    trio.run(fetch, source, cid, target, limit_bytes)
    return target


async def fetch(source: Blocks, cid: Cid, target: Path, limit_bytes: int = 1 << 40) -> None:
    with trio.fail_after(GUARD_S):
        async with source.session(cid) as session:
            await reader.write(session, cid, target, limit_bytes, Threads())


def tree_of(path: Path) -> dict[str, bytes | None]:
    """Every file and folder below by its path; None for a folder."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(at.relative_to(path)): at.read_bytes() if at.is_file() else None for at in sorted(path.rglob("*"))}
