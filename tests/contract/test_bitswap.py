"""The exchange of blocks between nodes on a memory network, in virtual time."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random

import pytest
import trio
from doubles.swappers import Pond, swim

from node import limits
from node.errors import StorageError
from node.storage.ipfs import dagpb, reader
from node.storage.ipfs.bitswap import wire
from node.storage.ipfs.bitswap.wire import Block, Message, Presence, Want
from node.storage.ipfs.cid import RAW, Cid
from node.transport.memory import Faults


def tree(folder: Path, seed: int = 1) -> Path:
    """A folder with a file of many chunks, small ones, an empty one and one below."""
    random = Random(seed)
    (folder / "below").mkdir(parents=True)
    (folder / "large").write_bytes(random.randbytes(5 * limits.MiB + 17))
    (folder / "empty").write_bytes(b"")
    for number in range(20):
        (folder / "below" / f"{number}").write_bytes(random.randbytes(number * 100))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def block(number: int, size: int = 100) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


def test_a_folder_goes_from_one_node_to_another(tmp_path: Path):
    async def main(pond: Pond) -> None:
        giver, taker = await pond.node(1), await pond.node(2)
        await pond.connect(taker, giver)
        root = await giver.blocks.add(tree(tmp_path / "in"))
        assert await taker.blocks.has(root)
        async with taker.blocks.session(root) as session:
            await reader.write(session, root, tmp_path / "out", 2**30, taker.blocks._ambient.offload)

    swim(main, tmp_path)
    assert contents(tmp_path / "out") == contents(tmp_path / "in")
