"""Unsigned varints, as multiformats and protobuf write them; the shortest form alone is read. Pure."""

from __future__ import annotations

BYTES_MAX = 10  # what 64 bits take


def encode(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(data: bytes, at: int) -> tuple[int, int]:
    """The number at this offset, under 2^64, and the offset after it. Raises ValueError."""
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    value = 0
    for index, byte in enumerate(data[at : at + BYTES_MAX]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if (byte == 0 and index) or value >> 64:
                raise ValueError("a varint that is not the shortest, or over 64 bits")
            return value, at + index + 1
    raise ValueError("a varint without an end")
