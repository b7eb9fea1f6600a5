"""One accepted connection, as the HTTP server sees it: anyio's interface over a trio stream, with an end to everything.

The server sends shielded from cancellation and without a deadline, so a client that reads nothing could hold its
connection, and the node's shutdown, for ever; and it closes a connection whose request it refused before the request
is read, so that the refusal is lost in a reset. Both are put right here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import trio
from anyio.abc import ByteStream, SocketAttribute
from typing_extensions import override

from node import limits

_LINGER_BYTES = 64 * 1024


class Connection(ByteStream):
    """``aclose`` says goodbye; ``drained`` really closes, and is called once nobody uses the connection any more."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._receiving = trio.CancelScope()
        self._sending = trio.CancelScope()
        self._end = math.inf
        self._closed = False

    @property
    @override
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """What the server asks for: addresses."""
        return {SocketAttribute.raw_socket: lambda: self._stream.socket}

    @override
    async def receive(self, max_bytes: int = 65536) -> bytes:
        """See ByteReceiveStream."""
        if not self._closed:
            with trio.CancelScope() as self._receiving:
                try:
                    data = await self._stream.receive_some(max_bytes)
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    raise anyio.BrokenResourceError from error
                if data:
                    return bytes(data)
                raise anyio.EndOfStream
        raise anyio.ClosedResourceError

    @override
    async def send(self, item: bytes) -> None:
        """See ByteSendStream. A client that takes nothing for ``limits.HTTP_STALL_S`` is gone."""
        view = memoryview(item)
        while view:
            if self._closed:
                raise anyio.ClosedResourceError
            sent = 0
            with trio.CancelScope(deadline=min(trio.current_time() + limits.HTTP_STALL_S, self._end)) as self._sending:
                try:
                    sent = await self._stream.socket.send(view)
                except OSError as error:
                    raise anyio.BrokenResourceError from error
            if not sent:
                self.abort()
            view = view[sent:]

    @override
    async def send_eof(self) -> None:
        """See ByteStream."""
        try:
            await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError) as error:
            raise anyio.BrokenResourceError from error

    @override
    async def aclose(self) -> None:
        """Nothing more is sent or received by the server; whoever waits for either wakes up."""
        self._closed = True
        self._receiving.cancel()
        self._sending.cancel()
        await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        """As if the client had gone."""
        self._closed = True
        self._receiving.cancel()
        self._stream.socket.close()

    def end_by(self, deadline: float) -> None:
        """Nothing of this connection is to last longer."""
        self._end = deadline
        self._sending.deadline = min(self._sending.deadline, deadline)

    async def drained(self) -> None:
        """Read what the client still sends, for a while, so that it sees the answer; then close."""
        with trio.move_on_after(limits.HTTP_LINGER_S) as scope:
            scope.deadline = min(scope.deadline, self._end)
            try:
                while await self._stream.receive_some(_LINGER_BYTES):
                    pass
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
        await trio.aclose_forcefully(self._stream)
