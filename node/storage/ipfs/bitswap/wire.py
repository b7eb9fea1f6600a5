"""What bitswap says on a stream: messages in protobuf, each with its length as a varint in front. Pure.

Written by hand: the protobuf library copies every block once more, and would build all of what a hostile message holds
before anybody could count it. CIDs stay bytes here, because peers may well ask for kinds that we do not have.

Lives here: the codec and what bounds a message. Does not live here: cutting a stream (``node.framing``), who wants what
(``asking``, ``answering``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from node import limits, varint
from node.errors import MalformedMessage
from node.framing import Framing
from node.storage.ipfs.cid import SHA2_256_HEAD

V120: Final = "/ipfs/bitswap/1.2.0"
V110: Final = "/ipfs/bitswap/1.1.0"
V100: Final = "/ipfs/bitswap/1.0.0"
UNVERSIONED: Final = "/ipfs/bitswap"  # speaks as 1.0.0 does
PROTOCOLS: Final = (V120, V110, V100, UNVERSIONED)

PART_BYTES: Final = 64  # What a want, a presence, or a block besides its data takes of a message, and a little more.

_LENGTH_BYTES_MAX = 4  # what a length up to the limit takes
_VARINT, _BYTES = 0, 2
_KINDS = {_VARINT: 0, 1: 8, _BYTES: 0, 5: 4}  # wire types, and the bytes of those of fixed size
# A field's number and its wire type in one byte.
_WANTLIST, _OLD_BLOCK, _PAYLOAD, _PRESENCE, _PENDING = 0x0A, 0x12, 0x1A, 0x22, 0x28
_ENTRY, _FULL = 0x0A, 0x10
_FIRST, _SECOND = 0x0A, 0x12
_PRIORITY, _CANCEL, _WANT_TYPE, _SEND_DONT_HAVE = 0x10, 0x18, 0x20, 0x28
_PRESENCE_TYPE = 0x10
_OTHERS_MAX = 16  # Fields within a part of a message; more than any version of the protocol has.


class Want(NamedTuple):
    """One entry of a wantlist. ``cid`` is the binary form, of whatever kind."""

    cid: bytes
    priority: int = 1
    cancels: bool = False
    have_is_enough: bool = False  # since 1.2.0: say whether you have it, do not send it
    tells_dont_have: bool = False  # since 1.2.0: say so if you do not have it


class Block(NamedTuple):
    """``prefix``: the binary CID without the digest; empty as 1.0.0 sends blocks, where it is that of version 0."""

    prefix: bytes
    data: bytes


class Presence(NamedTuple):
    """Whether the sender has a block. Since 1.2.0."""

    cid: bytes
    has: bool


@dataclass(frozen=True, slots=True)
class Message:
    """All that a message may hold, in any mixture. ``full``: the wants replace all earlier ones."""

    wants: tuple[Want, ...] = ()
    full: bool = False
    blocks: tuple[Block, ...] = ()
    presences: tuple[Presence, ...] = ()
    pending_bytes: int = 0


class Frames(Framing):
    """Bodies of messages out of a stream."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(bytes_max, _read_length)


def encode(message: Message, protocol: str = V120) -> bytes:
    """The message with its length in front, as far as this version of the protocol can say it.

    What it cannot is left out: presences, and wants to which Have would be enough (they would be sent the block).
    """
    parts: list[bytes] = []
    wants = message.wants if protocol == V120 else [want for want in message.wants if not want.have_is_enough]
    if wants or message.full:
        entries = [_nested(_ENTRY, _entry(want)) for want in wants]
        _put(parts, _WANTLIST, b"".join((*entries, bytes((_FULL, 1)) if message.full else b"")))
    if protocol in (V100, UNVERSIONED):
        for block in message.blocks:
            _put(parts, _OLD_BLOCK, block.data)
    else:
        for block in message.blocks:
            _put_payload(parts, block)
    if protocol == V120:
        for cid, has in message.presences:
            _put(parts, _PRESENCE, _nested(_FIRST, cid) + (b"" if has else bytes((_PRESENCE_TYPE, 1))))
        if message.pending_bytes:
            parts += (bytes((_PENDING,)), varint.encode(message.pending_bytes))
    return b"".join((varint.encode(sum(map(len, parts))), *parts))


def decode(body: bytes) -> Message:
    """A body as a message. Wants beyond ``limits.BITSWAP_WANTS_READ`` are not read. Raises MalformedMessage."""
    if len(body) > limits.BITSWAP_MESSAGE_BYTES_MAX:
        raise MalformedMessage(f"a message of {len(body)} bytes")
    try:
        return _decoded(body)
    except (ValueError, IndexError) as error:
        raise MalformedMessage(f"no bitswap message: {error}") from error


def idle_bytes(body: bytes, message: Message) -> int:
    """Bytes of a body that are not what was read of it."""
    parts = len(message.wants) + len(message.presences) + len(message.blocks)
    return max(0, len(body) - PART_BYTES * (1 + parts) - sum(len(block.data) for block in message.blocks))


def multihash_of(cid: bytes) -> bytes | None:
    """The sha2-256 multihash in a binary CID of any codec; None for every other kind of CID."""
    tail = cid[-34:]
    if len(tail) < 34 or not tail.startswith(SHA2_256_HEAD):
        return None
    return tail if len(cid) == 34 or cid[0] == 1 else None


def can_be_asked_for(block: Block) -> bool:
    """Whether this can be a block of ours, by its size and by the hash that its prefix names."""
    return len(block.data) <= limits.BLOCK_BYTES_MAX and (not block.prefix or block.prefix.endswith(SHA2_256_HEAD))


def _read_length(buffer: bytearray, at: int) -> tuple[int, int]:
    head = bytes(buffer[at : at + _LENGTH_BYTES_MAX])
    if not any(byte < 0x80 for byte in head):
        if len(head) == _LENGTH_BYTES_MAX:
            raise MalformedMessage("a length that does not end")
        return 0, 0
    try:
        return varint.decode(head, 0)
    except ValueError as error:
        raise MalformedMessage(str(error)) from error


def _decoded(body: bytes) -> Message:
    wants: list[Want] = []
    blocks: list[Block] = []
    presences: list[Presence] = []
    full, pending = False, 0
    for index, (key, value, at) in enumerate(_fields(body, 0, len(body))):
        if index >= limits.BITSWAP_FIELDS_MAX:
            raise ValueError(f"more than {index} fields")
        if key == _PAYLOAD:
            blocks.append(_payload(body, at, at + value))
        elif key == _WANTLIST:
            full |= _read_wants(body, at, at + value, wants)
        elif key == _PRESENCE:
            presences.append(_presence(body, at, at + value))
        elif key == _OLD_BLOCK:
            blocks.append(Block(b"", body[at : at + value]))
        elif key == _PENDING:
            pending = value & 0x7FFF_FFFF
    return Message(tuple(wants), full, tuple(blocks), tuple(presences), pending)


def _fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Key, value and place of each: of bytes the value is how many, and the place where they begin."""
    while at < end:
        key, at = _number(body, at)
        kind = key & 7
        if not 8 <= key < 1 << 32 or kind not in _KINDS:
            raise ValueError(f"a field with the key {key}")
        size = _KINDS[kind]
        value = 0
        if kind in (_VARINT, _BYTES):
            value, at = _number(body, at)
            size = value if kind == _BYTES else 0
        if at + size > end:
            raise ValueError("a field that ends after what it is in")
        yield key, value, at
        at += size


def _few_fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Of a part that has only a few; else a short message could take long to read."""
    for index, field in enumerate(_fields(body, at, end)):
        if index >= _OTHERS_MAX:
            raise ValueError("a part of more fields than it can have")
        yield field


def _number(body: bytes, at: int) -> tuple[int, int]:
    byte = body[at]
    return (byte, at + 1) if byte < 0x80 else varint.decode(body, at)


def _read_wants(body: bytes, at: int, end: int, wants: list[Want]) -> bool:
    """Append what is read; whether this is the full list."""
    full, others = False, 0
    for key, value, begin in _fields(body, at, end):
        if len(wants) >= limits.BITSWAP_WANTS_READ:
            break
        if key == _ENTRY:
            wants.append(_want(body, begin, begin + value))
            continue
        others += 1
        if others > _OTHERS_MAX:
            raise ValueError("a list of other things than wants")
        if key == _FULL:
            full = bool(value)
    return full


def _want(body: bytes, at: int, end: int) -> Want:
    cid, priority, cancels, have_is_enough, tells_dont_have = b"", 0, False, False, False
    for key, value, begin in _few_fields(body, at, end):
        if key == _FIRST:
            cid = _cid(body, begin, value)
        elif key == _PRIORITY:
            priority = (value & 0xFFFF_FFFF ^ 0x8000_0000) - 0x8000_0000
        elif key == _CANCEL:
            cancels = bool(value)
        elif key == _WANT_TYPE:
            have_is_enough = value == 1
        elif key == _SEND_DONT_HAVE:
            tells_dont_have = bool(value)
    if not cid:
        raise ValueError("a want without a CID")
    return Want(cid, priority, cancels, have_is_enough, tells_dont_have)


def _payload(body: bytes, at: int, end: int) -> Block:
    prefix = data = b""
    for key, value, begin in _few_fields(body, at, end):
        if key == _FIRST:
            prefix = _cid(body, begin, value)
        elif key == _SECOND:
            data = body[begin : begin + value]
    return Block(prefix, data)


def _presence(body: bytes, at: int, end: int) -> Presence:
    cid, has = b"", True
    for key, value, begin in _few_fields(body, at, end):
        if key == _FIRST:
            cid = _cid(body, begin, value)
        elif key == _PRESENCE_TYPE:
            has = value == 0
    if not cid:
        raise ValueError("a presence without a CID")
    return Presence(cid, has)


def _cid(body: bytes, at: int, size: int) -> bytes:
    if size > limits.BITSWAP_CID_BYTES_MAX:
        raise ValueError(f"a CID of {size} bytes")
    return body[at : at + size]


def _entry(want: Want) -> bytes:
    flags = bytes((_PRIORITY,)) + varint.encode(want.priority & 0xFFFF_FFFF_FFFF_FFFF) if want.priority else b""
    if want.cancels:
        flags += bytes((_CANCEL, 1))
    if want.have_is_enough:
        flags += bytes((_WANT_TYPE, 1))
    if want.tells_dont_have:
        flags += bytes((_SEND_DONT_HAVE, 1))
    return _nested(_FIRST, want.cid) + flags


def _put_payload(parts: list[bytes], block: Block) -> None:
    prefix = _nested(_FIRST, block.prefix)
    head = bytes((_SECOND,)) + varint.encode(len(block.data))
    size = len(prefix) + len(head) + len(block.data)
    parts += (bytes((_PAYLOAD,)), varint.encode(size), prefix, head, block.data)


def _put(parts: list[bytes], key: int, body: bytes) -> None:
    parts += (bytes((key,)), varint.encode(len(body)), body)


def _nested(key: int, body: bytes) -> bytes:
    return bytes((key,)) + varint.encode(len(body)) + body
