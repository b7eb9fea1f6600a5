"""Tokens: what the node believes of them, and everything it does not."""

from __future__ import annotations

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from node import limits
from node.api.auth import Gate
from node.api.token import LIFE_S, issue
from node.errors import Forbidden, NotSignedIn
from node.identity import client_id_of

NODE = "12D3KooWBmAwcd4PJNJvfV89HwE48nwkRmAgo8Vy3uQEyNNHBox2"
KEY = SigningKey(bytes(range(32)))
CLIENT = client_id_of(bytes(KEY.verify_key))
NOW = 1_800_000_000


class Clock:
    """The node's."""

    def __init__(self) -> None:
        self.at = float(NOW)

    def __call__(self) -> float:
        return self.at


class Anyone:
    """Admits every key, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    def check(self, client, host):
        self.asked += 1


class Nobody:
    def check(self, client, host):
        raise Forbidden("not you")


def gate(now=None, admission=None):
    return Gate(NODE, admission or Anyone(), now or Clock())


def claims(**changed):
    return {"sub": CLIENT, "aud": NODE, "iat": NOW, "exp": NOW + 60} | changed


def signed(payload, key=KEY):
    return jwt.encode(payload, Ed25519PrivateKey.from_private_bytes(bytes(key)), algorithm="EdDSA")


def part(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def assembled(header, payload, signature=bytes(64)):
    return f"{part(header)}.{part(payload)}.{part(signature)}"


def test_a_token_that_we_issue_is_believed():
    assert gate().client(f"Bearer {issue(KEY, NODE, NOW)}", None) == CLIENT


def test_the_scheme_may_be_written_in_any_case():
    assert gate().client(f"bEARER  {issue(KEY, NODE, NOW)} ", None) == CLIENT


REFUSED = {
    "no header": None,
    "empty": "",
    "another scheme": "Basic " + issue(KEY, NODE, NOW),
    "no token": "Bearer ",
    "no JWT": "Bearer hello",
    "two parts": "Bearer a.b",
    "algorithm none": "Bearer " + assembled({"alg": "none"}, claims(), b""),
    "HMAC with the public key": "Bearer " + jwt.encode(claims(), bytes(KEY.verify_key) + bytes(32), algorithm="HS256"),
    "algorithm is no string": "Bearer " + assembled({"alg": ["EdDSA"]}, claims()),
    "critical extension": "Bearer " + assembled({"alg": "EdDSA", "crit": ["x"], "x": 1}, claims()),
    "signed by another key": "Bearer " + signed(claims(), SigningKey(bytes(32))),
    "another client's name": "Bearer " + signed(claims(sub="ab" * 32)),
    "name in capitals": "Bearer " + signed(claims(sub=CLIENT.upper())),
    "for another node": "Bearer " + signed(claims(aud="12D3KooWOther")),
    "for several nodes": "Bearer " + signed(claims(aud=[NODE, "12D3KooWOther"])),
    "expired": "Bearer " + signed(claims(iat=NOW - 300, exp=NOW - limits.CLOCK_SKEW_S - 1)),
    "from the future": "Bearer " + signed(claims(iat=NOW + limits.CLOCK_SKEW_S + 1, exp=NOW + 200)),
    "not yet valid": "Bearer " + signed(claims(nbf=NOW + limits.CLOCK_SKEW_S + 1)),
    "lives too long": "Bearer " + signed(claims(exp=NOW + limits.TOKEN_LIFE_S_MAX + 1)),
    "never expires": "Bearer " + signed({"sub": CLIENT, "aud": NODE, "iat": NOW}),
    "no time of issue": "Bearer " + signed({"sub": CLIENT, "aud": NODE, "exp": NOW + 60}),
    "expiry is text": "Bearer " + signed(claims(exp=str(NOW + 60))),
    "expiry is true": "Bearer " + signed(claims(exp=True)),
    "expiry is not a number": "Bearer " + assembled({"alg": "EdDSA"}, json.dumps(claims(exp=float("nan"))).encode()),
    "claims are a list": "Bearer " + assembled({"alg": "EdDSA"}, [1]),
    "claims are nested deeply": "Bearer " + assembled({"alg": "EdDSA"}, b"[" * 600),
    "header is nested deeply": "Bearer " + assembled(b"[" * 600, claims()),
    "claims are no UTF-8": "Bearer " + assembled({"alg": "EdDSA"}, b"\xff\xfe"),
    "too long": "Bearer " + signed(claims(x="y" * limits.TOKEN_CHARS_MAX)),
}


@pytest.mark.parametrize("header", REFUSED.values(), ids=REFUSED.keys())
def test_refused(header):
    with pytest.raises(NotSignedIn):
        gate().client(header, None)


def test_the_edges_of_the_clock_skew_are_accepted():
    late = signed(claims(iat=NOW - 300, exp=NOW - limits.CLOCK_SKEW_S))
    early = signed(claims(iat=NOW + limits.CLOCK_SKEW_S, exp=NOW + 200))
    assert gate().client(f"Bearer {late}", None) == CLIENT
    assert gate().client(f"Bearer {early}", None) == CLIENT


def test_the_longest_life_is_accepted():
    assert gate().client("Bearer " + signed(claims(exp=NOW + limits.TOKEN_LIFE_S_MAX)), None) == CLIENT


def test_a_refusal_says_what_to_do():
    with pytest.raises(NotSignedIn, match=f"expected the peer id of this one \\({NODE}\\)"):
        gate().client("Bearer " + signed(claims(aud="x")), None)
    with pytest.raises(NotSignedIn, match="issue a new one"):
        gate().client("Bearer " + signed(claims(iat=1, exp=2)), None)


def test_a_remembered_token_still_expires():
    clock = Clock()
    entrance = gate(clock)
    header = f"Bearer {issue(KEY, NODE, NOW)}"
    entrance.client(header, None)
    clock.at += LIFE_S + limits.CLOCK_SKEW_S
    assert entrance.client(header, None) == CLIENT
    clock.at += 1
    with pytest.raises(NotSignedIn):
        entrance.client(header, None)


def test_whether_a_key_is_admitted_is_asked_every_time():
    admission = Anyone()
    entrance = gate(admission=admission)
    header = f"Bearer {issue(KEY, NODE, NOW)}"
    entrance.client(header, None)
    entrance.client(header, None)
    assert admission.asked == 2


def test_a_genuine_key_may_still_not_be_admitted():
    with pytest.raises(Forbidden):
        gate(admission=Nobody()).client(f"Bearer {issue(KEY, NODE, NOW)}", None)


def test_more_tokens_than_are_remembered_still_work():
    entrance = gate()
    header = f"Bearer {issue(KEY, NODE, NOW)}"
    entrance.client(header, None)
    for number in range(limits.TOKENS_CACHED + 3):
        entrance.client("Bearer " + signed(claims(n=number)), None)
    assert entrance.client(header, None) == CLIENT
    assert len(entrance._verified) == limits.TOKENS_CACHED


@given(st.text(max_size=300))
def test_no_text_is_more_than_refused(text):
    with pytest.raises(NotSignedIn):
        gate().client(f"Bearer {text}", None)


@given(st.data())
def test_no_changed_character_is_overlooked(data):
    token = issue(KEY, NODE, NOW)
    at = data.draw(st.integers(0, len(token) - 1))
    new = data.draw(st.sampled_from("ABCDwxyz0189-_"))
    changed = token[:at] + new + token[at + 1 :]
    same_bits = at == len(token) - 1  # the last character has two bits that mean nothing
    if changed != token and not same_bits:
        with pytest.raises(NotSignedIn):
            gate().client(f"Bearer {changed}", None)
