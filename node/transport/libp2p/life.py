"""The tasks of one connection, which live and die together.

One task reads the control stream and hands every complete frame on by plain calls; one writes what has been queued, in
one piece per batch; one takes in streams. Whatever ends one of them ends the link, and nothing else: what a peer does
never leaves ``live`` as an exception.

Lives here: the life of a link once the connection is multiplexed. Does not live here: how it came to be
(``connections``, ``upgrade``), what is decided about it (``peering``, ``guests``), what is in streams that are not the
control stream (``blobs``, ``streams``, ``services``).
"""

from __future__ import annotations

import functools
import logging
from contextlib import suppress
from dataclasses import dataclass

import trio

from node import limits
from node.errors import MalformedMessage, NotSpoken, PeerError, PeerGone
from node.messages import Hello, decode
from node.model import PeerId
from node.transport.base import Receiver
from node.transport.libp2p.blobs import in_time, serve
from node.transport.libp2p.guests import Guests
from node.transport.libp2p.hardening import Exact, contained
from node.transport.libp2p.link import Link, Timing
from node.transport.libp2p.muxing import Stream
from node.transport.libp2p.peering import Peering
from node.transport.libp2p.services import PING, Services, ping
from node.transport.libp2p.session import Session
from node.transport.libp2p.streams import Talk, answered, opened
from node.transport.libp2p.upgrade import accept_stream, discard, open_stream
from node.transport.libp2p.wire import (
    BLOB,
    BYE,
    CONTROL,
    DATA,
    FRAME_HEAD_BYTES,
    Bodies,
    Opening,
    decode_opening,
    encode_opening,
    frame_head,
    parse_frame,
)

log = logging.getLogger("quorate.transport")

GOODBYE_S = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """Whose links these are."""

    local_id: PeerId
    peering: Peering
    guests: Guests
    services: Services
    receiver: Receiver
    timing: Timing


async def live(node: Node, link: Link) -> None:
    """The whole life of a link; it is cancelled through ``link.end``."""
    async with trio.open_nursery() as tasks:
        tasks.start_soon(_pump, link)
        await link.muxer.event_started.wait()
        tasks.start_soon(_accept, node, link, tasks)
        if link.is_wanted:
            tasks.start_soon(_call_on, node, link)
        elif link.dialled:
            tasks.start_soon(_open_control, node, link, tasks)


async def _pump(link: Link) -> None:
    try:
        with contained("the connection"):
            await link.muxer.start()
        link.broke("the connection broke")
    except PeerGone as error:
        link.broke(str(error))
    finally:
        link.muxer.hasten()


async def _accept(node: Node, link: Link, tasks: trio.Nursery) -> None:
    try:
        while True:
            with contained("accepting a stream"):
                stream = await link.muxer.accept_stream()
            tasks.start_soon(_take_in, node, link, stream, tasks)
    except PeerGone as error:
        link.broke(str(error))


async def _open_control(node: Node, link: Link, tasks: trio.Nursery) -> None:
    link.take_control()
    try:
        stream, reader = await open_stream(link.muxer, CONTROL)
    except PeerGone as error:
        link.end(str(error))
    else:
        await _control(node, link, (stream, reader), tasks)


async def _call_on(node: Node, link: Link) -> None:
    """Be a guest. A node of ours lets those stay who use a stream, and a ping proves that there is somebody at all."""
    try:
        with suppress(NotSpoken):
            async with opened(link, (PING,), node.timing) as (_, talk):
                await ping(talk)
        node.guests.admit(link)
    except PeerGone as error:
        link.end(str(error))
    else:
        link.settle()


async def _take_in(node: Node, link: Link, stream: Stream, tasks: trio.Nursery) -> None:
    try:
        with in_time(node.timing.dial_s):
            protocol, reader = await accept_stream(stream, _spoken_on(node, link))
        if protocol == CONTROL:
            link.take_control()
            tasks.start_soon(_control, node, link, (stream, reader), tasks)
            return  # The control stream ends with the link, and says goodbye then.
        await _serve(node, link, protocol, (stream, reader))
    except MalformedMessage as error:
        _offended(node, link, error)
    except PeerGone as error:
        log.debug("stream_ended", extra={"peer": link.peer, "reason": str(error)})
    await discard(stream)


def _spoken_on(node: Node, link: Link) -> tuple[str, ...]:
    """The end that dialled opens the control stream, and blobs are for who has a session."""
    if not link.dialled:
        return (CONTROL, BLOB, *node.services.spoken)
    return node.services.spoken if link.is_wanted else (BLOB, *node.services.spoken)


async def _serve(node: Node, link: Link, protocol: str, ends: tuple[Stream, Exact]) -> None:
    if protocol == BLOB or link.dialled or link.is_for_control:
        with in_time(node.timing.dial_s):
            await link.attached.wait()
    if protocol == BLOB:
        await serve(node.receiver, link, ends, node.timing.blob_stall_s)
        return
    if not link.is_for_control and not link.is_wanted:
        _admit(node, link)
    talk = Talk(link, *ends, node.timing)
    await answered(link, talk, node.timing, functools.partial(node.services.answer, link, protocol, talk))


def _admit(node: Node, link: Link) -> None:
    """Whoever asks for another protocol before ours is a guest. Raises PeerGone."""
    try:
        node.guests.admit(link)
    except PeerGone as error:
        link.end(str(error))
        raise


async def _control(node: Node, link: Link, ends: tuple[Stream, Exact], tasks: trio.Nursery) -> None:
    """The control stream, from the openings to the end of the link."""
    stream, reader = ends
    bodies = Bodies(limits.OPENING_BYTES_MAX)
    try:
        with in_time(node.timing.dial_s):
            session = await _greet(node, link, stream, (reader, bodies))
        bodies.bytes_max = FRAME_HEAD_BYTES + limits.FRAME_BYTES_MAX
        link.settle()
        tasks.start_soon(_write, node, link, stream, session)
        await _read(node, link, session, (reader, bodies))
    except MalformedMessage as error:
        _offended(node, link, error)
    except PeerError as error:
        link.end(str(error))


async def _greet(node: Node, link: Link, stream: Stream, ends: tuple[Exact, Bodies]) -> Session:
    """The smaller peer id decides: it hears the other's opening first and answers with what is to be."""
    if node.local_id < link.peer:
        session, ours = node.peering.decide(link, await _opening(ends))
        await _put(stream, encode_opening(ours))
        return session
    await _put(stream, encode_opening(node.peering.offer(link)))
    return node.peering.follow(link, await _opening(ends))


async def _opening(ends: tuple[Exact, Bodies]) -> Opening:
    _, bodies = ends
    while (body := bodies.next()) is None:
        await _feed(ends)
    return decode_opening(body)


async def _feed(ends: tuple[Exact, Bodies]) -> None:
    reader, bodies = ends
    with contained("reading"):
        data = await reader.some()
    if not data:
        raise PeerGone("the peer closed the control stream")
    bodies.feed(data)


async def _put(stream: Stream, data: bytes) -> None:
    with contained("writing"):
        await stream.write(data)


async def _read(node: Node, link: Link, session: Session, ends: tuple[Exact, Bodies]) -> None:
    _, bodies = ends
    while True:
        while (body := bodies.next()) is not None:
            _take_frame(node, link, session, body)
        if session.ack_is_due:
            link.wake()
        await _feed(ends)


def _take_frame(node: Node, link: Link, session: Session, body: bytes) -> None:
    peer = node.peering.get(link.peer)
    if peer is None or peer.link is not link:
        raise PeerGone("this connection is no longer used")
    if not peer.bucket.take(trio.current_time()):
        raise MalformedMessage(f"more than {limits.MESSAGES_PER_S_PER_PEER} messages a second")
    frame = parse_frame(body)
    session.acknowledge(frame.acknowledged)
    if frame.kind == DATA and session.accept(frame):
        message = decode(frame.payload)
        if isinstance(message, Hello):
            raise MalformedMessage("a second hello")
        node.receiver.received(link.peer, message)
    elif frame.kind == BYE:
        node.peering.drop(peer, "the peer said goodbye")


async def _write(node: Node, link: Link, stream: Stream, session: Session) -> None:
    """Write what is queued; say goodbye when it is we who go."""
    idle = True
    try:
        while True:
            while node.peering.is_used(link) and (data := session.take()):  # Else another link has it all again.
                idle = False
                await _put(stream, data)
                idle = True
            await link.work()
    except PeerGone as error:
        link.end(str(error))
    finally:
        if idle and not link.reason and node.peering.is_used(link):
            await _say_goodbye(stream, session)


async def _say_goodbye(stream: Stream, session: Session) -> None:
    with trio.CancelScope(shield=True, deadline=trio.current_time() + GOODBYE_S):
        try:
            await _put(stream, frame_head(BYE, 0, session.received, 0))
        except PeerGone:
            return  # They will notice by themselves.


def _offended(node: Node, link: Link, error: MalformedMessage) -> None:
    """The peer broke the protocol: its session ends, and for a while there is no other."""
    log.warning("protocol_broken", extra={"peer": link.peer, "reason": str(error)})
    node.peering.shun(link.peer)
    peer = node.peering.get(link.peer)
    if peer is not None:
        node.peering.drop(peer, str(error))
    link.end(str(error))
