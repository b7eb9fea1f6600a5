"""What is said to nodes of each version of bitswap, and what is understood of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.swappers import Pond, swim

from node.model import PeerId
from node.storage.ipfs.bitswap import wire
from node.storage.ipfs.bitswap.wire import Block, Message, Want
from node.storage.ipfs.cid import RAW, Cid


def block(number: int) -> bytes:
    return number.to_bytes(4, "big") * 25


@pytest.mark.parametrize("protocol", [wire.V110, wire.V100, wire.UNVERSIONED])
def test_a_node_of_an_older_version_is_answered_as_it_understands(protocol: str, tmp_path: Path):
    async def main(pond: Pond) -> None:
        giver, old = await pond.node(1), await pond.stranger(2, protocol)
        await pond.connect(giver, old)
        (tmp_path / "file").write_bytes(b"something")
        root = await giver.blocks.add(tmp_path / "file")
        await old.says(giver.id, Message((Want(b"\x01\x55\x12\x20" + bytes(32)), Want(root.raw))))
        await old.until(lambda heard: bool(old.blocks))
        prefix = b"" if protocol != wire.V110 else root.raw[:-32]
        assert [one for message in old.heard for one in message.blocks] == [Block(prefix, b"something")]

    swim(main, tmp_path)


@pytest.mark.parametrize("protocol", [wire.V110, wire.V100])
def test_a_node_of_an_older_version_is_asked_for_blocks(protocol: str, tmp_path: Path):
    async def main(pond: Pond) -> None:
        taker, old = await pond.node(1), await pond.stranger(2, protocol)
        blocks = {Cid.of(block(number), RAW).raw: block(number) for number in range(40)}

        async def serve(peer: PeerId, message: Message) -> None:
            wanted = [want.cid for want in message.wants if not want.cancels]
            await old.says(peer, Message(blocks=tuple(Block(cid[:-32], blocks[cid]) for cid in wanted)))

        old.on_message = serve
        await pond.connect(taker, old)
        assert await taker.fetched(*map(Cid.from_bytes, blocks)) == list(blocks.values())

    swim(main, tmp_path)


def test_it_is_said_who_has_what_and_what_is_not_here(tmp_path: Path):
    async def main(pond: Pond) -> None:
        giver, stranger = await pond.node(1), await pond.stranger(2)
        await pond.connect(stranger, giver)
        (tmp_path / "file").write_bytes(b"something")
        here = (await giver.blocks.add(tmp_path / "file")).raw
        gone, other = b"\x01\x55\x12\x20" + bytes(32), b"\x01\x71\x1e\x20" + bytes(32)
        looks = [Want(cid, 1, False, True, True) for cid in (here, gone, other)]
        asks = [Want(cid[:1] + b"\x70" + cid[2:], tells_dont_have=True) for cid in (gone, other)]
        quiet = Want(b"\x01\x55\x12\x20" + b"q" * 32)
        await stranger.says(giver.id, Message((*looks, quiet, *asks)))
        await stranger.until(lambda heard: len(stranger.told) == 5)
        assert stranger.told == {here: True, gone: False, other: False, asks[0].cid: False, asks[1].cid: False}
        assert not stranger.blocks

    swim(main, tmp_path)
