"""How a job ends, in words that a person can act on."""

from __future__ import annotations

import pytest
from unit.test_machine import execution, play, proposal, running, spec

from node.journal.records import Answer
from node.requester.ends import too_few
from node.requester.life import Bidding, CancelAsked, RunDeadline, RunFailed


def declined(*reasons):
    return tuple(Answer(peer=f"p{number}", code="data", reason=reason) for number, reason in enumerate(reasons))


def test_the_most_frequent_reason_comes_first():
    text = too_few(Bidding(declined("b", "a", "c", "a", "b", "a")), spec().deal)
    assert text.endswith("3 declined: a; 2 declined: b; 1 declined: c")


def test_equally_frequent_reasons_come_in_their_order():
    assert too_few(Bidding(declined("b", "a")), spec().deal).endswith("1 declined: a; 1 declined: b")


def test_a_decline_without_words_is_its_code():
    assert too_few(Bidding(declined("")), spec().deal).endswith("1 declined: data")


def test_silence_is_said():
    assert too_few(Bidding(), spec().deal) == "0 of the 4 bids needed came within 10 s; no other node answered"


@pytest.mark.parametrize(("codes", "code"), [("tt", "time"), ("tx", "executions"), ("xx", "executions")])
def test_a_job_timed_out_when_each_of_its_runs_did(codes, code):
    state, nodes = running()
    names = {"t": "time", "x": "trap"}
    failures = [RunFailed(node, execution(node), names[each], "r") for node, each in zip(nodes[:2], codes, strict=True)]
    state, _ = play([*failures, RunDeadline()], state=state)
    assert state.failure.code == code


def test_the_reason_of_most_runs_is_the_jobs():
    state, nodes = running()
    reasons = ["rare", "frequent", "frequent"]
    failures = [RunFailed(node, execution(node), "trap", reason) for node, reason in zip(nodes, reasons, strict=True)]
    state, _ = play(failures, state=state)
    assert state.failure.reason == "no execution gave a result: 2 of 3 ended with trap: frequent"


def test_cancelling_leaves_what_had_ended_as_it_was():
    state, nodes = running()
    failed = RunFailed(nodes[1], execution(nodes[1]), "trap", "unreachable")
    state, _ = play([proposal(nodes[0], "x"), failed, CancelAsked()], state=state)
    assert [(run.state, run.code) for run in state.executions] == [
        ("proposed", None),
        ("failed", "trap"),
        ("failed", "cancelled"),
    ]
