"""Receipts that their own requester falsified: properly signed, and still refused, each with what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import structs
from unit.receipts import (
    HONEST,
    NODES,
    ONE_LIAR,
    REQUESTER,
    WRONG,
    finished,
    identity,
    manifest_of_files,
    refusal,
    signed,
    spec_of,
)

from node import limits, spec
from node.journal.records import ExecutionRecord
from node.model import Deal, ExecutionId, PeerId
from node.receipt.check import Broken, Holds, check
from node.receipt.sign import PAYLOAD_TYPE, enveloped
from node.receipt.statement import Camp, Run, stated
from node.verifier.proposal import SignedProposal

FACTS = finished(spec_of(), ONE_LIAR)
GENUINE = stated(REQUESTER.peer_id, FACTS)
TOLD = GENUINE.predicate
SHARD = TOLD.shards[0]
LIAR = next(run for run in SHARD.executions if run.proposal is not None and run.proposal.hash == WRONG)


def why(**changes: Any) -> str:
    """What is wrong with a receipt whose predicate was changed before it was signed."""
    return refusal(structs.replace(GENUINE, predicate=structs.replace(TOLD, **changes)))


def why_shard(**changes: Any) -> str:
    """The same of its one shard."""
    return why(shards=(structs.replace(SHARD, **changes),))


def signed_as_it_is(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """An envelope whose signature holds, around anything (DSSE, ``protocol.md``)."""
    pae = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)
    signature = {"keyid": REQUESTER.peer_id, "sig": REQUESTER.sign(pae)}
    envelope = {"payload": payload, "payloadType": payload_type, "signatures": [signature]}
    return msgspec.json.encode(envelope, order="sorted") + b"\n"


def runs(change: Callable[[Run], Run], which: Run = LIAR) -> tuple[Run, ...]:
    return tuple(change(run) if run == which else run for run in SHARD.executions)


def proposal_of(run: Run, value: str = WRONG, **changes: Any) -> SignedProposal:
    """What the node of a run would sign, for this job or another."""
    record = structs.replace(FACTS.record, **{key: changes[key] for key in changes if key == "job"})
    execution = ExecutionRecord(
        execution=changes.get("execution", ExecutionId(run.execution)),
        shard=changes.get("shard", 0),
        peer=PeerId(changes.get("node", run.node)),
        state="proposed",
    )
    return signed(record, execution, value)


def test_unchanged_it_holds() -> None:
    assert isinstance(check(enveloped(REQUESTER, GENUINE)), Holds)


def test_a_signature_over_another_type_or_spelling_is_not_enough() -> None:
    payload = msgspec.json.encode(GENUINE, order="sorted")
    assert signed_as_it_is(payload) == enveloped(REQUESTER, GENUINE)
    for receipt, problem in (
        (signed_as_it_is(payload, "application/json"), "the payload is of type 'application/json'"),
        (signed_as_it_is(payload + b" "), "the payload is not spelled as receipts are"),
        (signed_as_it_is(payload.replace(b'"job"', b'"j\\u006fb"')), "the payload is not spelled as receipts are"),
        (signed_as_it_is(payload.replace(b"receipt:v1", b"receipt:v2")), "no receipt of this version"),
        (signed_as_it_is(payload.replace(b"/v1", b"/v2")), "no receipt of this version"),
        (signed_as_it_is(b"\xff"), "no receipt of this version"),
    ):
        checked = check(receipt)
        assert isinstance(checked, Broken)
        assert problem in checked.why


def test_what_a_receipt_says_cannot_flood_or_steer_a_terminal() -> None:
    for payload_type in ("\x1b[2J" * 10, "long" * 10_000):
        checked = check(signed_as_it_is(b"{}", payload_type))
        assert isinstance(checked, Broken)
        assert checked.why.isprintable()
        assert len(checked.why) <= limits.REASON_CHARS_MAX


def test_the_spec_has_the_hash_that_is_given() -> None:
    assert "hash that the receipt gives" in why(spec_sha256="0" * 64)
    assert "hash that the receipt gives" in why(spec=structs.replace(TOLD.spec, name="another"))


def test_the_spec_keeps_its_own_rules() -> None:
    job = structs.replace(TOLD.spec, deal=Deal(concurrency=5, confidence=6))
    assert "confidence <= concurrency" in why(spec=job, spec_sha256=spec.spec_hash(job))


def test_the_spec_is_complete() -> None:
    job = structs.replace(TOLD.spec, deal=Deal(concurrency=5))
    assert why(spec=job, spec_sha256=spec.spec_hash(job)) == "the spec is not complete"


@pytest.mark.parametrize(
    "change", [{"confidence": 3}, {"concurrency": 4}, {"min_bids": 0}, {"verifier": "noop"}], ids=str
)
def test_the_rule_is_the_one_of_the_spec(change: dict[str, Any]) -> None:
    assert "rule is not the one" in why(rule=structs.replace(TOLD.rule, **change))


def test_time_goes_forward() -> None:
    assert "before it was submitted" in why(finished_at="2023-11-14T22:13:20.249999Z")


@pytest.mark.parametrize(
    ("draw_of", "problem"),
    [
        (lambda d: structs.replace(d, salt="5b" * 32), "that the salt draws"),
        (lambda d: structs.replace(d, bidders=d.bidders[1:]), "that the salt draws"),
        (lambda d: structs.replace(d, bidders=d.bidders[::-1]), "not in order"),
        (lambda d: structs.replace(d, bidders=(*d.bidders, d.bidders[-1])), "twice among the bidders"),
        (lambda d: structs.replace(d, bidders=(*d.bidders, max(NODES))), "did not bid"),
        (lambda d: structs.replace(d, bidders=d.bidders[:4]), "among 4 bidders where the spec asks for 5"),
        (lambda d: structs.replace(d, holders=d.bidders[:1]), "said that they hold the data"),
        (lambda d: structs.replace(d, waiting=d.bidders[:1]), "said that they have to wait"),
    ],
)
def test_the_draw_can_be_repeated(draw_of: Callable[[Any], Any], problem: str) -> None:
    assert problem in why(draw=draw_of(TOLD.draw))


def test_who_said_that_it_has_to_wait_is_among_those_that_come_last() -> None:
    busy = tuple(structs.replace(reply, wait_s=5.0) if reply.code is None else reply for reply in TOLD.answers)
    assert "said that they have to wait" in why(answers=busy)
    all_wait = structs.replace(TOLD.draw, waiting=TOLD.draw.bidders)
    changed = structs.replace(TOLD, answers=busy, draw=all_wait)
    assert isinstance(check(enveloped(REQUESTER, structs.replace(GENUINE, predicate=changed))), Holds)


def test_where_lots_alone_decide_nobody_comes_last() -> None:
    deal = structs.replace(TOLD.spec.deal, ready_first=False)
    job = structs.replace(TOLD.spec, deal=deal)
    busy = tuple(structs.replace(reply, wait_s=5.0) if reply.code is None else reply for reply in TOLD.answers)
    lone = structs.replace(TOLD, spec=job, spec_sha256=spec.spec_hash(job), answers=busy)
    assert isinstance(check(enveloped(REQUESTER, structs.replace(GENUINE, predicate=lone))), Holds)


def test_a_bidder_is_named_among_the_answers() -> None:
    assert "did not bid" in why(answers=TOLD.answers[1:])
    assert "answered the offer twice" in why(answers=(*TOLD.answers, TOLD.answers[0]))


def test_a_late_bid_spoils_nothing() -> None:
    late = structs.replace(TOLD.answers[0], peer=identity(99).peer_id)
    changed = structs.replace(TOLD, answers=(*TOLD.answers, late))
    assert isinstance(check(enveloped(REQUESTER, structs.replace(GENUINE, predicate=changed))), Holds)


def test_no_vote_is_left_out() -> None:
    others = tuple(run for run in SHARD.executions if run != LIAR)
    assert "one for each node that the salt draws" in why_shard(executions=others)


def test_no_node_votes_twice() -> None:
    first, second, *others = SHARD.executions
    twice = structs.replace(first, execution="f" * 32, proposal=proposal_of(first, execution="f" * 32))
    assert "one for each node that the salt draws" in why_shard(executions=(first, twice, *others))
    assert "one for each node that the salt draws" in why_shard(executions=(first, second, twice, *others))
    assert "an execution is there twice" in why_shard(executions=(first, first, second, *others))


@pytest.mark.parametrize(
    ("forged", "problem"),
    [
        (lambda run: proposal_of(run, job="f" * 32), "another job"),
        (lambda run: proposal_of(run, execution="f" * 32), "another execution"),
        (lambda run: proposal_of(run, shard=1), "another shard"),
        (lambda run: proposal_of(run, node=SHARD.executions[0].node), "another node"),
        (lambda run: SignedProposal(run.proposal.statement, b"\0" * 64), "not signed by"),
        (lambda run: SignedProposal(proposal_of(run).statement, SHARD.executions[0].proposal.signature), "not signed"),
        (
            lambda run: SignedProposal(structs.replace(run.proposal.statement, hash=TOLD.manifest), b""),
            "not signed by",
        ),
        (
            lambda run: SignedProposal(
                structs.replace(run.proposal.statement, requester=identity(9).peer_id), run.proposal.signature
            ),
            "another requester",
        ),
    ],
)
def test_every_proposal_is_its_nodes_own(forged: Callable[[Run], SignedProposal], problem: str) -> None:
    told = why_shard(executions=runs(lambda run: structs.replace(run, proposal=forged(run))))
    assert told.startswith(f"the proposal of {LIAR.node} does not hold")
    assert problem in told


def test_a_vote_is_not_moved_to_another_shard() -> None:
    moved = runs(lambda run: structs.replace(run, proposal=proposal_of(run, shard=1)))
    assert "another shard" in why_shard(executions=moved)


def test_an_execution_has_a_proposal_or_a_reason() -> None:
    assert "both a proposal and a reason" in why_shard(executions=runs(lambda run: structs.replace(run, code="time")))
    assert "neither a proposal nor a reason" in why_shard(
        executions=runs(lambda run: structs.replace(run, proposal=None))
    )


def test_a_vote_cannot_be_called_failed_without_recounting() -> None:
    failed = runs(lambda run: structs.replace(run, proposal=None, code="time"))
    assert "groups are not those" in why_shard(executions=failed)
    unreadable = runs(lambda run: structs.replace(run, proposal=None, code="unreadable"))
    assert "groups are not those" in why_shard(executions=unreadable)


def test_the_groups_are_those_of_the_proposals() -> None:
    right, wrong = SHARD.verdict.groups
    for groups in (
        (right,),
        (wrong, right),
        (structs.replace(right, peers=right.peers[::-1]), wrong),
        (structs.replace(right, peers=tuple(sorted((*right.peers, *wrong.peers)))),),
        (right, structs.replace(wrong, hash=TOLD.manifest)),
        (right, wrong, Camp(hash="", peers=())),
    ):
        assert "groups are not those" in why_shard(verdict=structs.replace(SHARD.verdict, groups=groups))


def test_the_verdict_is_what_a_recount_gives() -> None:
    assert f"is won by {TOLD.manifest}, not by {WRONG}" in why_shard(verdict=structs.replace(SHARD.verdict, hash=WRONG))


def test_a_vote_that_nobody_won_has_no_receipt() -> None:
    """Three of five where the spec asks for four: everything is in order but the verdict."""
    lost = tuple(
        structs.replace(run, proposal=proposal_of(run)) if run in (LIAR, SHARD.executions[0]) else run
        for run in SHARD.executions
    )
    sides = [[run.node for run in lost if (run.proposal.hash == WRONG) is wrong] for wrong in (False, True)]
    groups = tuple(
        Camp(hash=value, peers=tuple(sorted(side))) for value, side in zip((TOLD.manifest, WRONG), sides, strict=True)
    )
    told = why_shard(executions=lost, verdict=structs.replace(SHARD.verdict, groups=groups))
    assert told == "recounted, the vote has no winner: 3 of 5 agree where 4 must"


@pytest.mark.parametrize(("verifier", "kind"), [("noop", "verified"), ("deterministic", "unchecked")])
def test_only_the_verifier_that_compares_verifies(verifier: str, kind: str) -> None:
    told = stated(REQUESTER.peer_id, finished(spec_of(verifier), HONEST)).predicate
    (shard,) = told.shards
    shard = structs.replace(shard, verdict=structs.replace(shard.verdict, kind=kind))
    changed = structs.replace(told, shards=(shard,))
    assert f"the verifier {verifier!r} does not say {kind!r}" in refusal(structs.replace(GENUINE, predicate=changed))


def test_the_files_come_from_a_node_that_proposed_them() -> None:
    for source in (LIAR.node, max(NODES)):
        assert "did not come from a node that proposed them" in why_shard(source=source)


def test_an_unchecked_hash_was_proposed_by_its_source() -> None:
    told = stated(REQUESTER.peer_id, finished(spec_of("noop", Deal(concurrency=1)), ("right",))).predicate
    (shard,) = told.shards
    shard = structs.replace(shard, verdict=structs.replace(shard.verdict, hash=WRONG), manifest=WRONG)
    changed = structs.replace(told, shards=(shard,))
    assert "did not come from a node" in refusal(structs.replace(GENUINE, predicate=changed))


def test_the_subjects_are_the_manifest_that_won() -> None:
    first, *others = GENUINE.subject
    for subjects in (
        tuple(others),
        (structs.replace(first, digest=structs.replace(first.digest, sha256="0" * 64)), *others),
        (structs.replace(first, name="exitCodf"), *others),
        (),
    ):
        assert "not those that won" in refusal(structs.replace(GENUINE, subject=subjects))
    assert "the manifest is not that of the result files" in why(manifest=WRONG)
    assert "the manifest is not the one that won" in why_shard(manifest=WRONG)


def test_the_subjects_are_in_order_and_harmless() -> None:
    first, *others = GENUINE.subject
    for subjects in (
        (*others, first),
        (first, first, *others),
        (structs.replace(first, name="../exitCode"), *others),
        (structs.replace(first, name=""), *others),
    ):
        assert "not in order" in refusal(structs.replace(GENUINE, subject=subjects))


def test_two_files_cannot_hide_in_one_name() -> None:
    """A name with a newline in it would read as two lines of the manifest that won."""
    one, two, *others = GENUINE.subject
    spliced = structs.replace(one, name=f"{one.name}\n{two.digest.sha256}  results/{two.name}")
    assert "not in order" in refusal(structs.replace(GENUINE, subject=(spliced, *others)))


def test_a_receipt_names_the_manifest_of_its_own_files() -> None:
    other = manifest_of_files({"stdout": b"something else"})
    assert "the manifest is not that of the result files" in why(manifest=other.h1())
