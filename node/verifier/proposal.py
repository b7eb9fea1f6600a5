"""A proposal: what a node says its result is, signed by it, then sealed to the requester.

The signed text names job, shard, execution, node and requester, so it is worth nothing anywhere else: a copied sealed
box does not carry the copier's name, and what the requester has opened cannot be passed off as another node's (Cortier
and Smyth, "Attacking and fixing Helios", 2011, on why encryption alone does not prevent that). Sealing is libsodium's
sealed box; both keys come from Ed25519 keys.

Lives here: the text, the signature, the seal. Does not live here: what is done with a hash (``node.verifier.vote``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from nacl.exceptions import CryptoError
from nacl.public import PublicKey, SealedBox

from node import limits
from node.errors import BadProposal
from node.identity import Identity, public_key_of, sealing_key_of, signed_by
from node.model import DirHash, ExecutionId, Hex32, Hex64, JobId, PeerId, PeerName

SEALED_BYTES_MAX = 4096
DOMAIN = b"quorate proposal 1\n"  # In front of what is signed, so that no other signature of the key is taken for one.
_SIGNATURE_BYTES = 64

# 32 bytes in base64: the last character before the padding carries four bits, in one of 16 spellings.
H1 = Annotated[str, msgspec.Meta(pattern=r"\Ah1:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\Z")]


class Statement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed."""

    version: Literal[1] = 1
    job: Hex32
    shard: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    execution: Hex32
    node: PeerName
    requester: PeerName
    hash: H1
    salt: Hex64  # 32 random bytes


class SignedProposal(msgspec.Struct, frozen=True):
    """A statement and the node's Ed25519 signature over it."""

    statement: Statement
    signature: bytes

    @property
    def hash(self) -> DirHash:
        """What the node says its result is."""
        return DirHash(self.statement.hash)


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER: msgspec.json.Decoder[Statement] = msgspec.json.Decoder(Statement)


def canonical(statement: Statement) -> bytes:
    """The one encoding: compact JSON, keys sorted."""
    return _ENCODER.encode(statement)


@lru_cache(maxsize=limits.BOOK_PEERS_MAX)
def sealing_key_for(peer: PeerId) -> PublicKey:
    """What proposals to that requester are sealed to. Raises ValueError for a name that is no Ed25519 peer's."""
    return sealing_key_of(public_key_of(peer))


def seal(identity: Identity, requester_key: PublicKey, statement: Statement) -> bytes:
    """Sign as ``identity``, then seal to the requester (``sealing_key_for``). Each call gives other bytes."""
    assert statement.node == identity.peer_id
    text = canonical(statement)
    sealed = SealedBox(requester_key).encrypt(identity.sign(DOMAIN + text) + text)
    assert len(sealed) <= SEALED_BYTES_MAX
    return sealed


def open_proposal(
    identity: Identity, sealed: bytes, *, sender: PeerId, job: JobId, shard: int, execution: ExecutionId
) -> SignedProposal:
    """What ``sender``, as the transport proved it, proposes for an execution that it was given. Raises BadProposal."""
    if len(sealed) > SEALED_BYTES_MAX:
        raise BadProposal(f"a sealed proposal of {len(sealed)} bytes")
    try:
        plain = SealedBox(identity.opening_key).decrypt(sealed)
    except CryptoError as error:
        raise BadProposal("it is not sealed to this requester, or was damaged") from error
    signed = SignedProposal(_parsed(plain[_SIGNATURE_BYTES:]), plain[:_SIGNATURE_BYTES])
    check_signed(signed, node=sender, requester=identity.peer_id, job=job, shard=shard, execution=execution)
    return signed


def check_signed(
    signed: SignedProposal, *, node: PeerId, requester: PeerId, job: JobId, shard: int, execution: ExecutionId
) -> None:
    """Raise BadProposal unless ``node`` signed it, for exactly this execution and this requester."""
    told = signed.statement
    bound = {
        "node": (told.node, node),
        "requester": (told.requester, requester),
        "job": (told.job, job),
        "shard": (told.shard, shard),
        "execution": (told.execution, execution),
    }
    for what, (said, expected) in bound.items():
        if said != expected:
            raise BadProposal(f"it was made for another {what}: {said}, not {expected}")
    try:
        key = public_key_of(node)
    except ValueError as error:
        raise BadProposal(str(error)) from error
    if not signed_by(key, DOMAIN + canonical(told), signed.signature):
        raise BadProposal(f"it is not signed by {node}")


def _parsed(text: bytes) -> Statement:
    try:
        statement = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadProposal(f"it is no proposal: {error}") from error
    if canonical(statement) != text:
        raise BadProposal("it is not in its canonical form")
    return statement
