"""The envelope around a receipt: DSSE (https://github.com/secure-systems-lab/dsse) with one Ed25519 signature.

The same receipt has exactly one spelling, compact JSON with sorted keys inside and out and a newline at the end, so
that no byte of the file can change without being noticed. ``securesystemslib`` signs and verifies; it is imported where
it is used because that takes 150 ms (``warm`` does it ahead of time).

Lives here: bytes and signatures. Does not live here: what a receipt says (``node.receipt.statement``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from node.identity import Identity, public_key_of
from node.json_lists import base64, filled
from node.model import PeerId
from node.receipt.statement import Facts, InTotoStatement, stated

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"

_ENCODER = msgspec.json.Encoder(order="sorted")
_STATEMENTS: msgspec.json.Decoder[InTotoStatement] = msgspec.json.Decoder(InTotoStatement)


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``keyid`` is the requester's peer id, which contains its key."""

    keyid: str
    sig: bytes


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A DSSE envelope as it is on disk; bytes travel as standard base64."""

    payload: bytes
    payloadType: str  # As DSSE spells it.
    signatures: tuple[Signature, ...]


_ENVELOPES: msgspec.json.Decoder[Envelope] = msgspec.json.Decoder(Envelope)


def warm() -> None:
    """Import what signing needs. Blocking, 150 ms the first time."""
    import securesystemslib.dsse
    import securesystemslib.signer  # noqa: F401


def make(identity: Identity, facts: Facts) -> bytes:
    """The signed receipt of a finished job, ready to be kept."""
    return enveloped(identity, stated(identity.peer_id, facts))


def enveloped(identity: Identity, statement: InTotoStatement) -> bytes:
    """Any statement, signed by ``identity``."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib import dsse
    from securesystemslib.signer import CryptoSigner

    key = Ed25519PrivateKey.from_private_bytes(bytes(identity.key))
    payload = filled(_ENCODER.encode(structs.replace(statement, subject=())), statement.subject, _ENCODER)
    signature = dsse.Envelope(payload, PAYLOAD_TYPE, {}).sign(CryptoSigner(key, _key_of(identity.peer_id)))
    signed = Signature(identity.peer_id, bytes.fromhex(signature.signature))
    before, quote, after = _ENCODER.encode(Envelope(b"", PAYLOAD_TYPE, (signed,))).partition(b'""')
    return b"".join((before, quote[:1], base64(payload), quote[1:], after, b"\n"))


def read(receipt: bytes) -> tuple[Envelope, InTotoStatement]:
    """What is in it, if it is in its one spelling; the signature is not looked at. Raises ValueError: what is wrong."""
    try:
        envelope = _ENVELOPES.decode(receipt)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"this is no receipt: {error}") from error
    if _ENCODER.encode(envelope) + b"\n" != receipt:
        raise ValueError("the envelope is not spelled as receipts are: it was changed after it was signed")
    if envelope.payloadType != PAYLOAD_TYPE:
        raise ValueError(f"the payload is of type {envelope.payloadType!r}, not {PAYLOAD_TYPE}")
    try:
        statement = _STATEMENTS.decode(envelope.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the payload is no receipt of this version: {error}") from error
    if _ENCODER.encode(statement) != envelope.payload:
        raise ValueError("the payload is not spelled as receipts are")
    return envelope, statement


def signed_by_peer(envelope: Envelope, peer: PeerId) -> bool:
    """Whether the one signature is of that peer. Raises ValueError when the name is no Ed25519 peer's."""
    from securesystemslib import dsse, signer
    from securesystemslib.exceptions import UnverifiedSignatureError

    key = _key_of(peer)
    if len(envelope.signatures) != 1 or envelope.signatures[0].keyid != peer:
        return False
    signatures: dict[str, signer.Signature] = {peer: signer.Signature(peer, envelope.signatures[0].sig.hex())}
    try:
        dsse.Envelope(envelope.payload, envelope.payloadType, signatures).verify([key], 1)
    except UnverifiedSignatureError:
        return False
    return True


def _key_of(peer: PeerId) -> SSlibKey:
    from securesystemslib.signer import SSlibKey

    return SSlibKey(peer, "ed25519", "ed25519", {"public": public_key_of(peer).hex()})
