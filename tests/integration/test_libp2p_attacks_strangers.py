"""What strangers can do to a node before it knows them, or without a session: nothing that others notice."""

from __future__ import annotations

import contextlib
import random
import socket

import pytest
import trio
from contract.transports import Recorder, identity, numbered, parties, start, together
from integration.libp2p_attacker import (
    DATA,
    QUICK,
    SYN,
    WINDOW,
    YAMUX,
    authenticated,
    connect,
    ended,
    over,
    throw,
    victim,
)
from libp2p.utils.varint import encode_delim, encode_uvarint

from node import limits
from node.errors import AddressInUse, OperatorError, PeerGone
from node.messages import Results
from node.transport.address import parse
from node.transport.libp2p import wire
from node.transport.libp2p.hardening import Exact, Negotiator, contained
from node.transport.libp2p.link import Timing
from node.transport.libp2p.transport import Libp2pTransport
from node.transport.libp2p.upgrade import open_stream

MULTISTREAM = encode_delim(b"/multistream/1.0.0")


@pytest.mark.parametrize("protocol", [b"/plaintext/2.0.0", b"/secio/1.0.0", b"/tls/1.0.0", b"/quorate/control/1"])
def test_nothing_but_noise_is_spoken_on_a_new_connection(protocol: bytes) -> None:
    async def main() -> None:
        async with victim() as node, await connect(node) as stranger:
            await stranger.send_all(MULTISTREAM + encode_delim(protocol))
            answer = Exact(stranger.receive_some)
            assert await answer.read(len(MULTISTREAM)) == MULTISTREAM
            assert await answer.read(4) == encode_delim(b"na")

    trio.run(main)


@pytest.mark.parametrize("protocol", ["/ipfs/id/push/1.0.0", "/ipfs/kad/1.0.0", "/meshsub/1.1.0"])
def test_services_of_the_librarys_host_are_not_there_to_be_stuffed(protocol: str) -> None:
    async def main() -> None:
        async with victim() as node, authenticated(node) as attacker, trio.open_nursery() as nursery:
            nursery.start_soon(attacker.start)
            await attacker.event_started.wait()
            for _ in range(100):
                with pytest.raises(PeerGone, match="not supported"):
                    await open_stream(attacker, protocol)
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_protocol_name_of_a_gigabyte_ends_the_connection_before_it_is_read() -> None:
    async def main() -> None:
        async with victim(Timing()) as node, await connect(node) as stranger:
            await stranger.send_all(MULTISTREAM + encode_uvarint(2**30))
            with trio.fail_after(5):  # at once, not when its time to say who it is has run out
                assert await ended(stranger) == MULTISTREAM

    trio.run(main)


@pytest.mark.parametrize("seed", range(8))
def test_noise_that_is_none_ends_its_own_connection_alone(seed: int) -> None:
    async def main() -> None:
        rubbish = random.Random(seed)
        async with victim() as node:
            for opening in (b"", MULTISTREAM, MULTISTREAM + encode_delim(b"/noise")):
                async with await connect(node) as stranger:
                    await stranger.send_all(opening + rubbish.randbytes(rubbish.randrange(1, 4000)))
                    await stranger.send_eof()
                    await ended(stranger)

    trio.run(main)


@pytest.mark.parametrize("seed", range(8))
def test_frames_that_are_none_end_their_own_connection_alone(seed: int) -> None:
    async def main() -> None:
        rubbish = random.Random(seed)
        async with victim() as node, authenticated(node) as attacker:
            for _ in range(50):
                header = YAMUX.pack(0, *(rubbish.randrange(n) for n in (5, 16, 6, 300)))
                if not await throw(attacker, header + rubbish.randbytes(rubbish.randrange(300))):
                    break

    trio.run(main)


def test_a_peer_that_sends_more_than_its_window_loses_the_connection() -> None:
    async def main() -> None:
        async with victim(Timing()) as node, authenticated(node) as attacker:
            unread = MULTISTREAM + encode_delim(wire.BLOB.encode())  # served only once there is a session
            await throw(attacker, YAMUX.pack(0, WINDOW, SYN, 1, 0) + YAMUX.pack(0, DATA, 0, 1, len(unread)) + unread)
            flood = YAMUX.pack(0, DATA, 0, 1, 60_000) + bytes(60_000)
            sent = 0
            with trio.fail_after(5):
                while await throw(attacker, flood):
                    sent += 60_000
                await over(attacker)
            assert sent < 8 * limits.MiB  # the sockets' buffers; the window is 256 KiB

    trio.run(main)


def test_a_frame_longer_than_any_window_is_not_read() -> None:
    async def main() -> None:
        async with victim(Timing()) as node, authenticated(node) as attacker:
            await throw(
                attacker, YAMUX.pack(0, WINDOW, SYN, 1, 0) + YAMUX.pack(0, DATA, 0, 1, 2 * limits.STREAM_WINDOW_BYTES)
            )
            with trio.fail_after(5):
                await over(attacker)

    trio.run(main)


def test_a_flood_of_streams_ends_the_connection() -> None:
    async def main() -> None:
        async with victim(Timing()) as node, authenticated(node) as attacker:
            flood = b"".join(YAMUX.pack(0, WINDOW, SYN, 2 * n + 1, 0) for n in range(1000))
            await throw(attacker, flood)
            with trio.fail_after(5):
                await over(attacker)

    trio.run(main)


def test_idle_sockets_are_closed_in_time_and_only_so_many_are_kept() -> None:
    async def main() -> None:
        async with victim(Timing(dial_s=8.0)) as node, trio.open_nursery() as nursery:
            strangers = [await connect(node) for _ in range(limits.PEERS_MAX)]
            async with await connect(node) as one_more:
                with trio.fail_after(6):  # Long before any of the others is closed for saying nothing.
                    assert await ended(one_more) == b""
            for stranger in strangers:
                nursery.start_soon(closed_by_the_node, stranger)

    trio.run(main)


def test_a_peer_that_proves_itself_and_says_nothing_is_closed_in_time() -> None:
    async def main() -> None:
        async with victim(Timing(dial_s=0.5)) as node, authenticated(node) as attacker:
            with trio.fail_after(5):
                await over(attacker)
            assert node.heard.events == []

    trio.run(main)


def test_who_dials_a_silent_port_gives_up_in_time() -> None:
    async def main() -> None:
        async with victim(Timing(dial_s=0.3)) as node:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listener.socket.getsockname()[1]
            with trio.fail_after(5), pytest.raises(PeerGone, match=r"within 0\.3 s"):
                await node.transport.dial(f"/ip4/127.0.0.1/tcp/{port}/p2p/{identity(9).peer_id}")
            await listener.aclose()

    trio.run(main)


@pytest.mark.parametrize("piece", [100, 536])
def test_big_messages_come_through_in_tiny_segments(piece: int) -> None:
    async def main() -> None:
        async with parties(_Loopback(), Recorder(), Recorder()) as (one, other), trio.open_nursery() as nursery:
            proxy = await nursery.start(_cut_up, other.address, piece)
            await one.transport.dial(proxy)
            await one.heard.until(lambda me: bool(me.comings()))
            big = Results(execution="ab" * 16, manifest=bytes(300_000), sizes=None, files=None)
            one.transport.send(other.id, big)
            await other.heard.until_messages(1)
            other.transport.send(one.id, big)
            await one.heard.until_messages(1)
            nursery.cancel_scope.cancel()

    trio.run(main)


async def closed_by_the_node(stranger: trio.SocketStream) -> None:
    async with stranger:
        assert await ended(stranger) in (b"", MULTISTREAM)


async def _cut_up(address: str, piece: int, *, task_status: trio.TaskStatus[str]) -> None:
    """A proxy to ``address`` that passes every byte on in segments of ``piece``."""
    target = parse(address)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]

    async def pipe(source: trio.SocketStream, sink: trio.SocketStream) -> None:
        try:
            while data := await source.receive_some(65536):
                for begin in range(0, len(data), piece):
                    await sink.send_all(data[begin : begin + piece])
                    await trio.lowlevel.checkpoint()  # The reader's turn, so that it sees this segment alone.
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def serve(near: trio.SocketStream) -> None:
        async with await trio.open_tcp_stream(target.host, target.port) as far, trio.open_nursery() as nursery:
            nursery.start_soon(pipe, near, far)
            nursery.start_soon(pipe, far, near)

    task_status.started(f"/ip4/127.0.0.1/tcp/{port}/p2p/{target.peer}")
    await trio.serve_listeners(serve, [listener])


class _Loopback:
    """A world of default timing."""

    stall_s = limits.BLOB_STALL_S

    def transport(self, number: int) -> Libp2pTransport:
        return Libp2pTransport(identity(number), "127.0.0.1", 0)

    async def break_connection(self, one: object, other: object) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("reuse", [False, True])
def test_a_port_that_is_taken_is_an_error_that_says_what_to_do(reuse: bool) -> None:
    async def main() -> None:
        with socket.socket() as other:
            if reuse:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(("127.0.0.1", 0))
            other.listen()
            transport = Libp2pTransport(identity(1), "127.0.0.1", other.getsockname()[1])
            with pytest.raises(AddressInUse, match="--swarm-port"):
                await transport.run(Recorder())

    trio.run(main)


def test_a_host_that_is_not_ours_is_an_operators_error() -> None:
    async def main() -> None:
        with pytest.raises(OperatorError, match=r"192\.0\.2\.1"):
            await Libp2pTransport(identity(1), "192.0.2.1", 0).run(Recorder())

    trio.run(main)


def test_on_all_interfaces_the_addresses_are_those_of_the_interfaces() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            one = await start(nursery, Libp2pTransport(identity(1), "0.0.0.0", 0), Recorder())
            other = await start(nursery, Libp2pTransport(identity(2), "127.0.0.1", 0), Recorder())
            assert one.transport.addresses[0].startswith("/ip4/127.0.0.1/tcp/")
            assert not any("/0.0.0.0/" in address for address in one.transport.addresses)
            await together(other, one)
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_what_is_asked_of_multistream_is_bounded_in_time() -> None:
    async def main() -> None:
        async with victim(QUICK) as node, await connect(node) as stranger:
            negotiator = Negotiator(Exact(stranger.receive_some), stranger.send_all)
            with trio.fail_after(10), contextlib.suppress(PeerGone), contained("attacking"):
                await _ask_on(negotiator)
            node.transport.send(node.id, numbered(1))
            await node.heard.until_messages(1)

    trio.run(main)


async def _ask_on(negotiator: Negotiator) -> None:
    await negotiator.write("/multistream/1.0.0")
    await negotiator.read()
    while True:
        await negotiator.write("/nonsense")
        assert await negotiator.read() == "na"
