"""What guests can do to a node: lose their own connection, and nothing that peers or other guests notice."""

from __future__ import annotations

import contextlib

import pytest
import trio
from contract.protocol_streams import DEAF, ECHO, deaf, echo, failing
from contract.transports import Party, Recorder, identity, start
from integration.libp2p_attacker import (
    ATTACKER,
    DATA,
    PING_PROTOCOL,
    SYN,
    WINDOW,
    YAMUX,
    authenticated,
    eventually,
    guest,
    impostor,
    over,
    pinged,
    throw,
    victim,
)
from libp2p.utils.varint import encode_delim

from node import limits
from node.errors import MalformedMessage, PeerGone
from node.model import PeerId
from node.transport.base import ByteStream
from node.transport.libp2p import wire
from node.transport.libp2p.hardening import contained
from node.transport.libp2p.link import Link, Timing
from node.transport.libp2p.muxing import Muxer
from node.transport.libp2p.services import IDENTIFY, PINGS_AT_ONCE, PINGS_PER_S
from node.transport.libp2p.transport import Libp2pTransport
from node.transport.libp2p.upgrade import open_stream

EVIL = identity(ATTACKER).peer_id


def link_of(node: Party, peer: PeerId = EVIL) -> Link:
    """The victim's end of a neighbour's connection."""
    transport = node.transport
    assert isinstance(transport, Libp2pTransport)
    link = transport._guests.neighbours.get(peer)
    assert link is not None
    return link


def neighbours(node: Party) -> tuple[PeerId, ...]:
    assert isinstance(node.transport, Libp2pTransport)
    return node.transport.neighbours


def test_thousands_of_streams_one_after_another_leave_nothing_behind() -> None:
    async def main() -> None:
        async with victim(Timing(), answers={ECHO: echo}) as node, guest(node) as evil:
            for number in range(1500):
                stream, _ = await open_stream(evil, (ECHO, IDENTIFY, PING_PROTOCOL)[number % 3])
                with contained("attacking"):
                    await stream.write(bytes(100))
                    await stream.reset()
            await pinged(evil)
            link = link_of(node)
            await eventually(lambda: len(link.muxer.streams) <= 1)
            assert sum(map(len, link.muxer.stream_buffers.values())) == 0

    trio.run(main)


def test_a_guest_that_fills_every_window_is_answered_on_so_many_streams_and_held_up_on_all() -> None:
    async def main() -> None:
        answering = 0

        async def listen(peer: PeerId, protocol: str, stream: ByteStream) -> None:
            nonlocal answering
            answering += 1
            await deaf(peer, protocol, stream)

        streams = limits.PROTOCOL_STREAMS_PER_PEER + 10
        async with (
            victim(Timing(), answers={DEAF: listen}) as node,
            guest(node) as evil,
            trio.open_nursery() as nursery,
        ):

            async def fill() -> None:
                stream, _ = await open_stream(evil, DEAF)
                await _suppressed(stream.write, bytes(limits.STREAM_WINDOW_BYTES))

            for _ in range(streams):
                nursery.start_soon(_suppressed, fill)
            link = link_of(node)
            await eventually(lambda: link.muxer.unread_bytes > (streams - 1) * 200 * limits.KiB)
            assert link.muxer.unread_bytes <= streams * 256 * limits.KiB
            assert answering == limits.PROTOCOL_STREAMS_PER_PEER
            nursery.cancel_scope.cancel()

    trio.run(main)


async def _suppressed(call: object, *args: object) -> None:
    assert callable(call)
    with contextlib.suppress(PeerGone), contained("attacking"):
        await call(*args)


def test_streams_that_never_say_what_they_want_are_reset_in_time_and_the_guest_stays() -> None:
    async def main() -> None:
        async with victim(Timing(dial_s=0.5), answers={ECHO: echo}) as node, guest(node) as evil:
            streams = [await evil.open_stream() for _ in range(40)]
            link = link_of(node)
            with trio.fail_after(5):
                for stream in streams:
                    await _suppressed(stream.receive)
            await eventually(lambda: not link.muxer.streams)
            await pinged(evil)

    trio.run(main)


def test_a_flood_of_pings_is_answered_at_its_pace_and_others_are_served() -> None:
    async def main() -> None:
        async with victim(Timing(), answers={ECHO: echo}) as node, guest(node) as evil, trio.open_nursery() as nursery:
            echoed = 0

            async def flood() -> None:
                nonlocal echoed
                stream, reader = await open_stream(evil, PING_PROTOCOL)
                nursery.start_soon(_suppressed, stream.write, bytes(32 * 10_000))
                with contained("attacking"):
                    while True:
                        echoed += len(await reader.read(32)) // 32

            began = trio.current_time()
            nursery.start_soon(flood)
            nursery.start_soon(flood)
            async with guest(node, identity(3)) as honest:
                for _ in range(10):
                    await pinged(honest)
            await trio.sleep(1.0)
            took = trio.current_time() - began
            assert echoed <= 2 * (PINGS_AT_ONCE + 2 * PINGS_PER_S * took) + 2
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_more_ping_streams_than_two_are_reset() -> None:
    async def main() -> None:
        async with victim(Timing()) as node, guest(node) as evil:
            kept = [await open_stream(evil, PING_PROTOCOL) for _ in range(2)]
            for stream, reader in kept:
                with contained("attacking"):
                    await stream.write(bytes(32))
                    await reader.read(32)
            with pytest.raises(PeerGone):
                await pinged(evil)

    trio.run(main)


def test_a_guest_that_idles_is_sent_away_and_one_that_pings_stays() -> None:
    async def main() -> None:
        timing = Timing(guest_idle_s=0.5, keepalive_s=0.1)
        async with victim(timing) as node, guest(node) as idle, guest(node, identity(3)) as active:
            with trio.fail_after(10):
                while not idle.event_closed.is_set():
                    await pinged(active)
                    await trio.sleep(0.05)
            assert neighbours(node) == (identity(3).peer_id,)

    trio.run(main)


def test_a_guest_that_answers_nothing_at_all_is_gone() -> None:
    async def main() -> None:
        async with victim(Timing(guest_silent_s=0.5, keepalive_s=0.1)) as node, authenticated(node) as evil:
            asks = encode_delim(b"/multistream/1.0.0") + encode_delim(IDENTIFY.encode())
            await throw(evil, YAMUX.pack(0, WINDOW, SYN, 1, 0) + YAMUX.pack(0, DATA, 0, 1, len(asks)) + asks)
            with trio.fail_after(10):
                await eventually(lambda: EVIL in neighbours(node))
                await over(evil)

    trio.run(main)


def test_a_guest_that_says_what_is_malformed_is_barred() -> None:
    async def main() -> None:
        answers = {ECHO: failing(MalformedMessage("rubbish"))}
        async with victim(Timing(offender_s=0.5), answers=answers) as node:
            async with guest(node) as evil:
                stream, _ = await open_stream(evil, ECHO)
                with contained("attacking"):
                    await stream.write(b"\xff")
                await evil.event_closed.wait()
            async with authenticated(node) as barred:
                with trio.fail_after(5):
                    await over(barred)
            await trio.sleep(0.6)
            async with guest(node):
                assert EVIL in neighbours(node)

    trio.run(main)


def test_a_guest_may_become_a_peer_and_one_that_only_begins_to_is_sent_away() -> None:
    async def main() -> None:
        async with victim(Timing(dial_s=0.5)) as node, guest(node) as evil:
            await open_stream(evil, wire.CONTROL)
            with trio.fail_after(5):
                await evil.event_closed.wait()
            async with impostor(node):
                assert EVIL in node.transport.peers
                assert EVIL in neighbours(node)

    trio.run(main)


def test_a_guest_gets_no_blobs_and_no_second_control_stream() -> None:
    async def main() -> None:
        async with victim(Timing(dial_s=0.5)) as node, guest(node) as evil:
            stream, _ = await open_stream(evil, wire.BLOB)
            with trio.fail_after(5), contextlib.suppress(PeerGone), contained("attacking"):
                assert not await stream.receive()
            await pinged(evil)

    trio.run(main)


def test_a_crowd_of_guests_makes_room_among_itself_and_peers_do_not_notice() -> None:
    async def main() -> None:
        async with victim(Timing()) as node, trio.open_nursery() as nursery:
            friend = await start(nursery, Libp2pTransport(identity(5), "127.0.0.1", 0), Recorder())
            await friend.transport.dial(node.address)
            crowd: list[Muxer] = []

            async def come(number: int, *, task_status: trio.TaskStatus[None]) -> None:
                try:
                    async with guest(node, identity(1000 + number)) as muxer:
                        crowd.append(muxer)
                        task_status.started()
                        await muxer.event_closed.wait()
                except* PeerGone:
                    task_status.started()

            for number in range(limits.GUESTS_MAX):
                await nursery.start(come, number)
            for number in range(limits.GUESTS_MAX):  # Everybody has just said something, however slow this machine is.
                link_of(node, identity(1000 + number).peer_id).used_at = trio.current_time()
            await nursery.start(come, limits.GUESTS_MAX)
            assert len(crowd) == limits.GUESTS_MAX
            link_of(node, identity(1000).peer_id).used_at -= 60
            await nursery.start(come, limits.GUESTS_MAX + 1)
            await crowd[0].event_closed.wait()
            assert [muxer.event_closed.is_set() for muxer in crowd].count(True) == 1
            assert friend.id in node.transport.peers
            assert len(neighbours(node)) == limits.GUESTS_MAX + 1
            nursery.cancel_scope.cancel()

    trio.run(main)
