"""Bitswap on the connections of this node: hears everybody, asks whoever may have what readers want, answers who asks.

Wants travel on one stream of ours to each peer, answers on another, because blocks must not hold up wants; neither is
the stream on which the peer asked: Kubo and Helia do not read answers there. A peer is read no faster than its blocks
are kept on the disk, which is what bounds memory.

Lives here: the tasks. Does not live here: decisions (``asking``, ``answering``), the wire format (``wire``).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count

import trio

from node import limits
from node.errors import MalformedMessage, NoRoom, NotSpoken, PeerGone
from node.model import PeerId
from node.storage.ipfs.bitswap import wire
from node.storage.ipfs.bitswap.answering import Answering
from node.storage.ipfs.bitswap.asking import Asking
from node.storage.ipfs.bitswap.replies import Replies
from node.storage.ipfs.bitswap.session import Session, Surroundings
from node.storage.ipfs.blockstore import Blockstore
from node.storage.ipfs.cid import Cid
from node.transport.base import ByteStream, Protocols
from node.turns import Turns

log = logging.getLogger("quorate.bitswap")

_TICK_S = 1.0
_IDLE_S = 30.0  # A stream of ours with nothing to say for this long is ended.
_AGAIN_S = 2.0  # After a stream broke, its peer is left alone for this long.
_MESSAGE_S = 15.0  # What a message has at least to be sent, or to be heard; and more by its size:
_BYTES_PER_S_MIN = 64 * limits.KiB

_Work = Callable[[], Awaitable[None]]


class Exchange:
    """Bitswap of one node, to be made before its transport runs. Implements ``Neighbourhood``.

    ``missing_s``: how long a reader waits for what nobody there has.
    """

    def __init__(self, protocols: Protocols, store: Blockstore, missing_s: float = limits.BITSWAP_MISSING_S) -> None:
        self._protocols = protocols
        self._store = store
        self._missing_s = missing_s
        self._expected_until = float("-inf")
        self._asking, self._answering = Asking(), Answering()
        self._replies = Replies(self._answering, store)
        self._turns = Turns(limits.BITSWAP_ANSWERS_MAX)
        self._long = Turns(limits.BITSWAP_LONG_MAX)
        self._lanes: dict[PeerId, trio.Semaphore] = {}
        self._readers = trio.Semaphore(limits.BITSWAP_READERS_MAX)
        self._sessions: dict[int, Session] = {}
        self._circles = count()
        self._busy: dict[tuple[str, PeerId], trio.Event] = {}  # who asks or answers whom; set: there is more
        self._starting: list[_Work] = []
        self._keeps = True  # what comes; logged when that changes
        self._woken = trio.Event()
        self._heard = trio.Event()
        protocols.watch(self)
        for protocol in wire.PROTOCOLS:
            protocols.serve(protocol, self._hear)

    def came(self, peer: PeerId) -> None:
        """See Neighbourhood."""
        self._asking.came(peer, trio.current_time())
        self._wake()

    def went(self, peer: PeerId) -> None:
        """See Neighbourhood."""
        self._asking.went(peer, trio.current_time())
        self._answering.went(peer)
        self._lanes.pop(peer, None)
        self._wake()

    @property
    def is_alone(self) -> bool:
        """Whether there is nobody to ask."""
        return self._asking.is_alone

    def expect(self) -> None:
        """Neighbours are being dialled: readers wait a moment for the first of them."""
        self._expected_until = trio.current_time() + limits.BITSWAP_DIALLED_S

    async def run(self) -> None:
        """The whole life, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick)
            while True:
                self._woken = trio.Event()
                for peer in self._asking.talkative:
                    self._start("ask", peer, self._ask)
                for peer in self._answering.waiting:
                    self._start("answer", peer, self._answer)
                for work in self._starting:
                    nursery.start_soon(work)
                self._starting.clear()
                await self._woken.wait()

    @asynccontextmanager
    async def session(self, root: Cid) -> AsyncIterator[Session]:
        """A reader of the DAG under ``root``. Waits while there are ``limits.BITSWAP_READERS_MAX``."""
        async with self._readers:
            circle = next(self._circles)
            around = Surroundings(self._asking, self._store, self._share, self._wake, self._expects, self._missing_s)
            session = Session(around, circle, root)
            feeding = trio.CancelScope()
            self._asking.begin(circle)
            self._sessions[circle] = session
            self._starting.append(lambda: _within(feeding, session.feed))
            self._wake()
            try:
                yield session
            finally:
                feeding.cancel()
                del self._sessions[circle]
                self._asking.end(circle, trio.current_time())
                self._wake()

    async def somebody_has(self, cid: Cid) -> bool:
        """Whether a neighbour says, within ``limits.BITSWAP_HAS_S``, that it has a block."""
        circle = next(self._circles)
        self._asking.begin(circle, only_looks=True)
        try:
            self._asking.open(circle, cid, trio.current_time())
            self._wake()
            with trio.move_on_after(limits.BITSWAP_HAS_S):
                while not self._asking.is_answered(circle, cid.multihash):
                    await self._heard.wait()
            return self._asking.has_holder(circle)
        finally:
            self._asking.end(circle, trio.current_time())
            self._wake()

    def _expects(self) -> bool:
        return trio.current_time() < self._expected_until

    def _share(self) -> int:
        return min(limits.BITSWAP_WINDOW_BYTES, limits.BITSWAP_WINDOWS_BYTES // max(1, len(self._sessions)))

    def _wake(self) -> None:
        self._woken.set()
        for peer in self._asking.talkative:
            self._nudge("ask", peer)
        for peer in self._answering.waiting:
            self._nudge("answer", peer)

    def _nudge(self, doing: str, peer: PeerId) -> None:
        event = self._busy.get((doing, peer))
        if event is not None:
            event.set()

    def _start(self, doing: str, peer: PeerId, call: Callable[[PeerId], Awaitable[None]]) -> None:
        if (doing, peer) not in self._busy:
            self._busy[doing, peer] = trio.Event()
            self._starting.append(lambda: self._done(doing, peer, call))

    async def _done(self, doing: str, peer: PeerId, call: Callable[[PeerId], Awaitable[None]]) -> None:
        try:
            await call(peer)
        finally:
            del self._busy[doing, peer]
            self._wake()

    async def _more(self, doing: str, peer: PeerId) -> bool:
        """Wait until there may be more to say; False after a while."""
        with trio.move_on_after(_IDLE_S):
            await self._busy[doing, peer].wait()
            self._busy[doing, peer] = trio.Event()
            return True
        return False

    async def _tick(self) -> None:
        while True:
            await trio.sleep(_TICK_S)
            self._asking.tick(trio.current_time())
            self._wake()

    async def _ask(self, peer: PeerId) -> None:
        """Tell a peer what is wanted of it, as long as there is anything."""
        try:
            async with self._protocols.open(peer, wire.PROTOCOLS) as (protocol, stream):
                if protocol != wire.V120:
                    self._asking.cannot_tell(peer)
                while await self._asked(peer, protocol, stream) or await self._more("ask", peer):
                    pass
                await stream.send_eof()
        except NotSpoken:
            self._asking.rests(peer, trio.current_time())
        except PeerGone as gone:
            log.debug("cannot_ask", extra={"peer": peer, "reason": str(gone)})
            self._asking.rests(peer, trio.current_time())
            await trio.sleep(_AGAIN_S)
            if peer in self._protocols.neighbours:
                self._asking.came(peer, trio.current_time())

    async def _asked(self, peer: PeerId, protocol: str, stream: ByteStream) -> bool:
        """One message of wants; False when there is none. Raises PeerGone."""
        wants = self._asking.take(peer)
        if wants:
            await _send(stream, wire.encode(wire.Message(wants), protocol))
        return bool(wants)

    async def _answer(self, peer: PeerId) -> None:
        """Tell a peer what it asked for, as long as it asks."""
        try:
            async with self._protocols.open(peer, wire.PROTOCOLS) as (protocol, stream):
                while await self._answered(peer, protocol, stream) or await self._more("answer", peer):
                    pass
                await stream.send_eof()
        except PeerGone as gone:
            log.debug("cannot_answer", extra={"peer": peer, "reason": str(gone)})
            self._answering.forget(peer)

    async def _answered(self, peer: PeerId, protocol: str, stream: ByteStream) -> bool:
        """One message to a peer, when it is its turn; False when nothing is owed to it. Raises PeerGone."""
        async with self._turns.one(peer):
            message = await self._replies.next(peer)
            if message is not None and (message.blocks or message.presences):
                await _send(stream, wire.encode(message, protocol))
        return message is not None

    async def _hear(self, peer: PeerId, protocol: str, stream: ByteStream) -> None:
        """Read one stream of a peer's. Raises MalformedMessage, PeerGone."""
        frames = wire.Frames(limits.BITSWAP_MESSAGE_BYTES_MAX)
        while data := await stream.receive_some():
            frames.feed(data)
            await self._take_in_all(peer, frames)
            while frames.announced > limits.BITSWAP_UNASKED_BYTES_MAX:
                await self._hear_long(peer, frames, stream)
                await self._take_in_all(peer, frames)

    async def _hear_long(self, peer: PeerId, frames: wire.Frames, stream: ByteStream) -> None:
        """The rest of a message that has blocks, if it may: few are under way at once. Raises as ``_hear`` does."""
        if not self._asking.is_asked(peer, trio.current_time()):
            raise PeerGone(f"a message of {frames.announced} bytes from who was not asked for a block")
        await self._patience(peer)
        lane = self._lanes.setdefault(peer, trio.Semaphore(limits.BITSWAP_LONG_PER_PEER))
        async with lane, self._long.one(peer):
            with _in_time(frames.announced, "it sends too slowly"):
                while (body := frames.next()) is None:
                    frames.feed(await stream.receive_some() or _ended_early())
            await self._take_in(peer, body)

    async def _take_in_all(self, peer: PeerId, frames: wire.Frames) -> None:
        while (body := frames.next()) is not None:
            await self._patience(peer)
            await self._take_in(peer, body)

    async def _patience(self, peer: PeerId) -> None:
        """Read a peer that talks too much no faster, however many streams it opens."""
        pause_s = self._answering.pause_s(peer, trio.current_time())
        while pause_s:
            await trio.sleep(pause_s)
            pause_s = self._answering.pause_s(peer, trio.current_time())

    async def _take_in(self, peer: PeerId, body: bytes) -> None:
        now = trio.current_time()
        message = wire.decode(body)
        self._answering.hear(peer, message, now, wire.idle_bytes(body, message))
        came = self._asking.hear(peer, message, now)
        for multihash, block, circles in came:
            for circle in circles & self._sessions.keys():
                self._sessions[circle].arrived(multihash, block)
        self._heard.set()
        self._heard = trio.Event()
        self._wake()
        if came:
            await self._keep([(multihash, block) for multihash, block, _ in came])
        if self._asking.blame.is_banned(peer, now) and message.blocks:
            raise MalformedMessage("it sends blocks that nobody asked for")
        await trio.lowlevel.checkpoint()

    async def _keep(self, blocks: list[tuple[bytes, bytes]]) -> None:
        try:
            await self._store.put(blocks)
        except NoRoom as error:  # The readers have them all the same.
            if self._keeps:
                log.warning("blocks_not_kept", extra={"reason": str(error)})
            self._keeps = False
        else:
            self._keeps = True


async def _within(scope: trio.CancelScope, work: _Work) -> None:
    with scope:
        await work()


async def _send(stream: ByteStream, data: bytes) -> None:
    """Raises PeerGone for a peer that takes it too slowly."""
    with _in_time(len(data), "it reads too slowly"):
        await stream.send_all(data)


@contextmanager
def _in_time(size: int, otherwise: str) -> Iterator[None]:
    """PeerGone for a message that is under way for too long."""
    try:
        with trio.fail_after(_MESSAGE_S + size / _BYTES_PER_S_MIN):
            yield
    except trio.TooSlowError as error:
        raise PeerGone(otherwise) from error


def _ended_early() -> bytes:
    raise PeerGone("the stream ended within a message")
