"""Peers with real keys, made from numbers."""

from __future__ import annotations

import hashlib

from nacl.signing import SigningKey

from node.identity import Identity
from node.model import PeerId


def identity(number: int) -> Identity:
    """The same number gives the same key."""
    return Identity(SigningKey(hashlib.sha256(f"peer {number}".encode()).digest()))


def peer(number: int) -> PeerId:
    """Its peer id."""
    return identity(number).peer_id
