"""Names made from keys."""

from __future__ import annotations

import pytest
from doubles.peers import identity
from hypothesis import given
from hypothesis import strategies as st

from node.identity import client_id_of, peer_id_of, pem_of, pseudonym, public_key_of, signed_by
from node.model import cut

KEY = bytes(range(32))


@given(st.binary(min_size=32, max_size=32))
def test_a_peer_id_carries_its_key(key):
    name = peer_id_of(key)
    assert name.startswith("12D3KooW")
    assert public_key_of(name) == key


@pytest.mark.parametrize("name", ["", "x", "0OIl", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "1" * 52])
def test_what_is_no_ed25519_peer_id_is_refused(name):
    with pytest.raises(ValueError):  # noqa: PT011  (base58 says it in its own words)
        public_key_of(name)


def test_signatures_are_checked_and_rubbish_is_no_signature():
    signer = identity(1)
    signature = signer.sign(b"m")
    assert signed_by(signer.public_key, b"m", signature)
    assert not signed_by(signer.public_key, b"n", signature)
    assert not signed_by(identity(2).public_key, b"m", signature)
    assert not signed_by(signer.public_key, b"m", signature[:10])


def test_a_pseudonym_tells_nothing_across_requesters():
    assert pseudonym("a", "c") != pseudonym("b", "c")
    assert pseudonym("a", "c") == pseudonym("a", "c")
    assert len(pseudonym("a", "c")) == 64


def test_a_client_is_named_by_its_key_and_openssl_reads_the_pem():
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    key = load_pem_public_key(pem_of(KEY).encode())
    assert key.public_bytes(Encoding.Raw, PublicFormat.Raw) == KEY
    assert client_id_of(KEY) == KEY.hex()


@given(st.text())
def test_a_peers_words_are_short_and_printable(text):
    shown = cut(text)
    assert len(shown) <= 500
    assert shown.isprintable()
