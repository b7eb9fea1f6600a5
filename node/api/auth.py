"""Who calls: verification of the tokens that ``node.api.token`` issues.

The only key that a token can be verified with is the one that its ``sub`` names, and the only algorithm is EdDSA, so
there is nothing to be confused about. Lives here: authentication. Does not live here: who is admitted
(``node.api.admission``), what a client may see (every route asks for the client's own jobs and no others).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node import limits
from node.api.admission import Admission
from node.errors import NotSignedIn
from node.model import ClientId, Hex64

ALGORITHM = "EdDSA"
_SCHEME = "bearer "
_UNVERIFIED: Any = {"verify_signature": False}
_SIGNATURE_ALONE: Any = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_sub": False,
    "verify_jti": False,
    "verify_iss": False,
}  # claims are checked here, against the node's own clock


class Claims(msgspec.Struct, frozen=True):
    """What a token says; times are seconds since 1970 UTC."""

    sub: Hex64
    aud: str
    iat: int
    exp: int
    nbf: int = 0


class Gate:
    """Lets callers in. Remembers the tokens that it verified, until they expire."""

    def __init__(self, audience: str, admission: Admission, now: Callable[[], float]) -> None:
        self._audience = audience
        self._admission = admission
        self._now = now
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def client(self, authorization: str | None, host: str | None) -> ClientId:
        """Who calls, by the request's Authorization and Host headers. Raises NotSignedIn, Forbidden."""
        token = _bearer(authorization)
        claims = self._verified.get(token)
        if claims is None:
            claims = verified(token)
            self._check(claims)
            self._verified[token] = claims
            if len(self._verified) > limits.TOKENS_CACHED:
                self._verified.popitem(last=False)
        else:
            self._check(claims)
        client = ClientId(claims.sub)
        self._admission.check(client, host)
        return client

    def _check(self, claims: Claims) -> None:
        now = self._now()
        if claims.aud != self._audience:
            raise NotSignedIn(
                f"this token is for another node; expected the peer id of this one ({self._audience}) in `aud`"
            )
        if claims.exp - claims.iat > limits.TOKEN_LIFE_S_MAX:
            raise NotSignedIn(f"this token lives too long; expected at most {limits.TOKEN_LIFE_S_MAX} s")
        if max(claims.iat, claims.nbf) > now + limits.CLOCK_SKEW_S:
            raise NotSignedIn("this token was issued in the future; compare the clocks of both machines")
        if claims.exp < now - limits.CLOCK_SKEW_S:
            raise NotSignedIn("this token has expired; issue a new one")


def verified(token: str) -> Claims:
    """The claims of a token that is signed by the key which it names. Raises NotSignedIn."""
    if len(token) > limits.TOKEN_CHARS_MAX:
        raise NotSignedIn(f"expected a token of at most {limits.TOKEN_CHARS_MAX} characters")
    try:
        claims = msgspec.convert(jwt.decode(token, options=_UNVERIFIED), Claims)
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(claims.sub))
        jwt.decode(token, key, algorithms=[ALGORITHM], options=_SIGNATURE_ALONE)
    except jwt.InvalidAlgorithmError as error:
        raise NotSignedIn(f"expected a token signed with {ALGORITHM}") from error
    except jwt.InvalidSignatureError as error:
        raise NotSignedIn("this token is not signed by the key in its `sub`") from error
    except msgspec.ValidationError as error:
        raise NotSignedIn(f"expected the claims sub, aud, iat and exp in the token: {error}") from error
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise NotSignedIn("expected a JWT as bearer token") from error
    return claims


def _bearer(authorization: str | None) -> str:
    if not authorization:
        raise NotSignedIn("sign in: `Authorization: Bearer <JWT>`, signed with your own Ed25519 key")
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise NotSignedIn("expected `Authorization: Bearer <JWT>`")
    return authorization[len(_SCHEME) :].strip()
