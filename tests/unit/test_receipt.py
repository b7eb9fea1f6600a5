"""A receipt holds exactly when nothing in it or in the results was changed."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.receipts import (
    FILES,
    HONEST,
    ONE_LIAR,
    REQUESTER,
    finished,
    identity,
    planted,
    spec_of,
)

from node import limits
from node.identity import signed_by
from node.model import Deal, PeerId
from node.receipt.check import Broken, Holds, Unverified, check
from node.receipt.sign import PAYLOAD_TYPE, make, read

RECEIPT = make(REQUESTER, finished(spec_of(), ONE_LIAR))
DOCUMENT = msgspec.json.decode(RECEIPT)
PAYLOAD = base64.b64decode(DOCUMENT["payload"])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted(tmp_path_factory.mktemp("results"))


def broken(receipt: bytes, results: Path | None = None, **whose: PeerId) -> str:
    """Why it does not hold; it must not."""
    checked = check(receipt, results, **whose)
    assert isinstance(checked, Broken)
    assert checked.why
    return checked.why


def test_a_receipt_holds_with_its_results_and_without(results: Path) -> None:
    checked = check(RECEIPT, results)
    assert isinstance(checked, Holds)
    assert checked.files == len(FILES)
    alone = check(RECEIPT)
    assert isinstance(alone, Holds)
    assert alone.files is None


def test_it_says_what_happened(results: Path) -> None:
    checked = check(RECEIPT, results)
    assert isinstance(checked, Holds)
    told = checked.predicate
    assert told.requester == REQUESTER.peer_id
    assert [len(group.peers) for group in told.shards[0].verdict.groups] == [4, 1]
    assert told.rule.confidence == 4
    assert told.submitted_at == "2023-11-14T22:13:20.250000Z"
    assert [reply.code for reply in told.answers] == [None] * 6 + ["data"]


def test_it_is_an_in_toto_statement_in_a_dsse_envelope() -> None:
    statement = msgspec.json.decode(PAYLOAD)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "urn:quorate:receipt:v1"
    assert {subject["name"]: subject["digest"] for subject in statement["subject"]} == {
        name: {"sha256": hashlib.sha256(content).hexdigest()} for name, content in FILES.items()
    }
    (signature,) = DOCUMENT["signatures"]
    assert signature["keyid"] == REQUESTER.peer_id
    pae = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(PAYLOAD), PAYLOAD)
    assert signed_by(REQUESTER.public_key, pae, base64.b64decode(signature["sig"]))


def test_a_receipt_of_many_files_is_spelled_as_any_other(tmp_path: Path) -> None:
    """It is encoded in pieces, and read at once."""
    files = FILES | {f"outputs/{number}": b"%d" % number for number in range(5000)}
    receipt = make(REQUESTER, finished(spec_of(), HONEST, files))
    _, statement = read(receipt)
    assert sorted(files) == [subject.name for subject in statement.subject]
    assert isinstance(check(receipt, planted(tmp_path, files)), Holds)


def test_the_same_job_has_the_same_receipt() -> None:
    assert make(REQUESTER, finished(spec_of(), ONE_LIAR)) == RECEIPT


def test_a_clock_that_was_set_back_breaks_no_receipt() -> None:
    facts = finished(spec_of(), HONEST)
    checked = check(make(REQUESTER, dataclasses.replace(facts, finished_at=facts.record.submitted_at - 5)))
    assert isinstance(checked, Holds)
    assert checked.predicate.finished_at == checked.predicate.submitted_at


def test_the_client_is_not_named() -> None:
    assert finished(spec_of(), HONEST).record.client.encode() not in PAYLOAD


@pytest.mark.parametrize(
    "votes",
    [
        HONEST,
        ("right", "right", "unreadable", "right", "right"),
        ("right", "right", "time", "right", "right"),
    ],
)
def test_failed_and_unreadable_executions_are_part_of_it(votes: tuple[str, ...], results: Path) -> None:
    checked = check(make(REQUESTER, finished(spec_of(), votes)), results)
    assert isinstance(checked, Holds)
    codes = [run.code for run in checked.predicate.shards[0].executions]
    assert codes == [None if vote == "right" else vote for vote in votes]


def test_a_plurality_holds_when_that_was_the_rule(results: Path) -> None:
    job = spec_of(deal=Deal(concurrency=4, confidence=0))
    votes = ("right", "wrong", "right", "unreadable")
    assert isinstance(check(make(REQUESTER, finished(job, votes)), results), Holds)


def test_as_many_bids_as_were_asked_for_are_enough(results: Path) -> None:
    job = spec_of(deal=Deal(concurrency=5, min_bids=6))
    checked = check(make(REQUESTER, finished(job, HONEST)), results)
    assert isinstance(checked, Holds)
    assert len(checked.predicate.draw.bidders) == 6


def test_what_nobody_compared_is_genuine_and_not_verified(results: Path) -> None:
    job = spec_of("noop", Deal(concurrency=1))
    checked = check(make(REQUESTER, finished(job, ("right",))), results)
    assert isinstance(checked, Unverified)
    assert checked.predicate.shards[0].verdict.kind == "unchecked"
    assert checked.files == len(FILES)


def test_a_noop_receipt_with_two_opinions_is_no_verification(results: Path) -> None:
    job = spec_of("noop", Deal(concurrency=3))
    assert isinstance(check(make(REQUESTER, finished(job, ("right", "wrong", "right"))), results), Unverified)


def test_it_can_be_asked_whose_it_is() -> None:
    assert isinstance(check(RECEIPT, requester=REQUESTER.peer_id), Holds)
    other = identity(9).peer_id
    assert broken(RECEIPT, requester=other) == f"it is a receipt of requester {REQUESTER.peer_id}, not of {other}"


def test_every_changed_byte_of_the_receipt_is_noticed() -> None:
    """All of them once; which bit is changed goes round."""
    for at in range(len(RECEIPT)):
        changed = RECEIPT[:at] + bytes([RECEIPT[at] ^ (1 << at % 8)]) + RECEIPT[at + 1 :]
        assert isinstance(check(changed), Broken), at


@settings(max_examples=300)
@given(st.integers(0, len(RECEIPT) - 1), st.integers(0, 255))
def test_a_byte_of_the_receipt_that_is_replaced_is_noticed(at: int, value: int) -> None:
    if RECEIPT[at] != value:
        broken(RECEIPT[:at] + bytes([value]) + RECEIPT[at + 1 :])


@settings(max_examples=200)
@given(st.integers(0, len(RECEIPT) - 1), st.sampled_from([b"", b" ", b"\n", b"="]), st.booleans())
def test_bytes_taken_out_or_put_in_are_noticed(at: int, piece: bytes, replaces: bool) -> None:
    changed = RECEIPT[:at] + piece + RECEIPT[at + replaces :]
    if changed != RECEIPT:
        broken(changed)


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(body: bytes) -> None:
    broken(body)


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"\xff", b"[" * 100_000, b'{"payload":"","payloadType":""}'])
def test_what_is_no_receipt_is_said_to_be_none(body: bytes) -> None:
    assert broken(body).startswith("this is no receipt")


def test_a_receipt_that_is_too_long_is_not_read() -> None:
    assert "the limit is" in broken(b"0" * (limits.RECEIPT_BYTES_MAX + 1))


def test_the_same_meaning_in_other_bytes_is_refused() -> None:
    swapped = {"signatures": DOCUMENT["signatures"], "payload": DOCUMENT["payload"], "payloadType": PAYLOAD_TYPE}
    for other in (
        RECEIPT[:-1],
        RECEIPT + b"\n",
        b" " + RECEIPT,
        RECEIPT.replace(b":", b": ", 1),
        msgspec.json.encode(swapped) + b"\n",
        RECEIPT.replace(b'"payload"', b'"p\\u0061yload"', 1),
    ):
        assert "spelled" in broken(other)


@settings(max_examples=60)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_any_changed_byte_of_any_result_is_noticed_and_named(results: Path, name: str, data: st.DataObject) -> None:
    content = FILES[name]
    if content:
        at = data.draw(st.integers(0, len(content) - 1))
        changed = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    else:
        changed = data.draw(st.binary(min_size=1, max_size=3))
    try:
        (results / name).write_bytes(changed)
        assert broken(RECEIPT, results) == f"the result file {name!r} is not the one that won"
    finally:
        (results / name).write_bytes(content)


def test_every_byte_of_every_result_counts(tmp_path: Path) -> None:
    planted(tmp_path)
    for name, content in FILES.items():
        for at in range(len(content)):
            (tmp_path / name).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            assert repr(name) in broken(RECEIPT, tmp_path)
            (tmp_path / name).write_bytes(content)
    assert isinstance(check(RECEIPT, tmp_path), Holds)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    planted(tmp_path)
    (tmp_path / "outputs" / "census.csv").unlink()
    assert broken(RECEIPT, tmp_path) == "the result file 'outputs/census.csv' is missing"


def test_a_file_too_many_is_named(tmp_path: Path) -> None:
    planted(tmp_path, {**FILES, "outputs/more": b""})
    assert broken(RECEIPT, tmp_path) == "the file 'outputs/more' is not one of the results"


def test_a_link_to_the_right_bytes_is_not_followed(tmp_path: Path) -> None:
    results = planted(tmp_path / "results")
    (results / "stdout").rename(tmp_path / "stdout")
    (results / "stdout").symlink_to(tmp_path / "stdout")
    assert "'results/stdout' is neither a file nor a folder" in broken(RECEIPT, results)


def test_results_that_are_not_there_are_said_to_be_missing(tmp_path: Path) -> None:
    assert "No such file" in broken(RECEIPT, tmp_path / "nowhere")


def test_a_receipt_signed_again_by_another_is_another_requesters() -> None:
    """Whoever signs the payload of another in his own name has to be named in it."""
    envelope, _ = read(RECEIPT)
    thief = identity(9)
    pae = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(PAYLOAD), PAYLOAD)
    for keyid in (thief.peer_id, REQUESTER.peer_id):
        signature = {"keyid": keyid, "sig": thief.sign(pae)}
        other = {"payload": envelope.payload, "payloadType": PAYLOAD_TYPE, "signatures": [signature]}
        assert "signature does not hold" in broken(msgspec.json.encode(other, order="sorted") + b"\n")


@pytest.mark.parametrize("count", [0, 2])
def test_there_is_one_signature(count: int) -> None:
    other = {**DOCUMENT, "signatures": DOCUMENT["signatures"] * count}
    assert "signature does not hold" in broken(msgspec.json.encode(other, order="sorted") + b"\n")


def test_making_and_checking_needs_no_event_loop_and_no_network_library() -> None:
    code = (
        "import sys, node.receipt.check, node.receipt.sign;"
        "assert 'trio' not in sys.modules and 'libp2p' not in sys.modules;"
        "assert 'securesystemslib' not in sys.modules and 'cryptography' not in sys.modules;"
        "node.receipt.sign.warm(); assert 'securesystemslib' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
