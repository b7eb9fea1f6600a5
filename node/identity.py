"""Ed25519 keys and the names made from them. No I/O but the caller's; no libp2p (its import takes a second).

A peer id is base58 of the identity multihash of the protobuf-coded public key
(https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md); a client id is the public key in hex.
"""

from __future__ import annotations

import base64
import hashlib

import base58
from nacl.bindings import crypto_sign_ed25519_pk_to_curve25519, crypto_sign_ed25519_sk_to_curve25519
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.public import PrivateKey, PublicKey
from nacl.signing import SigningKey, VerifyKey

from node.model import ClientId, PeerId

_PEER_ID_HEAD = bytes.fromhex("002408011220")  # identity multihash of 36 bytes: key type Ed25519, 32 bytes of key
_SPKI_HEAD = bytes.fromhex("302a300506032b6570032100")  # RFC 8410 SubjectPublicKeyInfo for Ed25519


def peer_id_of(public_key: bytes) -> PeerId:
    """The libp2p peer id of a 32-byte Ed25519 public key."""
    assert len(public_key) == 32
    return PeerId(base58.b58encode(_PEER_ID_HEAD + public_key).decode())


def public_key_of(peer: str) -> bytes:
    """The 32-byte public key inside a peer id. Raises ValueError when it is none of an Ed25519 key."""
    raw = base58.b58decode(peer)
    if len(raw) != 38 or not raw.startswith(_PEER_ID_HEAD) or base58.b58encode(raw).decode() != peer:
        raise ValueError(f"{peer!r} is no peer id of an Ed25519 key")
    return bytes(raw[6:])


def client_id_of(public_key: bytes) -> ClientId:
    """A client's name: its public key."""
    return ClientId(public_key.hex())


def pseudonym(requester: str, client: str) -> str:
    """How a requester names a client to compute nodes: one name for all its jobs there. 64 hex digits."""
    return hashlib.sha256(f"quorate client|{requester}|{client}".encode()).hexdigest()


def pem_of(public_key: bytes) -> str:
    """SubjectPublicKeyInfo in PEM, what openssl and cosign read."""
    body = base64.b64encode(_SPKI_HEAD + public_key).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"


def signed_by(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` over ``message`` is of that key."""
    try:
        VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, CryptoError, ValueError):
        return False
    return True


def sealing_key_of(public_key: bytes) -> PublicKey:
    """The X25519 key that belongs to an Ed25519 public key. Raises ValueError for a point that has none."""
    try:
        return PublicKey(crypto_sign_ed25519_pk_to_curve25519(public_key))
    except (CryptoError, RuntimeError) as error:
        raise ValueError("this public key cannot be sealed to") from error


class Identity:
    """A node's own key, with everything that is derived from it computed once."""

    def __init__(self, key: SigningKey) -> None:
        self.key = key
        self.public_key = bytes(key.verify_key)
        self.peer_id = peer_id_of(self.public_key)
        self.opening_key = PrivateKey(crypto_sign_ed25519_sk_to_curve25519(bytes(key) + self.public_key))

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature."""
        return self.key.sign(message).signature
