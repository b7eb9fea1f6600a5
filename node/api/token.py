"""How a caller signs in: a short-lived JWT that it issues itself, signed with its own Ed25519 key (RFC 7519, RFC 8037).

Light on purpose: the command line imports this. Verification is ``node.api.auth``'s.
"""

from __future__ import annotations

from nacl.signing import SigningKey

from node import limits
from node.identity import client_id_of

LIFE_S = limits.TOKEN_LIFE_S_MAX // 3


def issue(key: SigningKey, audience: str, now: float) -> str:
    """A token for the node whose peer id is ``audience``, good for ``LIFE_S`` seconds from ``now`` (since 1970 UTC)."""
    import jwt  # costs a tenth of a second, and most commands never sign in
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    claims = {
        "sub": client_id_of(bytes(key.verify_key)),
        "aud": audience,
        "iat": int(now),
        "exp": int(now) + LIFE_S,
    }
    return jwt.encode(claims, Ed25519PrivateKey.from_private_bytes(bytes(key)), algorithm="EdDSA")
