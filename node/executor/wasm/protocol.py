"""What the node, the zygote and its children say to each other, and how it is framed.

Node and zygote: one message is one packet (SOCK_SEQPACKET), files travel beside it. Node and child: a stream of frames,
a 4-byte length and MessagePack, because a job may be larger than a packet. A child runs hostile code, so the node
bounds and checks what comes from it as it does with a peer's words.
Does not live here: waiting (``channel`` for the node; children block).
"""

from __future__ import annotations

import socket
from typing import Annotated, Literal, TypeAlias

import msgspec

from node import limits
from node.executor.wasm.settings import Settings

ANSWER_BYTES_MAX = 16 * limits.KiB  # A worker that says more is ended.
PACKET_BYTES_MAX = 64 * limits.KiB
FILES_MAX = 4
PARTS = ("gate", "view")  # of the deterministic profile

_LENGTH_BYTES = 4


class _Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of everything said here."""


class WorkerSpec(_Message, frozen=True, tag="worker"):
    """A process that runs one compiled module for one tenant.

    It can reach no files but these and, as the second file it is given, the folder that its results are written to.
    Paths are bytes.
    """

    code: tuple[bytes, ...]  # of the module, and in the deterministic profile of its gate and view
    settings: Settings
    memory_bytes: int
    reads: tuple[bytes, ...]  # inputs
    staging: bytes  # made by this process, for itself alone; its parent is there
    has_view: bool = False  # it mounts what its one job is to see, reaches that alone, and ends after it


class CompilerSpec(_Message, frozen=True, tag="compiler"):
    """A process that compiles one module into the second file it is given, and ends."""

    what: str  # the sha256 of a module; "gate" or "view" of the deterministic profile
    module: bytes  # path; empty for a part of the profile
    settings: Settings


class Spawn(_Message, frozen=True, tag="spawn"):
    """Node to zygote, with the files that the child gets as its descriptors 3, 4, …"""

    number: int
    spec: WorkerSpec | CompilerSpec


class Hello(_Message, frozen=True, tag="hello"):
    """Zygote to node, once: ready, or why it never will be.

    ``viewless``: why workers cannot have views, if so; ``lacking``: what this kernel has not to confine them.
    """

    error: str | None
    viewless: str | None = None
    lacking: tuple[str, ...] = ()


class Spawned(_Message, frozen=True, tag="spawned"):
    """Zygote to node, with a pidfd beside it; or with ``error`` and without."""

    number: int
    error: str | None = None


class Exited(_Message, frozen=True, tag="exited"):
    """Zygote to node: reaped. ``status`` is the exit code, or the signal negated."""

    number: int
    status: int


FromZygote: TypeAlias = Hello | Spawned | Exited


class Input(_Message, frozen=True):
    """A folder or a file that is shown. ``within``: a guest folder that shows it with its like."""

    host: bytes
    guest: str
    within: str | None = None


class Job(_Message, frozen=True, tag="job"):
    """Node to worker: one run. Paths of this machine are bytes."""

    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    inputs: tuple[Input, ...]
    outputs: tuple[tuple[str, str], ...]  # (name, guest path)
    results: bytes
    stdin: str | None  # guest path
    fuel: int | None
    seed: str
    cpu_s: float
    output_bytes: int
    output_files: int


class Returned(_Message, frozen=True, tag="returned"):
    """Worker to node: the module ended by itself."""

    exit_code: Annotated[int, msgspec.Meta(ge=0, le=255)]


class Failed(_Message, frozen=True, tag="failed"):
    """Worker or compiler to node: it did not."""

    code: Literal["module", "data", "trap", "memory", "output"]
    detail: str


class Broken(_Message, frozen=True, tag="broken"):
    """Worker or compiler to node: this machine did not let it (disk full, no more files)."""

    detail: str


class Unloadable(_Message, frozen=True, tag="unloadable"):
    """Worker to node: the compiled module cannot be used here (another version or CPU wrote it, or it is damaged)."""


class Compiled(_Message, frozen=True, tag="compiled"):
    """Compiler to node: the file is complete and on disk."""


Answer: TypeAlias = Returned | Failed | Broken | Unloadable | Compiled

_ENCODER = msgspec.msgpack.Encoder()
_SPAWN: msgspec.msgpack.Decoder[Spawn] = msgspec.msgpack.Decoder(Spawn)
_FROM_ZYGOTE: msgspec.msgpack.Decoder[FromZygote] = msgspec.msgpack.Decoder(FromZygote)
_JOB: msgspec.msgpack.Decoder[Job] = msgspec.msgpack.Decoder(Job)
_ANSWER: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def packet(message: Spawn | FromZygote) -> bytes:
    """One packet of the control socket."""
    return _ENCODER.encode(message)


def spawn_of(data: bytes) -> Spawn:
    """What the node asks the zygote for. Raises msgspec.DecodeError."""
    return _SPAWN.decode(data)


def from_zygote(data: bytes) -> FromZygote:
    """What the zygote says. Raises msgspec.DecodeError."""
    return _FROM_ZYGOTE.decode(data)


def frame(message: Job | Answer) -> bytes:
    """One frame of a child's stream."""
    body = _ENCODER.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def answer_in(buffer: bytes) -> Answer | None:
    """The answer that ``buffer`` holds, None while it is incomplete.

    Raises msgspec.DecodeError when it is none, is too long or has something behind it.
    """
    if len(buffer) < _LENGTH_BYTES:
        return None
    length = int.from_bytes(buffer[:_LENGTH_BYTES], "big")
    if length > ANSWER_BYTES_MAX or len(buffer) > _LENGTH_BYTES + length:
        raise msgspec.DecodeError("an answer that is too long")
    return None if len(buffer) < _LENGTH_BYTES + length else _ANSWER.decode(buffer[_LENGTH_BYTES:])


def receive_job(channel: socket.socket) -> Job | None:
    """Block for the next job; None when the node has closed its end."""
    head = _exactly(channel, _LENGTH_BYTES)
    body = None if head is None else _exactly(channel, int.from_bytes(head, "big"))
    return None if body is None else _JOB.decode(body)


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    data = channel.recv(count)
    while len(data) < count:
        more = channel.recv(count - len(data))
        if not more:
            return None
        data += more
    return data
