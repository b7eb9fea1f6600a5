"""What travels inside our streams: bodies with a length in front, and what each of them means. Pure.

Everything on both protocols is ``u32 length | body`` (big-endian).
On ``/quorate/control/1`` the first body each way is an ``Opening``, every other one a frame:
``u8 kind | u64 number | u64 acknowledged | payload``.
On ``/quorate/blob/1`` the reader sends one request; the answer is one header and, unless it is a refusal, chunks and an
empty body as the end marker.

Lives here: how lengths are written, and what bodies mean.
Does not live here: cutting a stream (``node.framing``), numbering and resending (``session``), messages
(``node.messages``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec

from node import limits
from node.errors import MalformedMessage
from node.framing import Framing
from node.messages import Hello, Size

CONTROL: Final = "/quorate/control/1"
BLOB: Final = "/quorate/blob/1"

DATA, ACK, BYE = 0, 1, 2

_LENGTH = struct.Struct("!I")
_HEAD = struct.Struct("!BQQ")
_WHOLE_HEAD = struct.Struct("!IBQQ")
FRAME_HEAD_BYTES = _HEAD.size
END_MARKER = _LENGTH.pack(0)

Nonce = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_T = TypeVar("_T")


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How each end begins a control stream; ``session`` says what it means."""

    nonce: Nonce  # the sender's, of the session it has or would begin
    known: Nonce | None  # the receiver's, of the session the sender has
    received: Size  # the number of the last message the sender has, in that session
    hello: Hello
    decided: Size = 0  # for how many connections of that session the sender has decided, with this one


class BlobSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="size"):
    """Header of an answer that follows."""

    size: Size


class BlobRefusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="refused"):
    """Header of an answer that does not."""

    reason: Annotated[str, msgspec.Meta(max_length=4 * limits.REASON_CHARS_MAX)]


BlobHeader = BlobSize | BlobRefusal

_ENCODER = msgspec.msgpack.Encoder()
_OPENINGS: msgspec.msgpack.Decoder[Opening] = msgspec.msgpack.Decoder(Opening)
_HEADERS: msgspec.msgpack.Decoder[BlobHeader] = msgspec.msgpack.Decoder(BlobHeader)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a control stream. ``number`` is 0 unless ``kind`` is DATA."""

    kind: int
    number: int
    acknowledged: int
    payload: bytes


class Bodies(Framing):
    """Bodies out of a stream."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(bytes_max, _read_length)


def prefixed(body: bytes) -> bytes:
    """A body with its length in front."""
    return _LENGTH.pack(len(body)) + body


def frame_head(kind: int, number: int, acknowledged: int, payload_bytes: int) -> bytes:
    """All of a frame but its payload, the length in front included."""
    return _WHOLE_HEAD.pack(_HEAD.size + payload_bytes, kind, number, acknowledged)


def parse_frame(body: bytes) -> Frame:
    """A body of a control stream. Raises MalformedMessage."""
    if len(body) < _HEAD.size:
        raise MalformedMessage(f"a frame of {len(body)} bytes")
    kind, number, acknowledged = _HEAD.unpack_from(body)
    payload = body[_HEAD.size :]
    if kind > BYE or (kind != DATA and (number or payload)):
        raise MalformedMessage(f"a frame of kind {kind} with number {number} and {len(payload)} bytes")
    return Frame(kind, number, acknowledged, payload)


def encode_opening(opening: Opening) -> bytes:
    """An opening as a body with its length in front."""
    return prefixed(_ENCODER.encode(opening))


def decode_opening(body: bytes) -> Opening:
    """A body as an opening. Raises MalformedMessage."""
    return _decoded(_OPENINGS, body)


def encode_header(header: BlobHeader) -> bytes:
    """The header of a blob's answer as a body with its length in front."""
    return prefixed(_ENCODER.encode(header))


def decode_header(body: bytes) -> BlobHeader:
    """A body as the header of a blob's answer. Raises MalformedMessage."""
    return _decoded(_HEADERS, body)


def _read_length(buffer: bytearray, at: int) -> tuple[int, int]:
    if len(buffer) - at < _LENGTH.size:
        return 0, 0
    (length,) = _LENGTH.unpack_from(buffer, at)
    return length, _LENGTH.size


def _decoded(decoder: msgspec.msgpack.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise MalformedMessage(str(error)) from error
