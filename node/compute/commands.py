"""An operator's command as a question: something on its standard input, an exit code and a few words as the answer.

Lives here: the limit on what it may say, and its end: whatever it is doing, it and all of its process group are killed
before the call is over, also when that is cancelled. What has left the group (``setsid``) is the operator's own affair;
nobody waits for it, nor reads what it writes. Linux.
Does not live here: deadlines, and what the answer means (``node.compute.probes``, ``node.compute.gpus``).
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import trio

_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """``code`` is negative for a signal. ``said``: the beginning of its standard output; ``is_cut``: there was more."""

    code: int
    said: bytes
    is_cut: bool


async def ended(command: Sequence[str], question: bytes, *, bytes_max: int) -> Ended:
    """Run it to its end. Raises OSError when it cannot be started."""
    with trio.CancelScope(shield=True):  # Starting is bounded, and a process that nobody knows of would stay.
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
    said = _Said(bytes_max)
    try:
        await _conversation(process, question, said)
    finally:
        code = await _end(process)
    return Ended(code, bytes(said.kept), said.is_cut)


async def _conversation(process: trio.Process, question: bytes, said: _Said) -> None:
    """Until the process has ended; it is not reaped."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell, process, question)
        nursery.start_soon(said.listen, process)
        await _exited(process)
        nursery.cancel_scope.cancel()  # A child that it left behind may hold its pipes open for ever.
    said.drain(process)


async def _tell(process: trio.Process, question: bytes) -> None:
    assert process.stdin is not None
    async with process.stdin:
        with suppress(trio.BrokenResourceError):  # It need not listen.
            await process.stdin.send_all(question)


class _Said:
    """What a process says, up to a limit; the rest is read and thrown away, so that it is not held up."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.kept = bytearray()
        self.is_cut = False

    async def listen(self, process: trio.Process) -> None:
        assert process.stdout is not None
        async for piece in process.stdout:
            self._add(piece)

    def drain(self, process: trio.Process) -> None:
        """What it had said by its end."""
        assert isinstance(process.stdout, trio.lowlevel.FdStream)
        with suppress(BlockingIOError):
            while not self.is_cut and (piece := os.read(process.stdout.fileno(), _READ_BYTES)):
                self._add(piece)

    def _add(self, piece: bytes | bytearray) -> None:
        room = self._bytes_max - len(self.kept)
        self.kept += piece[:room]
        self.is_cut = self.is_cut or len(piece) > room


async def _exited(process: trio.Process) -> None:
    """Wait for its end without reaping it."""
    handle = os.pidfd_open(process.pid)
    try:
        await trio.lowlevel.wait_readable(handle)
    finally:
        os.close(handle)


async def _end(process: trio.Process) -> int:
    """Its exit code, when nothing of its group runs any more."""
    with trio.CancelScope(shield=True):  # Killed, it is gone at once.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # Not reaped yet: nothing else can have this id.
        code = await process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            await pipe.aclose()
    return code
