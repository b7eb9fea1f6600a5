"""The node's end of a child's socket: a frame out, an answer in, without a thread.

Does not live here: deadlines, and what is done when the child falls silent (``executor``).
"""

from __future__ import annotations

import socket

import msgspec
import trio

from node.executor.wasm.protocol import ANSWER_BYTES_MAX, Answer, answer_in


class Channel:
    """A connected stream socket of this process, owned from here on."""

    def __init__(self, ours: socket.socket) -> None:
        ours.setblocking(False)
        self._socket = ours

    async def send(self, data: bytes) -> None:
        """All of it; what a dead child does not take is dropped, since ``answer`` tells."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
            except OSError:
                return

    async def answer(self) -> Answer | None:
        """The child's one answer; None when it closed its end, or said something that is none."""
        buffer = b""
        while True:
            try:
                await trio.lowlevel.wait_readable(self._socket)
                data = self._socket.recv(ANSWER_BYTES_MAX)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError):
                return None
            if not data:
                return None
            buffer += data
            try:
                answer = answer_in(buffer)
            except msgspec.DecodeError:
                return None
            if answer is not None:
                return answer

    def close(self) -> None:
        """Close; whoever waits in ``answer`` gets None."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
