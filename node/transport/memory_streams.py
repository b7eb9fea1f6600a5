"""Streams of other protocols on the memory network: late, cut anywhere, held up by who does not read, broken off.

Lives here: connections, the streams on them, and the bytes in these. Does not live here: who opens and answers them
(``memory_protocols``), sessions (``memory_session``).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from node import limits
from node.errors import PeerGone
from node.model import PeerId

if TYPE_CHECKING:
    from node.transport.memory import MemoryTransport, Network

PIECE_BYTES = 64 * limits.KiB
WINDOW_BYTES = limits.STREAM_WINDOW_BYTES


class Connection:
    """What carries streams between two nodes, until it breaks."""

    def __init__(self, nodes: dict[PeerId, MemoryTransport]) -> None:
        self.nodes = nodes
        self.over = False
        self.turns = {peer: trio.Semaphore(limits.PROTOCOL_STREAMS_PER_PEER) for peer in nodes}  # by who answers
        self._pipes: set[_Pipe] = set()
        self._scopes: set[trio.CancelScope] = set()

    def end(self) -> None:
        """Everything on it is over."""
        self.over = True
        for pipe in tuple(self._pipes):
            pipe.cut()
        for scope in tuple(self._scopes):
            scope.cancel()

    def pair(self, network: Network) -> tuple[MemoryStream, MemoryStream]:
        """The two ends of a new stream."""
        there, back = _Pipe(network, self._pipes.discard), _Pipe(network, self._pipes.discard)
        self._pipes |= {there, back}
        return MemoryStream(back, there), MemoryStream(there, back)

    async def while_it_lasts(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that is cancelled when the connection ends."""
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await work()
            finally:
                self._scopes.discard(scope)


class _Pipe:
    """One way of a stream."""

    def __init__(self, network: Network, forget: Callable[[_Pipe], None]) -> None:
        self.network = network
        self._forget = forget
        self._pieces: deque[tuple[float, bytes]] = deque()  # (due, piece); an empty piece is the end
        self._size = 0
        self._broken = False
        self._changed = trio.Event()
        self.ended = False

    def cut(self) -> None:
        """Nothing comes or goes any more."""
        self._broken = True
        self._forget(self)
        self._tell()

    async def put(self, piece: bytes) -> None:
        """Send one piece, once there is room."""
        deadline = trio.current_time() + limits.PROTOCOL_STALL_S
        while not self._broken and self._size + len(piece) > WINDOW_BYTES:
            await self._wait(deadline)
        if self._broken or self.ended:
            raise PeerGone("the stream is over")
        self._append(piece)

    def end(self) -> None:
        """Nothing more will be put."""
        if not self.ended and not self._broken:
            self._append(b"")
        self.ended = True

    async def get(self) -> bytes:
        """The next piece; the end again and again."""
        deadline = trio.current_time() + limits.PROTOCOL_IDLE_S
        while not self._broken and not self._is_due():
            await self._wait(min(deadline, self._pieces[0][0]) if self._pieces else deadline, deadline)
        if self.network.happens(self.network.faults.blob_breaks):
            self.cut()
        if self._broken:
            raise PeerGone("the stream broke off")
        if not self._pieces[0][1]:
            return b""
        _, piece = self._pieces.popleft()
        self._size -= len(piece)
        self._tell()
        return piece

    def _append(self, piece: bytes) -> None:
        after = self._pieces[-1][0] if self._pieces else -math.inf
        self._pieces.append((max(after, trio.current_time() + self.network.delay_s()), piece))
        self._size += len(piece)
        self._tell()

    def _is_due(self) -> bool:
        return bool(self._pieces) and self._pieces[0][0] <= trio.current_time()

    async def _wait(self, until: float, deadline: float | None = None) -> None:
        with trio.move_on_at(until):
            await self._changed.wait()
        if trio.current_time() >= (until if deadline is None else deadline):
            raise PeerGone("nothing moved for too long")

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class MemoryStream:
    """One end of a stream. Implements ``base.ByteStream``."""

    def __init__(self, inbound: _Pipe, outbound: _Pipe) -> None:
        self._in = inbound
        self._out = outbound

    async def receive_some(self) -> bytes:
        """See ByteStream."""
        await trio.lowlevel.checkpoint()
        return await self._in.get()

    async def send_all(self, data: bytes) -> None:
        """See ByteStream. Cut where it hurts: whoever expects a message in one piece is wrong on every network."""
        await trio.lowlevel.checkpoint()
        random = self._out.network.random
        begin = 0
        while begin < len(data):
            size = random.randint(1, PIECE_BYTES)
            await self._out.put(data[begin : begin + size])
            begin += size

    async def send_eof(self) -> None:
        """See ByteStream."""
        await trio.lowlevel.checkpoint()
        self._out.end()

    async def aclose(self) -> None:
        """See ByteStream."""
        self.reset_unless_ended()
        await trio.lowlevel.checkpoint()

    def reset_unless_ended(self) -> None:
        """Nothing more is wanted; what was sent still arrives if the end was said."""
        self._in.cut()
        if not self._out.ended:
            self._out.cut()

    def reset(self) -> None:
        """Tell the far end that what it has got is not all."""
        self._in.cut()
        self._out.cut()
