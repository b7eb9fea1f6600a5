"""What a peer with a session can do to a node: end its own session, and nothing that others notice."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable

import pytest
import trio
from contract.blob_streams import Source, drained, serving, wanted
from contract.transports import Party, Recorder, identity, numbered, parties, together
from integration.libp2p_attacker import (
    ATTACKER,
    QUICK,
    SLOW,
    WINDOW,
    YAMUX,
    Impostor,
    authenticated,
    impostor,
    over,
    throw,
    victim,
)

from node import limits
from node.errors import BlobRefused, MalformedMessage, PeerError, PeerGone
from node.messages import Hello, Results, encode
from node.model import PeerId
from node.transport.libp2p import wire
from node.transport.libp2p.hardening import contained
from node.transport.libp2p.link import Timing
from node.transport.libp2p.transport import Libp2pTransport
from node.transport.libp2p.upgrade import accept_stream, open_stream

EVIL = identity(ATTACKER).peer_id
Attack = Callable[[Impostor], Awaitable[None]]


async def overlong(evil: Impostor) -> None:
    await evil.stream.write((limits.FRAME_BYTES_MAX + wire.FRAME_HEAD_BYTES + 1).to_bytes(4, "big"))


async def garbage(evil: Impostor) -> None:
    await evil.stream.write(wire.prefixed(random.Random(1).randbytes(100)))


async def no_message(evil: Impostor) -> None:
    await evil.say(1, b"\xc1")


async def gap(evil: Impostor) -> None:
    await evil.say(2, encode(numbered(1)))


async def false_acknowledgement(evil: Impostor) -> None:
    await evil.say(1, encode(numbered(1)), acknowledged=10**6)


async def second_hello(evil: Impostor) -> None:
    await evil.say(1, encode(Hello(agent="evil/2", addresses=())))


async def second_control_stream(evil: Impostor) -> None:
    await open_stream(evil.muxer, wire.CONTROL)


async def message_flood(evil: Impostor) -> None:
    payload = encode(numbered(1))
    frames = [wire.frame_head(wire.DATA, number, 0, len(payload)) + payload for number in range(1, 20_000)]
    for begin in range(0, len(frames), 1000):
        await evil.stream.write(b"".join(frames[begin : begin + 1000]))


async def rubbish_request(evil: Impostor) -> None:
    stream, _ = await open_stream(evil.muxer, wire.BLOB)
    await stream.write(wire.prefixed(b"\xc1"))


async def overlong_request(evil: Impostor) -> None:
    stream, _ = await open_stream(evil.muxer, wire.BLOB)
    await stream.write((limits.OPENING_BYTES_MAX + 1).to_bytes(4, "big"))


OFFENCES = [
    overlong,
    garbage,
    no_message,
    gap,
    false_acknowledgement,
    second_hello,
    second_control_stream,
    message_flood,
    rubbish_request,
    overlong_request,
]


@pytest.mark.parametrize("attack", OFFENCES)
def test_an_offence_ends_the_session_and_bars_the_peer_for_a_while(attack: Attack) -> None:
    async def main() -> None:
        async with victim(Timing(offender_s=0.5)) as node:
            async with impostor(node) as evil:
                with contextlib.suppress(PeerGone), contained("attacking"):  # The node hangs up while we talk.
                    await attack(evil)
                await evil.thrown_out()
                await node.heard.until(lambda me: me.comings() == ["joined", "left"])
            async with authenticated(node) as barred:
                with trio.fail_after(5):
                    await over(barred)
            await trio.sleep(0.6)
            async with impostor(node):
                assert EVIL in node.transport.peers

    trio.run(main)


def test_a_peer_that_falls_silent_has_left() -> None:
    async def main() -> None:
        async with victim(QUICK) as node, impostor(node) as evil:
            with trio.fail_after(5):
                await node.heard.until(lambda me: me.comings() == ["joined", "left"])
            await evil.thrown_out()

    trio.run(main)


def test_a_peer_that_reads_nothing_has_left_when_its_outbox_is_full() -> None:
    async def main() -> None:
        async with victim() as node, impostor(node) as evil:
            for number in range(limits.OUTBOX_FRAMES_MAX + 2):
                node.transport.send(EVIL, numbered(number))
            assert node.heard.comings() == ["joined"], "nothing is called from within send"
            await node.heard.until(lambda me: me.comings() == ["joined", "left"])
            await evil.thrown_out()

    trio.run(main)


def test_whoever_knows_a_sessions_nonces_cannot_take_it_over() -> None:
    async def main() -> None:
        async with parties(_World(), Recorder(), Recorder()) as (node, honest):
            await together(honest, node)
            session = node.transport._peering.get(honest.id).session  # type: ignore[attr-defined]
            opening = wire.Opening(
                nonce=session.theirs, known=session.ours, received=0, hello=Hello(agent="", addresses=())
            )
            async with impostor(node, opening=opening):
                assert node.transport.peers == tuple(sorted((honest.id, EVIL)))
                node.transport.send(honest.id, numbered(1))
                await honest.heard.until_messages(1)
            assert node.heard.events.count(("left", honest.id)) == 0

    trio.run(main)


class _World:
    stall_s = limits.BLOB_STALL_S

    def transport(self, number: int) -> Libp2pTransport:
        return Libp2pTransport(identity(number), "127.0.0.1", 0, SLOW)

    async def break_connection(self, one: object, other: object) -> None:
        raise NotImplementedError


CHUNK = wire.prefixed(b"12345678")
LIES = {
    "no header": (b"", PeerGone),
    "a header that is none": (wire.prefixed(b"\xc1"), MalformedMessage),
    "an overlong header": ((2**20).to_bytes(4, "big"), MalformedMessage),
    "a refusal": (wire.encode_header(wire.BlobRefusal("no")), BlobRefused),
    "no chunk": (wire.encode_header(wire.BlobSize(8)), PeerGone),
    "no end marker": (wire.encode_header(wire.BlobSize(8)) + CHUNK, PeerGone),
    "an end marker too early": (wire.encode_header(wire.BlobSize(9)) + CHUNK + wire.END_MARKER, PeerGone),
    "more than announced": (wire.encode_header(wire.BlobSize(7)) + CHUNK + wire.END_MARKER, MalformedMessage),
    "an overlong chunk": (
        wire.encode_header(wire.BlobSize(2**30)) + (limits.BLOB_CHUNK_BYTES_MAX + 1).to_bytes(4, "big"),
        MalformedMessage,
    ),
}


@pytest.mark.parametrize("ending", ["it ends", "it hangs"])
@pytest.mark.parametrize("lie", LIES)
def test_a_blob_that_lies_is_an_error_in_time(lie: str, ending: str) -> None:
    said, expected = LIES[lie]

    async def main() -> None:
        timing = Timing(blob_stall_s=0.3, rejoin_s=1.0)
        async with victim(timing) as node, impostor(node) as evil, trio.open_nursery() as nursery:
            nursery.start_soon(_answer_one, evil, said, ending)
            with trio.fail_after(10), pytest.raises(PeerError) as raised:
                await _fetched(node, EVIL)
            assert raised.type is expected
            nursery.cancel_scope.cancel()

    trio.run(main)


async def _answer_one(evil: Impostor, said: bytes, ending: str) -> None:
    stream = await evil.muxer.accept_stream()
    await accept_stream(stream, (wire.BLOB,))
    await stream.write(said)
    if ending == "it ends":
        await stream.close()
    await trio.sleep_forever()


async def _fetched(node: Party, source: PeerId) -> None:
    async with node.transport.fetch(source, wanted()) as blob:
        await drained(blob)


def test_a_request_that_never_comes_is_not_waited_for() -> None:
    async def main() -> None:
        async with victim(Timing(blob_stall_s=0.3)) as node, impostor(node) as evil:
            _, reader = await open_stream(evil.muxer, wire.BLOB)
            with trio.fail_after(5), pytest.raises(Exception, match=r"reset|ended"):
                await reader.read(1)
            assert node.heard.comings() == ["joined"]

    trio.run(main)


def test_reads_and_writes_that_are_cancelled_leave_the_connection_whole() -> None:
    async def main() -> None:
        service = serving(Source(*[bytes(limits.BLOB_CHUNK_BYTES)] * 10_000), 10_000 * limits.BLOB_CHUNK_BYTES)
        async with parties(_World(), Recorder(), Recorder(service)) as (reader, server):
            await together(reader, server)
            for turn in range(60):
                with trio.move_on_after(0.001 * (turn % 12)):
                    await _fetched(reader, server.id)
                reader.transport.send(server.id, numbered(turn))
            await server.heard.until_messages(60)
            assert reader.heard.comings() == server.heard.comings() == ["joined"]

    trio.run(main)


def test_hundreds_of_connections_one_after_another_leave_nothing_behind() -> None:
    async def main() -> None:
        async with victim() as node:
            settled = 0
            for turn in range(300):
                async with impostor(node, identity(1000 + turn)) as guest:
                    await guest.stream.write(wire.frame_head(wire.BYE, 0, 0, 0))
                    await guest.thrown_out()
                if turn == 50:
                    settled = trio.lowlevel.current_statistics().tasks_living
            assert trio.lowlevel.current_statistics().tasks_living <= settled + 3
            assert node.transport.peers == ()
            assert node.heard.comings() == ["joined", "left"] * 300

    trio.run(main)


def test_a_peer_that_takes_no_bytes_loses_the_connection() -> None:
    async def main() -> None:
        timing = Timing(write_stall_s=0.5, rejoin_s=0.5)
        async with victim(timing) as node, impostor(node) as evil:
            stream = evil.stream.stream_id
            await throw(evil.muxer, YAMUX.pack(0, WINDOW, 0, stream, 2**31))
            evil.pumping.cancel()
            for number in range(24):
                big = Results(execution=f"{number:032x}", manifest=bytes(2**20 - 100), sizes=None, files=None)
                node.transport.send(EVIL, big)
            with trio.fail_after(5):
                await node.heard.until(lambda me: me.comings() == ["joined", "left"])

    trio.run(main)
