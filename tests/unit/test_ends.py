"""How shards and jobs end, in words that a person can act on."""

from __future__ import annotations

import pytest
from doubles.hostile import manifest_for
from unit.shards import PEERS, execution, play, proposal, running

from node.journal.records import Tally
from node.model import DirHash
from node.requester.ends import all_over, exit_code_of, moved, totals, verdict_record, verdict_text
from node.requester.life import RunDeadline, RunFailed, Stopped
from node.verifier.vote import Group, NotVerified, Verified


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Verified(DirHash("h1:x"), (), (Group(DirHash("h1:x"), ("a", "b", "c")),)), "verified: 3 of 3 agree on h1:x"),
        (
            Verified(DirHash("h1:x"), (), (Group(DirHash("h1:x"), ("a", "b")), Group(DirHash("h1:y"), ("c",)))),
            "verified: 2 of 3 agree on h1:x",
        ),
        (
            NotVerified("a draw", (Group(DirHash("h1:x"), ("a",)), Group(DirHash("h1:y"), ("b",)))),
            "not verified: a draw (groups of equal results: 1, 1)",
        ),
        (NotVerified("too few", (Group(DirHash("h1:x"), ("a",)),)), "not verified: too few"),
    ],
)
def test_a_verdict_says_how_many_agree_of_how_many(verdict, text):
    assert verdict_text(verdict_record(verdict)) == text


@pytest.mark.parametrize(("codes", "code"), [("tt", "time"), ("tx", "executions"), ("xx", "executions")])
def test_a_shard_timed_out_when_each_of_its_runs_did(codes, code):
    state, nodes = running()
    names = {"t": "time", "x": "trap"}
    failures = [RunFailed(node, execution(node), names[each], "r") for node, each in zip(nodes[:2], codes, strict=True)]
    state, _ = play([*failures, RunDeadline(execution(nodes[2]))], state)
    assert state.record.failure.code == code


def test_the_reason_of_most_runs_is_the_shards():
    state, nodes = running()
    reasons = ["rare", "frequent", "frequent"]
    failures = [RunFailed(node, execution(node), "trap", reason) for node, reason in zip(nodes, reasons, strict=True)]
    state, _ = play(failures, state)
    assert state.record.failure.reason == "no execution gave a result: 2 of 3 ended with trap: frequent"


def test_cancelling_leaves_what_had_ended_as_it_was():
    state, nodes = running()
    failed = RunFailed(nodes[1], execution(nodes[1]), "trap", "unreachable")
    state, _ = play([proposal(nodes[0], "x"), failed, Stopped()], state)
    assert [(run.state, run.code) for run in state.record.executions] == [
        ("proposed", None),
        ("failed", "trap"),
        ("failed", "cancelled"),
    ]


def test_equal_hashes_of_a_shard_share_their_text():
    state, nodes = running()
    twins = [proposal(node, "x") for node in nodes]
    state, _ = play(twins, state)
    assert len({id(run.hash) for run in state.executions}) == 1
    assert nodes == PEERS[:3]


def test_a_tally_moves_one_and_ends_all():
    tally = moved(moved(Tally(waiting=5), "waiting", "running"), "waiting", "running")
    tally = moved(moved(tally, "running", "handing_over"), "running", "not_verified")
    assert tally == Tally(waiting=3, handing_over=1, not_verified=1)
    assert all_over(tally, "failed") == Tally(not_verified=1, failed=4)
    assert totals(tally) == "3 waiting, 1 handing over, 1 not verified"


@pytest.mark.parametrize(
    ("text", "code"),
    [(b"0", 0), (b"7", 7), (b"255", 255), (b"256", None), (b"00", None), (b"-1", None), (b"0\n", None), (b"", None)],
)
def test_an_exit_code_is_known_by_the_hash_that_won(text, code):
    assert exit_code_of(manifest_for({"exitCode": text, "stdout": b"1"})[0]) == code


def test_only_the_file_at_the_top_is_the_exit_code():
    assert exit_code_of(manifest_for({"outputs/exitCode": b"1", "stdout": b"1"})[0]) is None


def test_a_result_without_that_file_has_no_exit_code():
    assert exit_code_of(manifest_for({"Z/a": b"1"})[0]) is None
    assert exit_code_of(manifest_for({"a": b"1"})[0]) is None


def test_an_exit_code_is_found_between_other_files():
    files = {name: b"1" for name in ("A", "B/a", "outputs/a", "stderr", "stdout")}
    assert exit_code_of(manifest_for({"exitCode": b"3", **files})[0]) == 3
