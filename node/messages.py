"""Everything peers say to each other on the control stream, and the one codec for it.

The union below *is* the protocol ``/quorate/control/1``: a message that is not in it does not exist. The sender is
never a field: the transport proves it and hands it over beside the message. Blob requests (``/quorate/blob/1``) are the
second union. Framing, numbering and acknowledgements are the transport's (``docs/protocol.md``).
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from node import limits
from node.errors import MalformedMessage
from node.model import DeclineCode, FailureCode, Hex32, Hex64, JobSpec, PeerName, Reason

Address = Annotated[str, msgspec.Meta(max_length=256)]
Addresses = Annotated[tuple[Address, ...], msgspec.Meta(max_length=limits.ADDRESSES_PER_PEER_MAX)]
Shard = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_T = TypeVar("_T")

WAIT_S_MAX = 1e9

Size = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Slots = Annotated[int, msgspec.Meta(ge=1, le=limits.SLOTS_MAX)]
WaitS = Annotated[float, msgspec.Meta(ge=0, le=WAIT_S_MAX)]
ShardPath = Annotated[str, msgspec.Meta(max_length=limits.SHARD_PATH_CHARS_MAX, pattern=r"\A/[^\x00]*\Z")]
SourceName = Annotated[str, msgspec.Meta(max_length=64, pattern=r"\A[a-z0-9_]*\Z")]


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of what travels."""


class Hello(_Message, frozen=True, tag="hello"):
    """First on every control stream: which software, and where we listen."""

    agent: Annotated[str, msgspec.Meta(max_length=64)]
    addresses: Addresses


class KnownPeer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A peer somebody knows, and where it was last heard to listen."""

    peer: PeerName
    addresses: Addresses


class PeersKnown(_Message, frozen=True, tag="peers"):
    """Peer exchange: hints where to dial, nothing more."""

    peers: Annotated[tuple[KnownPeer, ...], msgspec.Meta(max_length=64)]


class Offer(_Message, frozen=True, tag="offer"):
    """Requester to one node: would you run this? ``client`` is a pseudonym, one for all jobs of a client here."""

    job: Hex32
    client: Hex64
    spec: JobSpec
    module_bytes: Size


class Bid(_Message, frozen=True, tag="bid"):
    """Compute to requester: I would, ``slots`` executions at once. ``holds``: there is nothing to fetch for it.

    ``runs_with``: what would run it (``Executor.identity``). ``wait_s``: how long it would have to wait for
    room, about; 0: it could start at once.
    """

    job: Hex32
    slots: Slots = 1
    holds: bool = False
    runs_with: Annotated[str, msgspec.Meta(max_length=128, pattern=r"\A[!-~ ]*\Z")] = ""
    wait_s: WaitS = 0.0


class Decline(_Message, frozen=True, tag="decline"):
    """Compute to requester: I would not, because."""

    job: Hex32
    code: DeclineCode
    reason: Reason


class Accept(_Message, frozen=True, tag="accept"):
    """Requester to a chosen bidder: please do, under this execution id.

    ``paths`` is what the shard sees of the inputs, as guest paths; None: all of them.
    """

    job: Hex32
    shard: Shard
    execution: Hex32
    paths: Annotated[tuple[ShardPath, ...], msgspec.Meta(min_length=1, max_length=limits.ATOMS_MAX)] | None = None


class BidRejected(_Message, frozen=True, tag="bid_rejected"):
    """Requester to a bidder: you were not chosen, or the job is over."""

    job: Hex32


class Queued(_Message, frozen=True, tag="queued"):
    """Compute to requester: it waits for room here, about so long (infinity is ``WAIT_S_MAX``)."""

    execution: Hex32
    wait_s: WaitS


class Started(_Message, frozen=True, tag="started"):
    """Compute to requester: the workload is running. ``sources``: which driver served each input, "" for none."""

    execution: Hex32
    sources: Annotated[tuple[SourceName, ...], msgspec.Meta(max_length=limits.INPUTS_MAX)] = ()


class Progress(_Message, frozen=True, tag="progress"):
    """Compute to requester: what a run waits for, in words for people, such as an image on its way."""

    execution: Hex32
    text: Reason


class Proposed(_Message, frozen=True, tag="proposed"):
    """Compute to requester: my result, signed, then sealed to you (``node.verifier.proposal``)."""

    execution: Hex32
    sealed: Annotated[bytes, msgspec.Meta(max_length=4096)]


class Failed(_Message, frozen=True, tag="failed"):
    """Compute to requester: there will be no proposal."""

    execution: Hex32
    code: FailureCode
    reason: Reason


class HandOver(_Message, frozen=True, tag="hand_over"):
    """Requester to a winner: your result won, hand it over."""

    execution: Hex32


class Results(_Message, frozen=True, tag="results"):
    """Winner to requester: the manifest and the sizes in its order; with ``files`` the contents too, when all is small.

    ``manifest`` None: too long for a frame, fetch it as a blob. ``location``: where it has published them, a URI; ""
    when the requester is to have the files, or nobody.
    """

    execution: Hex32
    manifest: bytes | None
    sizes: tuple[Size, ...] | None
    files: tuple[bytes, ...] | None
    location: Annotated[str, msgspec.Meta(max_length=limits.LOCATION_CHARS_MAX)] = ""


class NoResults(_Message, frozen=True, tag="no_results"):
    """Winner to requester: I no longer have them."""

    execution: Hex32
    reason: Reason


class Release(_Message, frozen=True, tag="release"):
    """Requester to compute: stop if you run, delete what you keep.

    ``retract``: what you published of it does not count, take it back too. Without it a receipt may name it.
    """

    execution: Hex32
    retract: bool = False


Message = (
    Hello
    | PeersKnown
    | Offer
    | Bid
    | Decline
    | Accept
    | BidRejected
    | Queued
    | Started
    | Progress
    | Proposed
    | Failed
    | HandOver
    | Results
    | NoResults
    | Release
)


class ModuleWanted(_Message, frozen=True, tag="module"):
    """A WASM module of a job that this peer was accepted for."""

    sha256: Hex64
    offset: Size


class InlineWanted(_Message, frozen=True, tag="inline"):
    """An inline file of a job that this peer was accepted for."""

    sha256: Hex64
    offset: Size


class ManifestWanted(_Message, frozen=True, tag="manifest"):
    """The manifest of a winning execution, with one size per line (``node.verifier.manifest``)."""

    execution: Hex32


class ListWanted(_Message, frozen=True, tag="list"):
    """The same of any execution that has proposed, for its requester, which compares what a vote could not settle."""

    execution: Hex32


class FilesWanted(_Message, frozen=True, tag="files"):
    """``count`` files of a winning execution's manifest from number ``index`` on, one behind the other.

    ``offset``: where in the first of them to begin.
    """

    execution: Hex32
    index: Size
    count: Size
    offset: Size


class LogsWanted(_Message, frozen=True, tag="logs"):
    """What an execution has written behind these offsets, for its requester. The answer is a ``LogPiece``."""

    execution: Hex32
    stdout: Size
    stderr: Size


BlobRequest = ModuleWanted | InlineWanted | ManifestWanted | ListWanted | FilesWanted | LogsWanted

_LogBytes = Annotated[bytes, msgspec.Meta(max_length=limits.LOG_PIECE_BYTES)]


class LogPiece(_Message, frozen=True):
    """More of each stream; nothing: there is no more, for now."""

    stdout: _LogBytes
    stderr: _LogBytes

    @property
    def size(self) -> int:
        """Bytes of both."""
        return len(self.stdout) + len(self.stderr)

    @property
    def has_more(self) -> bool:
        """Whether more may be there already."""
        return limits.LOG_PIECE_BYTES in (len(self.stdout), len(self.stderr))


_ENCODER = msgspec.msgpack.Encoder()
_MESSAGES: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_PIECES: msgspec.msgpack.Decoder[LogPiece] = msgspec.msgpack.Decoder(LogPiece)
_REQUESTS: msgspec.msgpack.Decoder[BlobRequest] = msgspec.msgpack.Decoder(BlobRequest)


def encode(message: Message | BlobRequest | LogPiece) -> bytes:
    """Message to frame body."""
    body = _ENCODER.encode(message)
    assert len(body) <= limits.FRAME_BYTES_MAX, f"{type(message).__name__} of {len(body)} bytes"
    return body


def decode(body: bytes | memoryview) -> Message:
    """Frame body to message, or MalformedMessage; never any other exception."""
    return _decoded(_MESSAGES, body)


def decode_request(body: bytes | memoryview) -> BlobRequest:
    """Frame body to blob request, or MalformedMessage; never any other exception."""
    return _decoded(_REQUESTS, body)


def decode_log(body: bytes) -> LogPiece:
    """The answer to ``LogsWanted``, or MalformedMessage; never any other exception."""
    return _decoded(_PIECES, body)


def _decoded(decoder: msgspec.msgpack.Decoder[_T], body: bytes | memoryview) -> _T:
    if len(body) > limits.FRAME_BYTES_MAX:
        raise MalformedMessage(f"a frame of {len(body)} bytes")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise MalformedMessage(str(error)) from error
