"""The RPC of a Kubo daemon (https://docs.ipfs.tech/reference/kubo/rpc/): the one door to ipfshttpclient.

That library blocks, so a call has a thread for itself, of which there are few, and a client that it shares with nobody.
When it is cancelled: the connection of a stream is shut down from outside, which ends its thread; an upload stops at
its next piece; a call with one short answer is left to its own deadline. ``Client`` is made without ``connect()``,
which refuses every daemon from 0.8 on.
Does not live here: what the bytes are, and whether they are what was asked for (``kubo``).
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import trio

from node import limits
from node.errors import DriverUnavailable, NoRoom, OperatorError, StorageError
from node.storage.ipfs.cid import Cid

# The library's own switch: its patch of requests is for an urllib3 of long ago, and Unix sockets alone need it.
os.environ["PY_IPFS_HTTP_CLIENT_PATCH_REQUESTS"] = "no"

import ipfshttpclient
from ipfshttpclient import exceptions

PIECE_BYTES = 1 * limits.MiB  # of what is handed from thread to thread
_PIECES_AHEAD = 4

Write = Callable[[Callable[[bytes], object], Callable[[], None]], Cid]
"""Hands a CAR with one root to the first argument, and calls the second now and then; its root. Runs in a thread.

Both raise BrokenPipeError when nobody wants more.
"""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for each step of a call."""

    find_s: float = limits.KUBO_FIND_S
    block_s: float = limits.BLOCK_FETCH_S
    stall_s: float = limits.FETCH_STALL_S
    restart_s: float = limits.KUBO_RESTART_S
    grace_s: float = 5.0  # a daemon that was given a deadline answers within this after it


class Rpc:
    """One daemon, which need not be there. Raises OperatorError for an address that cannot be one.

    Its calls raise DriverUnavailable (nobody answers as Kubo does), StorageError (the daemon says no), by a deadline.
    """

    def __init__(self, address: str, patience: Patience | None = None) -> None:
        self.address = address
        self.patience = patience or Patience()
        self._limiter = trio.CapacityLimiter(limits.KUBO_CALLS_MAX)
        self._exports = trio.Semaphore(limits.KUBO_EXPORTS_MAX)
        expected = "expected a multiaddr like /ip4/127.0.0.1/tcp/5001 or /dns/kubo.example/tcp/443/https"
        if address.startswith("/unix"):
            raise OperatorError(f"--ipfs-connect {address!r}: Unix sockets are not supported; {expected}")
        try:
            self._client(limits.FETCH_STALL_S)
        except exceptions.AddressError as error:
            raise OperatorError(f"--ipfs-connect {address!r}: {expected}") from error

    async def version(self) -> str:
        """Of the daemon, like ``0.43.0``."""
        with _in_time(self.address, limits.FETCH_ANSWER_S + self.patience.grace_s):
            return await self.call(self._version)

    async def has(self, cid: Cid, within_s: float | None = None) -> bool:
        """Whether the daemon has the block; with a time to look for it: whether it can get it."""
        with _in_time(self.address, (within_s or 0) + 2 * self.patience.grace_s):
            return await self.call(self._has, cid, within_s)

    async def block(self, cid: Cid) -> bytes:
        """A block, unchecked; which the daemon may have to look for."""
        return await self.call(self._block, cid)

    @asynccontextmanager
    async def export(self, root: Cid, parse: Callable[[bytes], _T]) -> AsyncIterator[Export[_T]]:
        """All blocks under a root as a CAR, in the order of a walk, each once; what ``parse`` makes of its pieces."""
        async with self._exports:
            export = Export(self, self._client(self.patience.stall_s), root, parse)
            try:
                yield export
            finally:
                export.end()

    async def pinned_import(self, write: Write) -> Cid:
        """Have the daemon take a CAR, and pin its root. Raises StorageError also from ``write``, and NoRoom."""
        upload = _Upload(self._client(limits.KUBO_IMPORT_SILENT_S), write)
        try:
            return await self.call(upload.run)
        finally:
            upload.ended = True

    async def call(self, call: Callable[..., _T], *arguments: object) -> _T:
        """In a thread."""
        with _reasons(self.address):
            return await trio.to_thread.run_sync(call, *arguments, abandon_on_cancel=True, limiter=self._limiter)

    def _client(self, silent_s: float) -> Any:
        return ipfshttpclient.Client(self.address, timeout=(limits.FETCH_CONNECT_S, silent_s))

    def _version(self) -> str:
        with _well_formed():
            return str(self._client(limits.FETCH_ANSWER_S).version()["Version"])

    def _has(self, cid: Cid, within_s: float | None) -> bool:
        options = {"offline": "true"} if within_s is None else {"timeout": f"{within_s:g}s"}
        try:
            with _well_formed():
                found = self._client((within_s or 0) + self.patience.grace_s).block.stat(str(cid), opts=options)
                return bool(found["Key"])
        except exceptions.ErrorResponse:
            return False

    def _block(self, cid: Cid) -> bytes:
        within_s = self.patience.block_s
        client = self._client(within_s + self.patience.grace_s)
        block = bytearray()
        try:
            with client.block.get(str(cid), opts={"timeout": f"{within_s:g}s"}, stream=True) as pieces:
                while len(block) <= limits.BLOCK_BYTES_MAX and (piece := next(pieces, b"")):
                    block += piece
        except exceptions.ErrorResponse as error:
            if "deadline exceeded" in str(error):
                raise StorageError(f"Kubo does not find the block {cid} within {within_s:g} s") from error
            raise
        return bytes(block)


class _OtherAnswer(Exception):
    """An answer that is not the one that Kubo gives to this call."""


class Export(Generic[_T]):
    """A CAR as it comes. Its end may come early: what the daemon says of that in a trailer reaches nobody.

    A thread of its own reads ahead and parses, so that the daemon does not wait while others check and write.
    """

    def __init__(self, rpc: Rpc, client: Any, root: Cid, parse: Callable[[bytes], _T]) -> None:
        self._rpc = rpc
        self._client = client
        self._root = root
        self._parse = parse
        self._read: queue.Queue[_T | Exception | None] = queue.Queue(_PIECES_AHEAD)
        self._thread: threading.Thread | None = None
        self._stream: Any = None
        self._ended = False

    async def receive(self) -> _T | None:
        """What the next bytes are; None at the end. Raises as ``Rpc`` says, and ValueError from ``parse``."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        try:
            read = self._read.get_nowait()
            await trio.lowlevel.checkpoint()
        except queue.Empty:
            read = await self._rpc.call(self._read.get)
        if isinstance(read, Exception):
            with _reasons(self._rpc.address):
                raise read
        return read

    def end(self) -> None:
        """Give it up, whatever the thread does at the moment: it waits for the daemon, or for room."""
        self._ended = True
        if self._stream is not None:
            with suppress(OSError, ValueError, IndexError):  # it has just come to its end
                self._stream._closables[0].raw.shutdown()  # the response, which the library shows to nobody
        with suppress(queue.Empty):
            while True:
                self._read.get_nowait()

    def _run(self) -> None:
        last: Exception | None = None
        try:
            with self._client.dag.export(str(self._root), stream=True) as self._stream:
                while not self._ended and (piece := self._piece()):
                    self._read.put(self._parse(piece))
        except (exceptions.Error, OSError, ValueError, RecursionError) as error:
            last = error
        self._read.put(last)

    def _piece(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while size < PIECE_BYTES and not self._ended and (part := next(self._stream, b"")):
            parts.append(part)
            size += len(part)
        return b"".join(parts)


class _Upload:
    """What one thread writes and another sends, through a pipe: who closes its end of it tells the other."""

    def __init__(self, client: Any, write: Write) -> None:
        self.ended = False
        self._client = client
        self._client.chunk_size = PIECE_BYTES
        self._write = write
        self._written: Cid | StorageError | None = None

    def run(self) -> Cid:
        """Until the daemon has answered and the writer has ended."""
        reader, writer = os.pipe()
        thread = threading.Thread(target=self._fill, args=(writer,), daemon=True)
        thread.start()
        try:
            with open(reader, "rb") as self._file:
                self._file.peek(1)  # the daemon is not bothered before there is something to send
                with _well_formed():
                    answer = self._client.dag.imprt(self).as_json()
        finally:
            thread.join()
        return _pinned(answer, self._written)

    def read(self, size: int) -> bytes:
        """For the library: the next part of the body. What it raises breaks the connection off."""
        part = self._file.read1(size)
        if self.ended or not (part or isinstance(self._written, Cid)):
            raise self._written if isinstance(self._written, StorageError) else StorageError("the upload was ended")
        return part

    def _fill(self, writer: int) -> None:
        with suppress(BrokenPipeError), open(writer, "wb", buffering=0) as file:
            try:
                self._written = self._write(file.write, self._checkpoint)
            except StorageError as error:
                self._written = error

    def _checkpoint(self) -> None:
        if self.ended:
            raise BrokenPipeError


def _pinned(answer: Any, written: Cid | StorageError | None) -> Cid:
    assert isinstance(written, Cid)
    with _well_formed():
        problem, root = answer["Root"].get("PinErrorMsg"), answer["Root"]["Cid"]["/"]
    if problem or root != str(written):
        raise StorageError(f"Kubo did not pin {written}: {problem or 'it read another root'}")
    return written


@contextmanager
def _well_formed() -> Iterator[None]:
    """The library asserts, and we index, what Kubo sends: one JSON object of known shape. Others send other."""
    try:
        yield
    except (AssertionError, LookupError, TypeError, AttributeError) as error:
        raise _OtherAnswer(repr(error)) from error


@contextmanager
def _in_time(address: str, within_s: float) -> Iterator[None]:
    """For who waits for a thread as well, and for an answer that comes byte by byte: the library limits each read."""
    try:
        with trio.fail_after(within_s):
            yield
    except trio.TooSlowError as error:
        raise DriverUnavailable(f"the Kubo daemon at {address} does not answer in time") from error


@contextmanager
def _reasons(address: str) -> Iterator[None]:
    """What the library raises, as an error that a person can act on; requests' own errors are OSErrors."""
    try:
        yield
    except exceptions.TimeoutError as error:
        raise DriverUnavailable(f"the Kubo daemon at {address} does not answer in time") from error
    except exceptions.ErrorResponse as error:
        words = str(error)
        raise (NoRoom if "no space left" in words else StorageError)(f"Kubo says: {words}") from error
    except (exceptions.StatusError, exceptions.DecodingError, _OtherAnswer, RecursionError) as error:
        raise DriverUnavailable(f"what answers at {address} is no Kubo: {error}") from error
    except (exceptions.Error, OSError) as error:
        raise DriverUnavailable(f"the Kubo daemon at {address} does not answer") from error
