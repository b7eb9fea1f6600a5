"""Where another source stands in, nobody waits for neighbours that do not have a block, or for none at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from contract.transports import identity
from doubles.blocks import HeldBlocks
from doubles.swappers import Pond, swim

from node.errors import StorageError
from node.storage.ipfs.cid import RAW, Cid
from node.storage.ipfs.several import Several

NOWHERE = Cid.of(b"nowhere", RAW)
SOON_S = 1.0


@pytest.mark.parametrize("neighbours", [0, 2])
def test_what_no_neighbour_has_is_asked_of_the_next_source_at_once(tmp_path: Path, neighbours: int):
    async def main(pond: Pond) -> None:
        taker, held = await pond.node(1, missing_s=0.0), HeldBlocks()
        for number in range(neighbours):
            await pond.connect(taker, await pond.node(2 + number))
        cids = [held.raw(b"%d" % number) for number in range(5)]
        began = trio.current_time()
        for cid in cids:
            async with Several([taker.blocks, held]).session(cid) as session:
                assert await session.get(cid) == held.blocks[cid]
        assert trio.current_time() - began < SOON_S * len(cids)

    swim(main, tmp_path)


@pytest.mark.parametrize(
    ("neighbours", "why"), [(0, "no IPFS node is connected"), (2, "all 2 connected IPFS nodes were asked")]
)
def test_a_block_that_is_nowhere_names_all_that_were_asked(tmp_path: Path, neighbours: int, why: str):
    async def main(pond: Pond) -> None:
        taker = await pond.node(1, missing_s=0.0)
        for number in range(neighbours):
            await pond.connect(taker, await pond.node(2 + number))
        async with Several([taker.blocks, HeldBlocks()]).session(NOWHERE) as session:
            with pytest.raises(StorageError, match=f"{why}.*; the block {NOWHERE} is nowhere"):
                await session.get(NOWHERE)

    swim(main, tmp_path)


def test_who_is_just_being_dialled_is_waited_for(tmp_path: Path):
    async def main(pond: Pond) -> None:
        giver = await pond.node(1)
        (tmp_path / "file").write_bytes(b"data")
        root = await giver.blocks.add(tmp_path / "file")
        taker = await pond.node(2, missing_s=0.0, peers=giver.transport.addresses)
        assert await taker.fetched(root) == [b"data"]

    swim(main, tmp_path)


def test_who_cannot_be_dialled_is_not_waited_for_again_and_again(tmp_path: Path):
    async def main(pond: Pond) -> None:
        taker = await pond.node(2, missing_s=0.0, peers=[f"/memory/{identity(1).peer_id}"])
        began = trio.current_time()
        for _ in range(10):
            with pytest.raises(StorageError, match="no IPFS node is connected"):
                await taker.fetched(NOWHERE)
        assert trio.current_time() - began < 5 * SOON_S

    swim(main, tmp_path)
