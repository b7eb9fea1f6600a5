"""A shard's machine under any sequence of events, and the ways a shard ends."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.shards import HASHES, PEERS, SHARD, dismissed, execution, kept, play, proposal, running, spec, waiting

from node.journal.records import Failure
from node.requester.effects import Dismiss, Engage, Extend, Fetch, Note
from node.requester.life import (
    Began,
    CannotKeep,
    Compared,
    HandingOver,
    Kept,
    Left,
    Lied,
    NotHandedOver,
    Proposal,
    RunDeadline,
    RunFailed,
    Running,
    Settled,
    Stopped,
    TurnCame,
    Waits,
)


def decided(letters="xxx"):
    """A shard whose winners are being asked, and the nodes that ran it."""
    state, nodes = running()
    state, performed = play([proposal(node, letter) for node, letter in zip(nodes, letters, strict=True)], state)
    assert isinstance(state, HandingOver)
    return state, nodes, performed


def retracted(effects):
    """Who is told that what it published does not count."""
    dismissals = [effect for effect in effects if isinstance(effect, Dismiss) and effect.retract]
    return [run.peer for effect in dismissals for run in effect.executions]


def fetched(effects):
    return [effect.peer for effect in effects if isinstance(effect, Fetch)]


def test_each_node_is_engaged_when_its_turn_comes_and_once():
    state = waiting()
    for node in PEERS[:3]:
        state, effects = play([TurnCame(node), TurnCame(node)], state)
        assert [effect.run.peer for effect in effects if isinstance(effect, Engage)] == [node]
        assert Note("drawn", node, execution(node), shard=SHARD) in effects
    assert play([TurnCame(PEERS[4])], state) == (state, [])


def test_a_node_that_has_to_wait_for_room_gets_more_time_once():
    state, nodes = running()
    node = nodes[0]
    after, effects = play([Waits(node, execution(node), 40.0)], state)
    (extended,) = [effect.run for effect in effects if isinstance(effect, Extend)]
    assert (extended.peer, extended.wait_s) == (node, 40.0)
    assert Note("queued", node, execution(node), "waits for room, about 40 s", SHARD) in effects
    assert play([Waits(node, execution(node), 50.0)], after) == (after, [])
    assert play([Waits(nodes[1], execution(node), 50.0)], after) == (after, [])
    began, _ = play([Began(nodes[1], execution(nodes[1]))], after)
    assert play([Waits(nodes[1], execution(nodes[1]), 50.0)], began) == (began, [])


def test_an_execution_that_waits_for_its_turn_can_say_nothing():
    state = waiting()
    node = PEERS[0]
    early = [proposal(node, "x"), RunFailed(node, execution(node), "trap", "t"), Began(node, execution(node))]
    assert play([*early, RunDeadline(execution(node))], state) == (state, [])


def test_the_vote_waits_for_those_whose_turn_has_not_come():
    state, _ = play([TurnCame(PEERS[0]), TurnCame(PEERS[1])], waiting())
    state, _ = play([proposal(PEERS[0], "x"), proposal(PEERS[1], "x")], state)
    assert isinstance(state, Running)
    state, performed = play([Left(PEERS[2])], state)
    assert isinstance(state, HandingOver)
    assert state.executions[2].code == "lost"
    assert dismissed(performed) == [PEERS[2]]


def test_all_agree_and_the_results_are_kept():
    state, nodes, performed = decided()
    assert state.verdict.kind == "verified"
    assert fetched(performed) == nodes[:1]
    assert [(effect.shard, effect.hash) for effect in performed if isinstance(effect, Fetch)] == [(SHARD, HASHES["x"])]
    state, performed = play([Kept(kept(nodes[0]))], state)
    assert (state.record.shard, state.record.state, state.record.results.peer) == (SHARD, "completed", nodes[0])
    assert dismissed(performed) == nodes
    assert set(state.ballots) == set(nodes)


def test_the_loser_of_a_vote_is_dismissed_with_the_verdict():
    state, nodes, performed = decided("xyx")
    assert dismissed(performed) == [nodes[1]]
    assert [run.agreed for run in state.executions] == [True, False, True]


def test_a_draw_is_not_verified_and_everyone_is_dismissed():
    state, nodes = running()
    votes = [proposal(node, letter) for node, letter in zip(nodes, "xyz", strict=True)]
    state, performed = play([*votes, Compared()], state)
    assert (state.record.state, state.record.verdict.kind) == ("not_verified", "not_verified")
    assert dismissed(performed) == nodes
    assert not any(run.agreed for run in state.record.executions)
    assert len(state.ballots) == 3


def test_the_hash_of_a_proposal_stays_out_of_the_history_until_the_verdict():
    state, nodes = running()
    _, performed = play([proposal(node, "x") for node in nodes[:2]], state)
    assert not any(HASHES["x"] in effect.text for effect in performed if isinstance(effect, Note))


def test_a_proposal_that_does_not_open_votes_for_nothing():
    state, nodes = running()
    state, performed = play([proposal(nodes[0], None), *(proposal(node, "x") for node in nodes[1:])], state)
    assert isinstance(state, HandingOver)
    assert (state.executions[0].agreed, state.executions[0].reason) == (False, "it does not open")
    assert performed[0].text == "it does not open"
    assert nodes[0] not in state.ballots


def test_proposals_that_do_not_open_are_votes_for_nothing_and_not_silence():
    state, nodes = running()
    state, _ = play([proposal(node, None) for node in nodes], state)
    assert (state.record.state, state.record.verdict.kind) == ("not_verified", "not_verified")
    assert [run.agreed for run in state.record.executions] == [False] * 3
    state, nodes = running()
    state, _ = play([proposal(nodes[0], "x"), *(proposal(node, None) for node in nodes[1:])], state)
    assert [len(group.peers) for group in state.record.verdict.groups] == [2, 1]


@pytest.mark.parametrize("is_lost", [True, False])
def test_lost_and_late_nodes_do_not_hold_up_the_vote(is_lost):
    state, nodes = running()
    last = Left(nodes[2]) if is_lost else RunDeadline(execution(nodes[2]))
    state, _ = play([proposal(nodes[0], "x"), proposal(nodes[1], "x"), last], state)
    assert isinstance(state, HandingOver)
    assert state.executions[2].code == ("lost" if is_lost else "late")
    assert [run.agreed for run in state.executions] == [True, True, None]


def test_a_deadline_is_of_one_execution():
    state, nodes = running()
    state, _ = play([RunDeadline(execution(nodes[0])), RunDeadline("f" * 32)], state)
    assert [run.state for run in state.executions] == ["failed", "accepted", "accepted"]


def test_a_winner_that_lies_is_named_and_the_next_is_asked():
    state, nodes, _ = decided()
    state, performed = play([Lied(nodes[0], "stdout is not the file that won")], state)
    assert state.executions[0].lied == "stdout is not the file that won"
    assert fetched(performed) == [nodes[1]]
    assert Note("liar", nodes[0], text="stdout is not the file that won", shard=SHARD) in performed


def test_when_no_winner_hands_over_the_shard_fails_clearly():
    state, nodes, _ = decided()
    state, _ = play([Lied(nodes[0], "a"), NotHandedOver(nodes[1], "b"), NotHandedOver(nodes[2], "c")], state)
    assert (state.record.state, state.record.failure.code) == ("failed", "hand_over")
    assert "c" in state.record.failure.reason
    assert state.record.verdict.kind == "verified"


def test_only_the_winner_that_is_asked_can_end_its_turn():
    state, nodes, _ = decided()
    assert play([Lied(nodes[1], "a"), NotHandedOver(nodes[2], "b")], state) == (state, [])


def test_only_winners_are_asked_and_in_the_order_of_the_draw():
    state, nodes, performed = decided("yxx")
    assert state.asking == (nodes[1], nodes[2])
    assert fetched(performed) == [nodes[1]]


def test_results_that_cannot_be_kept_end_the_shard():
    state, _, _ = decided()
    state, performed = play([CannotKeep("disk full")], state)
    assert (state.record.state, state.record.failure.code) == ("failed", "room")
    assert any(isinstance(effect, Dismiss) for effect in performed)


def test_noop_takes_the_first_word_and_never_calls_it_verified():
    the_spec = spec("noop", concurrency=1, confidence=None, min_bids=0)
    state, nodes = running(the_spec)
    state, _ = play([proposal(nodes[0], "x")], state, the_spec)
    assert state.verdict.kind == "unchecked"


def test_nobody_speaks_for_another_node():
    state, nodes = running()
    stolen = Proposal(nodes[1], execution(nodes[0]), proposal(nodes[0], "x").signed)
    other = execution(nodes[0])
    assert play([stolen, RunFailed(nodes[1], other, "trap", "t"), Began(nodes[1], other)], state) == (state, [])
    assert play([Proposal(nodes[0], "f" * 32, proposal(nodes[0], "x").signed)], state) == (state, [])


def test_the_first_word_of_an_execution_is_its_last():
    state, nodes = running()
    state, _ = play([proposal(nodes[0], "x")], state)
    failed = RunFailed(nodes[0], execution(nodes[0]), "trap", "t")
    late = RunDeadline(execution(nodes[0]))
    assert play([proposal(nodes[0], "y"), failed, Left(nodes[0]), late], state) == (state, [])


def test_a_run_begins_once_and_may_still_propose():
    state, nodes = running()
    state, effects = play([Began(nodes[0], execution(nodes[0]), ("ipfs", ""))], state)
    assert effects == [Note("started", nodes[0], execution(nodes[0]), shard=SHARD)]
    assert state.executions[0].sources == ("ipfs", "")
    assert play([Began(nodes[0], execution(nodes[0]), ("other",))], state) == (state, [])
    state, _ = play([proposal(nodes[0], "x")], state)
    assert (state.executions[0].hash, state.executions[0].sources) == (HASHES["x"], ("ipfs", ""))


@pytest.mark.parametrize("failure", [None, Failure(code="time", reason="over")])
def test_whoever_runs_is_dismissed_when_the_job_is_stopped_and_who_waits_was_never_told(failure):
    state, _ = play([TurnCame(PEERS[0]), TurnCame(PEERS[1])], waiting())
    after, performed = play([proposal(PEERS[1], "x"), Stopped(failure)], state)
    assert after.record.state == ("failed" if failure else "cancelled")
    assert after.record.failure == failure
    code = "late" if failure else "cancelled"
    assert [run.code for run in after.record.executions] == [code, None, code]
    assert dismissed(performed) == PEERS[:2]


def test_winners_are_dismissed_when_the_job_is_stopped_and_losers_were_before():
    state, nodes, _ = decided("yxx")
    after, performed = play([Stopped()], state)
    assert dismissed(performed) == nodes[1:]
    assert after.record.verdict == state.verdict


def test_only_what_was_kept_of_what_winners_published_counts():
    state, nodes, performed = decided()
    assert retracted(performed) == []
    failed, after_failing = play([Lied(nodes[0], "a")], state)
    assert retracted(after_failing) == []  # It is told with the others, when the end is durable.
    _, performed = play([Kept(kept(nodes[1]))], failed)
    assert (retracted(performed), dismissed(performed)) == ([nodes[0], nodes[2]], [nodes[1], nodes[0], nodes[2]])
    for end in (CannotKeep("full"), Stopped(), Stopped(Failure(code="time", reason="over"))):
        _, performed = play([end], state)
        assert retracted(performed) == nodes


def test_who_only_ran_has_published_nothing():
    state, _ = running()
    _, performed = play([Stopped()], state)
    assert (retracted(performed), len(dismissed(performed))) == ([], 3)


NODES = st.sampled_from(PEERS[:4])
EVENTS = st.one_of(
    NODES.map(TurnCame),
    st.builds(Left, NODES),
    NODES.map(lambda node: Began(node, execution(node))),
    NODES.map(lambda node: RunDeadline(execution(node))),
    st.tuples(NODES, st.sampled_from(["x", "y", "z", None])).map(lambda pair: proposal(*pair)),
    NODES.map(lambda node: RunFailed(node, execution(node), "trap", "t")),
    # Somebody else's execution under one's own name:
    st.tuples(NODES, NODES).map(lambda pair: Proposal(pair[0], execution(pair[1]), proposal(pair[0], "x").signed)),
    st.builds(Lied, NODES, st.just("l")),
    st.builds(NotHandedOver, NODES, st.just("n")),
    st.just(Compared("groups differ in: stdout")),
    st.sampled_from([CannotKeep("full"), Stopped(), Stopped(Failure(code="time", reason="over"))]),
    NODES.map(lambda node: Kept(kept(node))),
)


@given(st.lists(NODES, max_size=4), st.lists(EVENTS, max_size=30))
def test_invariants_hold_whatever_arrives(turns, noise):
    state, engaged, told = waiting(), [], []
    for event in [*map(TurnCame, turns), *noise]:
        if isinstance(event, Kept | CannotKeep) and not isinstance(state, HandingOver):
            continue  # The role keeps only what it fetches.
        before = state
        state, performed = play([event], state)
        engaged += [effect.run.peer for effect in performed if isinstance(effect, Engage)]
        told += dismissed(performed)
        if isinstance(before, Settled):
            assert (state, performed) == (before, [])
        if isinstance(state, Running):
            assert any(run.state in ("waiting", "accepted", "running") for run in state.executions)
            assert all(execution(run.peer) == run.execution for run in state.executions)
    assert len(engaged) == len(set(engaged))
    assert len(told) == len(set(told))
    if isinstance(state, Settled):
        assert set(engaged) <= set(told)  # Nobody keeps anything of a shard that is over.
        _check_end(state.record)


def _check_end(record):
    assert msgspec.msgpack.encode(record)
    assert all(run.state in ("proposed", "failed") for run in record.executions)
    if record.state == "completed":
        agreeing = [run for run in record.executions if run.agreed]
        assert len(agreeing) >= spec().deal.confidence
        assert {run.hash for run in agreeing} == {record.verdict.hash}
    assert (record.results is not None) == (record.state == "completed")
    assert (record.failure is not None) == (record.state == "failed")
    assert record.state != "not_verified" or record.verdict.kind == "not_verified"
