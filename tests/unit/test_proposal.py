"""Proposals: worth something only from their node, to their requester, for their execution."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.public import SealedBox
from nacl.signing import SigningKey

from node.errors import BadProposal
from node.identity import Identity
from node.model import DirHash, ExecutionId, JobId, PeerId
from node.verifier.proposal import (
    DOMAIN,
    SEALED_BYTES_MAX,
    SignedProposal,
    Statement,
    canonical,
    check_signed,
    open_proposal,
    seal,
    sealing_key_for,
)


def identity(number: int) -> Identity:
    return Identity(SigningKey(bytes([number]) * 32))


REQUESTER, OTHER_REQUESTER, NODE, THIEF = map(identity, (1, 2, 3, 4))
JOB, OTHER_JOB = JobId("0" * 31 + "1"), JobId("0" * 31 + "2")
EXECUTION, OTHER_EXECUTION = ExecutionId("e" * 31 + "1"), ExecutionId("e" * 31 + "2")
HASH = DirHash("h1:ri2aASQ1PskOnJLKeHLW43oBXXbnCJLus/BA4h4waQ4=")
STATEMENT = Statement(
    job=JOB, shard=0, execution=EXECUTION, node=NODE.peer_id, requester=REQUESTER.peer_id, hash=HASH, salt="5a" * 32
)
SEALED = seal(NODE, sealing_key_for(REQUESTER.peer_id), STATEMENT)


def sealed(text: bytes, *, signer: Identity = NODE, to: Identity = REQUESTER, domain: bytes = DOMAIN) -> bytes:
    """Any text, properly signed and sealed: what a node can do that does not keep to the form."""
    return SealedBox(sealing_key_for(to.peer_id)).encrypt(signer.sign(domain + text) + text)


def opened(
    body: bytes,
    *,
    by: Identity = REQUESTER,
    sender: PeerId = NODE.peer_id,
    job: JobId = JOB,
    shard: int = 0,
    execution: ExecutionId = EXECUTION,
) -> SignedProposal:
    return open_proposal(by, body, sender=sender, job=job, shard=shard, execution=execution)


def test_what_was_sealed_opens_with_its_hash() -> None:
    signed = opened(SEALED)
    assert signed.statement == STATEMENT
    assert signed.hash == HASH
    assert signed.signature == NODE.sign(DOMAIN + canonical(STATEMENT))


def test_the_text_is_canonical_json() -> None:
    text = canonical(STATEMENT)
    assert text.startswith(b'{"execution":"eeee')
    assert list(msgspec.json.decode(text)) == sorted(Statement.__struct_fields__)
    assert b" " not in text


def test_no_two_sealed_proposals_look_alike() -> None:
    again = seal(NODE, sealing_key_for(REQUESTER.peer_id), STATEMENT)
    assert again != SEALED
    assert opened(again) == opened(SEALED)


def test_a_sealed_proposal_fits_its_message() -> None:
    longest = msgspec.structs.replace(STATEMENT, shard=1_000_000)
    assert len(seal(NODE, sealing_key_for(REQUESTER.peer_id), longest)) <= 1024 < SEALED_BYTES_MAX


def test_a_replay_by_another_node_is_refused() -> None:
    with pytest.raises(BadProposal, match="another node"):
        opened(SEALED, sender=THIEF.peer_id)


def test_a_replay_for_another_job_is_refused() -> None:
    with pytest.raises(BadProposal, match="another job"):
        opened(SEALED, job=OTHER_JOB)


def test_a_replay_for_another_shard_is_refused() -> None:
    with pytest.raises(BadProposal, match="another shard"):
        opened(SEALED, shard=1)


def test_a_replay_for_another_execution_is_refused() -> None:
    with pytest.raises(BadProposal, match="another execution"):
        opened(SEALED, execution=OTHER_EXECUTION)


def test_a_replay_to_another_requester_does_not_open() -> None:
    with pytest.raises(BadProposal, match="not sealed to this requester"):
        opened(SEALED, by=OTHER_REQUESTER)


def test_what_one_requester_opened_is_refused_by_another() -> None:
    """A requester that is a client elsewhere passes on what it was told."""
    signed = opened(SEALED)
    passed_on = SealedBox(sealing_key_for(OTHER_REQUESTER.peer_id)).encrypt(signed.signature + canonical(STATEMENT))
    with pytest.raises(BadProposal, match="another requester"):
        opened(passed_on, by=OTHER_REQUESTER)


def test_a_stolen_text_that_is_sealed_again_is_refused() -> None:
    stolen = opened(SEALED)
    again = SealedBox(sealing_key_for(REQUESTER.peer_id)).encrypt(stolen.signature + canonical(stolen.statement))
    with pytest.raises(BadProposal, match="another node"):
        opened(again, sender=THIEF.peer_id)


def test_a_stolen_text_signed_by_the_thief_is_refused() -> None:
    with pytest.raises(BadProposal, match="another node"):
        opened(sealed(canonical(STATEMENT), signer=THIEF), sender=THIEF.peer_id)


def test_a_name_without_its_signature_is_refused() -> None:
    with pytest.raises(BadProposal, match="not signed by"):
        opened(sealed(canonical(STATEMENT), signer=THIEF))


def test_a_signature_made_for_another_purpose_is_refused() -> None:
    with pytest.raises(BadProposal, match="not signed by"):
        opened(sealed(canonical(STATEMENT), domain=b""))


def test_a_truncated_proposal_is_refused() -> None:
    for length in range(len(SEALED)):
        with pytest.raises(BadProposal):
            opened(SEALED[:length])


def test_bytes_after_the_seal_are_refused() -> None:
    with pytest.raises(BadProposal):
        opened(SEALED + b"\0")


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b"[" * 2000])
def test_a_text_that_is_no_statement_is_refused(text: bytes) -> None:
    with pytest.raises(BadProposal):
        opened(sealed(text))


def test_less_than_a_signature_is_refused() -> None:
    with pytest.raises(BadProposal):
        opened(SealedBox(sealing_key_for(REQUESTER.peer_id)).encrypt(b"short"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"{", b"{ "),
        (b"}", b"}\n"),
        (b"}", b"}}"),
        (b'"shard":0', b'"shard":0.0'),
        (b'"shard":0', b'"shard":0,"shard":0'),
        (b'"job"', b'"j\\u006fb"'),
        (b'"version":1', b'"version":1,"more":1'),
    ],
)
def test_the_same_meaning_in_other_bytes_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(BadProposal):
        opened(sealed(canonical(STATEMENT).replace(old, new)))


def test_another_order_of_the_same_fields_is_refused() -> None:
    fields = msgspec.json.decode(canonical(STATEMENT))
    with pytest.raises(BadProposal, match="canonical"):
        opened(sealed(msgspec.json.encode(dict(reversed(fields.items())))))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "h1:",
        HASH[3:],
        "h2:" + HASH[3:],
        HASH[:-1],
        HASH + "=",
        HASH[:-2] + "5=",  # 4 with another unused bit
        HASH[:-2] + "==",
        HASH.replace("/", "_"),
        HASH.replace("/", " "),
        HASH + "\n",
        " " + HASH,
        "h1:" + "A" * 44,
    ],
)
def test_a_malformed_hash_is_refused(value: str) -> None:
    with pytest.raises(BadProposal):
        opened(sealed(canonical(STATEMENT).replace(HASH.encode(), msgspec.json.encode(value)[1:-1])))


@pytest.mark.parametrize(
    ("field", "value"),
    [("version", 2), ("shard", -1), ("shard", "0"), ("salt", "5a" * 31), ("salt", "5A" * 32), ("job", "0" * 33)],
)
def test_a_field_out_of_its_range_is_refused(field: str, value: object) -> None:
    fields = msgspec.json.decode(canonical(STATEMENT)) | {field: value}
    with pytest.raises(BadProposal, match="no proposal"):
        opened(sealed(msgspec.json.encode(fields, order="sorted")))


def test_a_proposal_that_is_too_long_is_refused_unopened() -> None:
    with pytest.raises(BadProposal, match="of 4097 bytes"):
        opened(b"x" * (SEALED_BYTES_MAX + 1))


@settings(max_examples=200)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(at: int, change: int) -> None:
    with pytest.raises(BadProposal):
        opened(SEALED[:at] + bytes([SEALED[at] ^ change]) + SEALED[at + 1 :])


@given(st.binary(max_size=600))
def test_no_bytes_do_more_than_be_refused(body: bytes) -> None:
    with pytest.raises(BadProposal):
        opened(body)


def test_a_kept_proposal_is_checked_again_offline() -> None:
    signed = opened(SEALED)
    kept = {"requester": REQUESTER.peer_id, "job": JOB, "shard": 0, "execution": EXECUTION}
    check_signed(signed, node=NODE.peer_id, **kept)
    with pytest.raises(BadProposal, match="another requester"):
        check_signed(signed, node=NODE.peer_id, **kept | {"requester": THIEF.peer_id})
    other = msgspec.structs.replace(signed.statement, hash="h1:" + "A" * 43 + "=")
    with pytest.raises(BadProposal, match="not signed by"):
        check_signed(SignedProposal(other, signed.signature), node=NODE.peer_id, **kept)
    with pytest.raises(BadProposal, match="not signed by"):
        check_signed(SignedProposal(signed.statement, b""), node=NODE.peer_id, **kept)


def test_a_node_whose_name_is_no_key_is_refused() -> None:
    nobody = PeerId("1" * 52)
    statement = msgspec.structs.replace(STATEMENT, node=nobody)
    with pytest.raises(BadProposal, match="no peer id"):
        opened(sealed(canonical(statement)), sender=nobody)


def test_nobody_signs_in_the_name_of_another() -> None:
    with pytest.raises(AssertionError):
        seal(THIEF, sealing_key_for(REQUESTER.peer_id), STATEMENT)
