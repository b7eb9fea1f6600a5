"""Neighbours that mean harm, or are broken: each has a limit, and costs nobody else."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
import trio
from doubles.swappers import Pond, Stranger, Swapper, swim
from doubles.wanting import block, cid, data

from node import limits, varint
from node.errors import PeerGone, StorageError
from node.model import PeerId
from node.storage.ipfs.bitswap import blame, wire
from node.storage.ipfs.bitswap.wire import Block, Message, Presence, Want
from node.storage.ipfs.cid import RAW, Cid
from node.transport.base import ByteStream


async def have(node: Swapper, *numbers: int) -> None:
    await node.blocks._store.put([(cid(number).multihash, data(number)) for number in numbers])


async def honest_and(pond: Pond, hostile: Stranger) -> tuple[Swapper, Swapper]:
    """Our node, between an honest giver of everything and the hostile one, who is its neighbour for longer."""
    ours, honest = await pond.node(1), await pond.node(2)
    await have(honest, *range(100))
    await pond.connect(ours, hostile)
    await pond.connect(ours, honest)
    return ours, honest


def claims_everything(hostile: Stranger) -> None:
    """It says that it has whatever it is asked about."""

    async def claim(peer: PeerId, message: Message) -> None:
        await hostile.says(peer, Message(presences=tuple(Presence(want.cid, has=True) for want in message.wants)))

    hostile.on_message = claim


def answers_falsely(hostile: Stranger) -> None:
    """It says that it has whatever it is asked about, and sends something else."""

    async def lie(peer: PeerId, message: Message) -> None:
        wanted = [want.cid for want in message.wants if not want.cancels]
        claims = tuple(Presence(one, has=True) for one in wanted)
        blocks = tuple(Block(one[:-32], b"false") for one in wanted)
        await hostile.says(peer, Message(presences=claims, blocks=blocks))

    hostile.on_message = lie


async def is_well(ours: Swapper, *numbers: int) -> None:
    """It fetches as if nothing were."""
    assert await ours.fetched(*map(cid, numbers)) == list(map(data, numbers))


@pytest.mark.parametrize("size", [10, 300_000])
def test_blocks_that_nobody_asked_for_cost_their_sender_the_connection(size: int, tmp_path: Path):
    async def main(pond: Pond) -> None:
        hostile = await pond.stranger(3)
        ours, _ = await honest_and(pond, hostile)
        for _ in range(blame.STRIKES_MAX + 1):
            message = Message(blocks=(Block(b"\x01\x55\x12\x20", os.urandom(size)),))
            try:
                await hostile.says(ours.id, message)
            except PeerGone:
                assert size > limits.BITSWAP_UNASKED_BYTES_MAX
            await trio.sleep(1)
        assert (hostile.id in ours.transport.neighbours) == (size > limits.BITSWAP_UNASKED_BYTES_MAX)
        assert ours.blocks._store.taken == 0
        await is_well(ours, 1, 2)

    swim(main, tmp_path)


def test_false_blocks_are_never_taken_for_true_ones(tmp_path: Path):
    async def main(pond: Pond) -> None:
        hostile = await pond.stranger(3)
        answers_falsely(hostile)
        ours, _ = await honest_and(pond, hostile)
        await is_well(ours, *range(50))
        await trio.sleep(1)
        assert hostile.id not in ours.transport.neighbours
        await ours.transport.connect(hostile.transport.addresses[0])
        hostile.heard.clear()
        await is_well(ours, *range(50, 60))
        assert not hostile.heard, "it is not asked any more"

    swim(main, tmp_path)


def test_who_claims_everything_and_sends_nothing_delays_and_no_more(tmp_path: Path):
    async def main(pond: Pond) -> None:
        hostile = await pond.stranger(3)
        claims_everything(hostile)
        ours, _ = await honest_and(pond, hostile)
        start = trio.current_time()
        await is_well(ours, *range(100))
        assert trio.current_time() - start < 30

    swim(main, tmp_path)


def test_who_sends_a_block_now_and_then_does_not_hold_the_others_up(tmp_path: Path):
    async def main(pond: Pond) -> None:
        hostile = await pond.stranger(3)
        asked: list[bytes] = []

        async def claim(peer: PeerId, message: Message) -> None:
            looks = [want.cid for want in message.wants if want.have_is_enough]
            asked.extend(want.cid for want in message.wants if not want.have_is_enough and not want.cancels)
            if looks:
                await hostile.says(peer, Message(presences=tuple(Presence(one, has=True) for one in looks)))

        async def trickle(peer: PeerId) -> None:
            known = {cid(number).raw: block(number) for number in range(100)}
            while True:
                await trio.sleep(4)
                if asked:
                    await hostile.says(peer, Message(blocks=(known[asked.pop(0)],)))

        hostile.on_message = claim
        ours, _ = await honest_and(pond, hostile)
        pond.nursery.start_soon(trickle, ours.id)
        start = trio.current_time()
        await is_well(ours, *range(100))
        assert trio.current_time() - start < 60

    swim(main, tmp_path)


def test_a_wantlist_of_a_million_entries_is_read_to_a_limit_and_slowly(tmp_path: Path):
    async def main(pond: Pond) -> None:
        hostile = await pond.stranger(3)
        ours, _ = await honest_and(pond, hostile)
        wants = tuple(Want(os.urandom(8), tells_dont_have=True) for _ in range(4_000))
        start = trio.current_time()
        last = Message((Want(cid(5).raw, tells_dont_have=True),))
        await hostile.says(ours.id, *[Message(wants)] * 20, last)
        await is_well(ours, 1, 2)
        queue = ours.blocks._exchange._answering._queues[hostile.id]
        assert len(queue.wants) <= limits.BITSWAP_WANTS_PER_PEER
        assert len(queue.refused) <= limits.BITSWAP_WANTS_PER_PEER
        await hostile.until(lambda heard: cid(5).raw in hostile.told)
        assert trio.current_time() - start > 10

    swim(main, tmp_path)


@pytest.mark.parametrize(
    "said",
    [
        varint.encode(limits.BITSWAP_MESSAGE_BYTES_MAX + 1),
        b"\xff\xff\xff\xff\xff",
        b"\x05hello",
        varint.encode(100_000) + b"\x1a\x00" * 50_000,
        varint.encode(4) + b"\x0a\x02\x0a\x00",
    ],
)
def test_what_is_no_bitswap_costs_the_connection(said: bytes, tmp_path: Path):
    async def main(pond: Pond) -> None:
        hostile = await pond.stranger(3)
        ours, _ = await honest_and(pond, hostile)
        await hostile.says_bytes(ours.id, said)
        await trio.sleep(1)
        assert hostile.id not in ours.transport.neighbours
        await is_well(ours, 1, 2)

    swim(main, tmp_path)


def test_a_long_message_of_who_was_not_asked_costs_its_stream(tmp_path: Path):
    async def main(pond: Pond) -> None:
        hostile = await pond.stranger(3)
        ours, _ = await honest_and(pond, hostile)
        async with hostile.transport.open(ours.id, [wire.V120]) as (_, stream):
            with pytest.raises(PeerGone):  # noqa: PT012  (some of it is under way before it is refused)
                await stream.send_all(varint.encode(limits.BITSWAP_UNASKED_BYTES_MAX + 1) + bytes(1000))
                await stream.receive_some()
        assert hostile.id in ours.transport.neighbours
        await is_well(ours, 1, 2)

    swim(main, tmp_path)


def test_streams_that_say_nothing_hold_nothing_up(tmp_path: Path):
    async def main(pond: Pond) -> None:
        hostile = await pond.stranger(3)
        ours, _ = await honest_and(pond, hostile)

        async def dawdle() -> None:
            async with hostile.transport.open(ours.id, [wire.V120]) as (_, stream):
                await stream.send_all(varint.encode(100_000) + b"\x0a")
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            for _ in range(limits.PROTOCOL_STREAMS_PER_PEER):
                nursery.start_soon(dawdle)
            await trio.sleep(1)
            await is_well(ours, *range(20))
            nursery.cancel_scope.cancel()

    swim(main, tmp_path)


def test_who_reads_nothing_is_given_up_and_holds_nobody_up(tmp_path: Path):
    async def main(pond: Pond) -> None:
        ours, honest = await pond.node(1), await pond.node(2)
        large = [os.urandom(limits.BLOCK_BYTES_MAX) for _ in range(20)]
        cids = [Cid.of(one, RAW) for one in large]
        await ours.blocks._store.put([(one.multihash, content) for one, content in zip(cids, large, strict=True)])

        async def read_nothing(peer: PeerId, protocol: str, stream: ByteStream) -> None:
            await trio.sleep_forever()

        greedy = [await pond.stranger(number) for number in range(10, 10 + limits.BITSWAP_ANSWERS_MAX)]
        for one in greedy:
            one.transport.answers[wire.V120] = read_nothing
            await pond.connect(ours, one)
            await one.says(ours.id, Message(tuple(Want(wanted.raw) for wanted in cids)))
        await trio.sleep(1)
        await pond.connect(honest, ours)
        assert await honest.fetched(*cids) == large
        await trio.sleep(200)
        assert not ours.blocks._exchange._answering.waiting

    swim(main, tmp_path)


def test_a_cancel_is_honoured(tmp_path: Path):
    async def main(pond: Pond) -> None:
        ours, other = await pond.node(1), await pond.stranger(3)
        await have(ours, *range(200))
        await pond.connect(ours, other)
        wants = tuple(Want(cid(number).raw) for number in range(200))
        cancels = tuple(Want(cid(number).raw, cancels=True) for number in range(100))
        await other.says(ours.id, Message((*wants, *cancels)))
        await other.until(lambda heard: len(other.blocks) >= 100)
        await trio.sleep(10)
        assert sorted(other.blocks) == sorted(map(data, range(100, 200)))

    swim(main, tmp_path)


def test_everybody_lies(tmp_path: Path):
    async def main(pond: Pond) -> None:
        ours = await pond.node(1)
        for number in range(3, 6):
            hostile = await pond.stranger(number)
            answers_falsely(hostile)
            await pond.connect(ours, hostile)
        with pytest.raises(StorageError, match="did not come"):
            await ours.fetched(cid(1))
        assert ours.blocks._store.taken == 0

    swim(main, tmp_path)


def test_long_messages_that_never_end_take_few_places_and_are_given_up(tmp_path: Path):
    async def main(pond: Pond) -> None:
        hostile = await pond.stranger(3)
        claims_everything(hostile)
        ours, honest = await honest_and(pond, hostile)
        large = [os.urandom(limits.BLOCK_BYTES_MAX) for _ in range(8)]
        cids = [Cid.of(one, RAW) for one in large]
        await honest.blocks._store.put([(one.multihash, content) for one, content in zip(cids, large, strict=True)])
        half = varint.encode(limits.BITSWAP_MESSAGE_BYTES_MAX) + b"\x1a" + bytes(limits.BITSWAP_UNASKED_BYTES_MAX)
        over = 0

        async def dawdle() -> None:
            nonlocal over
            async with hostile.transport.open(ours.id, [wire.V120]) as (_, stream):
                with contextlib.suppress(PeerGone):
                    await stream.send_all(half)
                    await stream.receive_some()
            over += 1

        async with ours.blocks.session(cid(500)) as session, trio.open_nursery() as nursery:
            session.want([cid(500)])  # Nobody has it, and the hostile one says that it does.
            await hostile.until(lambda heard: Want(cid(500).raw, tells_dont_have=True) in hostile.wants)
            for _ in range(limits.PROTOCOL_STREAMS_PER_PEER - 4):
                nursery.start_soon(dawdle)
            await trio.sleep(1)
            lane = ours.blocks._exchange._lanes[hostile.id]
            assert lane.value == 0
            assert lane.statistics().tasks_waiting > 0
            assert await ours.fetched(*cids) == large
        assert over == limits.PROTOCOL_STREAMS_PER_PEER - 4

    swim(main, tmp_path)
