"""Blockstores of small blocks that anybody can name, on a clock that a test moves."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from node import limits
from node.ambient import Ambient, inline
from node.storage.ipfs.blockstore import Blockstore

SIZE = 4 * limits.KiB  # one cluster


def block(number: int, size: int = SIZE) -> tuple[bytes, bytes]:
    """A block and its multihash, the multihash first."""
    data = number.to_bytes(4, "big") * (size // 4)
    return b"\x12\x20" + hashlib.sha256(data).digest(), data


def key(number: int, size: int = SIZE) -> bytes:
    return block(number, size)[0]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def file_of(folder: Path, number: int) -> Path:
    return next(path for path in files(folder) if path.read_bytes() == block(number)[1])


class Clock:
    """Seconds that pass when a test says so."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def store_test(test: Callable[[Blockstore, Clock], Awaitable[None]], folder: Path, blocks_max: int = 1000) -> None:
    clock = Clock()

    async def main() -> None:
        await test(Blockstore(folder, blocks_max * SIZE, Ambient(now=clock, offload=inline)), clock)

    trio.run(main)
