"""Content identifiers: what names a block, and proves it (https://github.com/multiformats/cid).

Lives here: the two versions, in text and in bytes, for the hashes and codecs that files are made of; everything else
is refused by its name. Does not live here: paths below a CID (``paths``), what blocks hold (``dagpb``, ``unixfs``).
"""

from __future__ import annotations

import hashlib
from base64 import b32decode, b32encode
from binascii import Error as NotBase

import base58
import msgspec
from typing_extensions import override

from node import varint

RAW, DAG_PB = 0x55, 0x70
SHA2_256, IDENTITY = 0x12, 0x00
IDENTITY_BYTES_MAX = 128  # as in Kubo: more belongs in a block
CHARS_MAX = 512  # more than any CID that we take has

SHA2_256_HEAD = bytes((SHA2_256, 32))  # What a sha2-256 multihash begins with.
_CODECS = {
    0x51: "cbor", 0x71: "dag-cbor", 0x72: "libp2p-key", 0x78: "git-raw", 0x0129: "dag-json", 0x0200: "json",
    0x0202: "car", 0xF101: "fil-commitment-unsealed", 0xF102: "fil-commitment-sealed",
}  # fmt: skip
_HASHES = {
    0x11: "sha1", 0x13: "sha2-512", 0x14: "sha3-512", 0x16: "sha3-256", 0x1B: "keccak-256", 0x1E: "blake3",
    0x56: "dbl-sha2-256", 0x1012: "sha2-256-trunc254-padded", 0xB220: "blake2b-256",
    0xB401: "poseidon-bls12_381-a2-fc1",
}  # fmt: skip


class Cid(msgspec.Struct, frozen=True, cache_hash=True, gc=False):
    """A version, a codec and a multihash that belong together; equal when all three are."""

    version: int
    codec: int
    multihash: bytes

    @staticmethod
    def parse(text: str) -> Cid:
        """From ``Qm…``, ``b…`` (base32), ``z…`` (58) or ``f…`` (hex). Raises ValueError that tells what is wrong."""
        if not text or len(text) > CHARS_MAX or not text.isascii() or not text.isprintable():
            raise ValueError("this is no CID: it is empty, too long, or holds characters that no CID has")
        try:
            return _parsed(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is no CID that can be used: {error}") from error

    @staticmethod
    def from_bytes(raw: bytes) -> Cid:
        """From the binary form, all of it. Raises ValueError."""
        cid, end = Cid.from_prefix(raw)
        if end != len(raw):
            raise ValueError(f"{len(raw) - end} bytes follow its hash")
        return cid

    @staticmethod
    def from_prefix(raw: bytes) -> tuple[Cid, int]:
        """From the binary form that these bytes begin with, and where it ends. Raises ValueError."""
        if raw.startswith(SHA2_256_HEAD):
            return Cid(0, DAG_PB, _digest(raw, 0, 34)), 34
        version, at = varint.decode(raw, 0)
        if version != 1:
            raise ValueError(f"its version is {version}")
        codec, at = varint.decode(raw, at)
        if codec not in (RAW, DAG_PB):
            raise ValueError(f"the codec {_CODECS.get(codec, hex(codec))} is not supported; files are dag-pb and raw")
        end = _end_of_multihash(raw, at)
        return Cid(1, codec, _digest(raw, at, end)), end

    @staticmethod
    def of(block: bytes, codec: int, version: int = 1) -> Cid:
        """What names this block, by its sha2-256. Version 0 is dag-pb alone."""
        return Cid.of_digest(hashlib.sha256(block).digest(), codec, version)

    @staticmethod
    def of_digest(sha256: bytes, codec: int, version: int = 1) -> Cid:
        """The same from the 32 bytes of the sha2-256."""
        assert version == 1 or codec == DAG_PB
        return Cid(version, codec, SHA2_256_HEAD + sha256)

    def matches(self, block: bytes) -> bool:
        """Whether this names that block."""
        if self.multihash[0] == SHA2_256:
            return hashlib.sha256(block).digest() == self.multihash[2:]
        return self.inlined == block

    @property
    def inlined(self) -> bytes | None:
        """The block itself, when the CID holds it (identity hash)."""
        if self.multihash[0] != IDENTITY:
            return None
        return self.multihash[varint.decode(self.multihash, 1)[1] :]

    @property
    def raw(self) -> bytes:
        """The binary form."""
        return self.multihash if self.version == 0 else bytes((1, self.codec)) + self.multihash

    @override
    def __str__(self) -> str:
        """Base58 for version 0, base32 for version 1."""
        if self.version == 0:
            return str(base58.b58encode(self.multihash), "ascii")
        return "b" + _base32(self.raw)


def _parsed(text: str) -> Cid:
    if text.startswith("Qm"):
        if len(text) != 46:
            raise ValueError(f"it begins with Qm and has {len(text)} characters, not 46")
        return Cid.from_bytes(base58.b58decode(text))
    raw = _from_multibase(text[0], text[1:])
    if raw.startswith(SHA2_256_HEAD):
        raise ValueError("a CID of version 0 has no base prefix")
    return Cid.from_bytes(raw)


def _from_multibase(base: str, digits: str) -> bytes:
    match base:
        case "b":
            return _from_base32(digits)
        case "B":
            return _from_base32(digits.swapcase())
        case "z":
            return bytes(base58.b58decode(digits))
        case "f" | "F":
            return bytes.fromhex(digits)
        case _:
            raise ValueError(f"no CID begins with {base!r}: Qm…, b… (base32), z… (base58) and f… (hex) do")


def _base32(raw: bytes) -> str:
    return b32encode(raw).decode().rstrip("=").lower()


def _from_base32(digits: str) -> bytes:
    try:
        raw = b32decode(digits.upper() + "=" * (-len(digits) % 8))
    except NotBase as error:
        raise ValueError("it is no base32") from error
    if _base32(raw) != digits:
        raise ValueError("it is no base32 as CIDs write it")
    return raw


def _end_of_multihash(raw: bytes, at: int) -> int:
    code, at = varint.decode(raw, at)
    size, at = varint.decode(raw, at)
    if code not in (SHA2_256, IDENTITY):
        raise ValueError(f"the hash {_HASHES.get(code, hex(code))} is not supported; sha2-256 is")
    if (size != 32) if code == SHA2_256 else (size > IDENTITY_BYTES_MAX):
        raise ValueError(f"its hash has {size} bytes")
    return at + size


def _digest(raw: bytes, at: int, end: int) -> bytes:
    if end > len(raw):
        raise ValueError("its hash is cut off")
    return raw[at:end]
