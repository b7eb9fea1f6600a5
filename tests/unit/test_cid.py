"""CIDs in text and in bytes; what is none, and what is one that we do not take. Expected values: Kubo 0.43."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage.ipfs.cid import DAG_PB, RAW, Cid

DIGEST_OF_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
EMPTY_FILE_V0 = "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"
HELLO = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"
cids = st.binary(max_size=64).flatmap(
    lambda block: st.sampled_from([Cid.of(block, RAW), Cid.of(block, DAG_PB), Cid.of(block, DAG_PB, version=0)])
)


def test_raw_block_has_the_cid_that_kubo_gives_it() -> None:
    assert str(Cid.of(b"hello world\n", RAW)) == HELLO
    assert str(Cid.of(b"", RAW)) == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


def test_dag_pb_block_of_version_0_has_the_cid_that_kubo_gives_it() -> None:
    assert str(Cid.of(bytes.fromhex("0a0408021800"), DAG_PB, version=0)) == EMPTY_FILE_V0


def test_every_base_that_we_read_gives_the_same_cid() -> None:
    cid = Cid.parse(HELLO)

    assert Cid.parse("B" + HELLO[1:].upper()) == cid
    assert Cid.parse("f" + cid.raw.hex()) == cid
    assert Cid.parse("zb2rhi36Gc9GJWijLEL6zW45MBux5FcFv5gJmjXA7VAMozEXY") == cid


@given(cids)
def test_text_and_bytes_come_back(cid: Cid) -> None:
    assert Cid.parse(str(cid)) == cid == Cid.from_bytes(cid.raw)


@given(st.one_of(st.text(max_size=80), st.text("abcdefghijklmnopqrstuvwxyz234567", max_size=80).map("b".__add__)))
def test_text_is_a_cid_or_a_value_error(text: str) -> None:
    try:
        cid = Cid.parse(text)
    except ValueError:
        return
    assert Cid.parse(str(cid)) == cid


@given(st.binary(max_size=80))
def test_bytes_are_a_cid_or_a_value_error(raw: bytes) -> None:
    try:
        cid = Cid.from_bytes(raw)
    except ValueError:
        return
    assert cid.raw == raw


def test_block_matches_its_own_cid_alone() -> None:
    assert Cid.of(b"a", RAW).matches(b"a")
    assert not Cid.of(b"a", RAW).matches(b"b")


def test_identity_cid_holds_its_block() -> None:
    cid = Cid.parse("bafkqabtimvwgy3yk")

    assert cid.inlined == b"hello\n"
    assert cid.matches(b"hello\n")
    assert not cid.matches(b"hello")
    assert Cid.of(b"", RAW).inlined is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no CID"),
        ("hello", "begins with 'h'"),
        ("a" * 513, "too long"),
        (HELLO + "\n", "characters that no CID has"),
        ("Qm" + "1" * 20, "not 46"),
        ("Qm" + "0" * 44, "is no CID"),
        ("b" + "Cafe", "base32"),
        (HELLO[:-1] + "5", "base32"),
        (HELLO[:-2], "cut off"),
        (HELLO + "aaaaa", "follow its hash"),
        ("z" + EMPTY_FILE_V0, "no base prefix"),
        ("f021220" + DIGEST_OF_EMPTY, "version is 2"),
        ("f01711220" + DIGEST_OF_EMPTY, "dag-cbor"),
        ("f0181e2031220" + DIGEST_OF_EMPTY, "fil-commitment-unsealed"),
        ("f0155a0e40220" + DIGEST_OF_EMPTY, "blake2b-256"),
        ("f01557720" + DIGEST_OF_EMPTY, "0x77"),
        ("f0155121f" + DIGEST_OF_EMPTY[2:], "31 bytes"),
        ("f0155008101" + "00" * 129, "129 bytes"),
        ("f0180551220" + DIGEST_OF_EMPTY, "0x2a80"),
        ("f01d5001220" + DIGEST_OF_EMPTY, "shortest"),
    ],
)
def test_what_is_no_cid_is_refused_with_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Cid.parse(text)
