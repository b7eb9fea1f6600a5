"""One accepted connection: HTTP/1.1 as anycorn speaks it, over a trio stream, with an end to everything.

anycorn's own connection task would do, but for three things. It sends shielded and without a deadline, so a client that
reads nothing holds its connection, and the node's shutdown, for ever. It closes a connection whose request it refused
before the request is read, so that the refusal is lost in a reset. And it speaks HTTP/2 to whoever asks, whose flow
control lets a client hold an answer for ever without any socket being blocked. So the bytes go in and out here.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import h11
import trio
from anycorn.app_wrappers import ASGIWrapper
from anycorn.config import Config
from anycorn.events import Closed, Event, RawData, Updated
from anycorn.protocol.events import Event as StreamEvent
from anycorn.protocol.events import Response
from anycorn.protocol.h11 import H11Protocol
from anycorn.task_group import TaskGroup
from anycorn.typing import ASGIReceiveEvent, ConnectionState
from anycorn.worker_context import WorkerContext
from typing_extensions import override

from node import limits

_READ_BYTES = 64 * 1024


class Connection:
    """Serves requests one after the other until the client, silence or ``end_by`` ends it.

    ``is_idle``: no request is under way, only waited for. ``slow_since``: since when the client takes nothing of what
    it is being sent (trio's clock); None when it does, or nothing is sent.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._reading = trio.CancelScope()
        self._sending = trio.CancelScope()
        self._one_at_a_time = trio.Lock()  # Bytes of two senders (events and keep-alive) must not mix.
        self.is_idle = True
        self.slow_since: float | None = None
        self._is_closed = False
        self._end = math.inf

    async def serve(self, app: Any, config: Config, context: WorkerContext) -> None:
        """The whole life; the stream is closed afterwards."""
        async with self._stream:
            async with _Requests() as requests:
                protocol = _Http1(
                    ASGIWrapper(app), config, context, requests, ConnectionState({}), None, None, self._event, None
                )
                self._reading.deadline = trio.current_time() + limits.HTTP_IDLE_S
                with self._reading:
                    await self._read(protocol)
                self._is_closed = True
                await protocol.handle(Closed())  # The request under way, if any, hears that its caller is gone.
            await self._say_goodbye()

    def end_by(self, deadline: float) -> None:
        """At once if no request is under way, else when it is answered, and never later than ``deadline``."""
        self._end = deadline
        self._sending.deadline = min(self._sending.deadline, deadline)
        if self.is_idle:
            self._hang_up()

    def _hang_up(self) -> None:
        """Nothing more is read or sent."""
        self._is_closed = True
        self._reading.cancel()

    async def _read(self, protocol: H11Protocol) -> None:
        while True:
            try:
                data = await self._stream.receive_some(_READ_BYTES)
            except trio.BrokenResourceError:
                return
            if not data:
                return
            await protocol.handle(RawData(bytes(data)))

    async def _event(self, event: Event) -> None:
        """What the protocol wants."""
        match event:
            case RawData(data):
                await self._send(data)
            case Updated(idle):
                self.is_idle = idle
                self._reading.deadline = trio.current_time() + limits.HTTP_IDLE_S if idle else math.inf
            case _:
                self._hang_up()

    async def _send(self, data: bytes) -> None:
        """All of it, or the connection is over; shielded, because half a chunk of one answer would spoil the next."""
        view = memoryview(data)
        with trio.CancelScope(shield=True):
            async with self._one_at_a_time:
                while view and not self._is_closed:
                    view = view[await self._send_some(view) :]

    async def _send_some(self, view: memoryview) -> int:
        deadline = min(trio.current_time() + limits.HTTP_STALL_S, self._end)
        self.slow_since = trio.current_time()
        with trio.CancelScope(deadline=deadline) as self._sending:
            try:
                return await self._stream.socket.send(view)
            except OSError:
                pass
            finally:
                self.slow_since = None
        self._hang_up()
        return 0

    async def _say_goodbye(self) -> None:
        """Read what the client still sends, for a while: closing on unread bytes would take the answer from it."""
        self.is_idle = True
        with trio.CancelScope(deadline=min(trio.current_time() + limits.HTTP_LINGER_S, self._end)) as self._reading:
            try:
                await self._stream.send_eof()
                while await self._stream.receive_some(_READ_BYTES):
                    pass
            except trio.BrokenResourceError:
                return


class _Requests(TaskGroup):
    """The applications of a connection, each told of its end without waiting for room in its queue.

    Who tells it is itself, when it has answered; what its client sent and it did not read fills that queue, and nobody
    else empties it.
    """

    @override
    async def spawn_app(self, *request: Any) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        put = await super().spawn_app(*request)

        async def told(event: ASGIReceiveEvent) -> None:
            if event["type"] == "http.disconnect":
                self.spawn(put, event)
            else:
                await put(event)

        return told


class _Http1(H11Protocol):
    """Without the two ways to HTTP/2 (``Upgrade: h2c`` and prior knowledge): they mean nothing here.

    And with a word to a client whose request is answered before it is read: the connection ends with this answer.
    """

    @override
    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, Response) and self.connection.their_state is h11.SEND_BODY:
            event = replace(event, headers=[*event.headers, (b"connection", b"close")])
        await super().stream_send(event)

    @override
    async def _check_protocol(self, event: h11.Request) -> None:
        return
