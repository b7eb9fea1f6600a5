"""The requester's machine where one step too many or too few goes unseen: who is told, who counts, who is asked."""

from __future__ import annotations

import pytest
from unit.test_machine import HASHES, PEERS, execution, play, proposal, running, spec

from node import limits
from node.requester.life import (
    Answered,
    Began,
    Bidding,
    BidWindowClosed,
    CancelAsked,
    Decline,
    Dismiss,
    DrawLots,
    Ended,
    Engage,
    Fetch,
    HandingOver,
    Left,
    Note,
    Proposal,
    RunFailed,
    Running,
)
from node.requester.machine import expects, step
from node.verifier.deterministic import Deterministic

JUDGE = Deterministic().judge


def once(state, event, the_spec=None):
    """One step, and no lots drawn."""
    return step(state, event, spec=the_spec or spec(), judge=JUDGE)


def bidding(*answers):
    state, _ = play(answers)
    assert isinstance(state, Bidding)
    return state


def decided(letters="xxx"):
    """A job whose winners are being asked, and the nodes that ran it."""
    state, nodes = running()
    state, performed = play([proposal(node, letter) for node, letter in zip(nodes, letters, strict=True)], state=state)
    assert isinstance(state, HandingOver)
    return state, nodes, performed


def test_who_declined_says_it_once_and_may_bid_later():
    state = bidding(Answered(PEERS[0], "full", "busy"))
    assert once(state, Answered(PEERS[0], "data", "gone")) == (state, ())
    state, effects = once(state, Answered(PEERS[0]))
    assert state.bidders == (PEERS[0],)
    assert [answer.peer for answer in state.answers] == [PEERS[0]]
    assert effects == (Note("bid", PEERS[0]),)


def test_who_bid_says_nothing_new_by_bidding_or_declining():
    state = bidding(Answered(PEERS[0]))
    assert once(state, Answered(PEERS[0])) == (state, ())
    assert once(state, Answered(PEERS[0], "full", "busy")) == (state, ())


def test_so_many_answers_and_no_more():
    the_spec = spec(min_bids=256)
    state = Bidding()
    for number in range(limits.BIDS_MAX):
        state, _ = once(state, Answered(f"p{number}", "full", "busy"), the_spec)
    assert len(state.answers) == limits.BIDS_MAX
    assert once(state, Answered("late"), the_spec) == (state, (Decline("late"),))
    assert once(state, Answered("late", "full", "busy"), the_spec) == (state, ())


def test_a_bid_between_the_last_one_needed_and_the_draw_comes_too_late():
    state = Bidding()
    for node in PEERS[:4]:
        state, effects = once(state, Answered(node))
    assert [effect for effect in effects if isinstance(effect, DrawLots)] == [DrawLots(tuple(PEERS[:4]))]
    assert once(state, Answered(PEERS[4])) == (state, (Decline(PEERS[4]),))
    assert once(state, Answered(PEERS[4], "full", "busy")) == (state, ())


def test_those_not_drawn_are_rejected_and_the_chosen_are_not():
    _, performed = play([Answered(node) for node in PEERS[:4]])
    (engage,) = [effect for effect in performed if isinstance(effect, Engage)]
    assert set(engage.rejected).isdisjoint(run.peer for run in engage.executions)
    assert len(engage.rejected) == 1


@pytest.mark.parametrize("make", [lambda: running()[0], lambda: decided()[0], lambda: play([CancelAsked()])[0]])
def test_a_late_bid_is_declined_and_a_late_decline_is_nothing(make):
    state = make()
    assert once(state, Answered(PEERS[5])) == (state, (Decline(PEERS[5]),))
    assert once(state, Answered(PEERS[5], "full", "busy")) == (state, ())


def test_nobody_speaks_for_another_node():
    state, nodes = running()
    stolen = proposal(nodes[0], "x")
    thief = Proposal(nodes[1], execution(nodes[0]), stolen.signed)
    assert once(state, thief) == (state, ())
    assert once(state, RunFailed(nodes[1], execution(nodes[0]), "trap", "t")) == (state, ())
    assert once(state, Began(nodes[1], execution(nodes[0]))) == (state, ())


def test_nobody_speaks_for_an_execution_that_it_does_not_have():
    state, nodes = running()
    assert once(state, Proposal(nodes[0], "f" * 32, proposal(nodes[0], "x").signed)) == (state, ())


def test_the_first_word_of_an_execution_is_its_last():
    state, nodes = running()
    state, _ = once(state, proposal(nodes[0], "x"))
    assert once(state, proposal(nodes[0], "y")) == (state, ())
    assert once(state, RunFailed(nodes[0], execution(nodes[0]), "trap", "t")) == (state, ())
    assert once(state, Left(nodes[0])) == (state, ())


def test_a_run_begins_once_and_may_still_propose():
    state, nodes = running()
    state, effects = once(state, Began(nodes[0], execution(nodes[0])))
    assert effects == (Note("started", nodes[0], execution(nodes[0])),)
    assert once(state, Began(nodes[0], execution(nodes[0]))) == (state, ())
    state, _ = once(state, proposal(nodes[0], "x"))
    assert [run.hash for run in state.executions if run.peer == nodes[0]] == [HASHES["x"]]


def test_only_a_proposal_that_can_count_is_worth_opening():
    state, nodes = running()
    assert expects(state, nodes[0], execution(nodes[0]))
    assert not expects(state, nodes[1], execution(nodes[0]))
    assert not expects(state, nodes[0], "f" * 32)
    state, _ = once(state, proposal(nodes[0], "x"))
    assert not expects(state, nodes[0], execution(nodes[0]))
    assert not expects(Bidding(), nodes[0], execution(nodes[0]))


def test_why_a_proposal_did_not_open_is_kept():
    state, nodes = running()
    state, effects = once(state, proposal(nodes[0], None))
    assert [run.reason for run in state.executions if run.peer == nodes[0]] == ["it does not open"]
    assert effects[0].text == "it does not open"


def test_proposals_that_do_not_open_are_votes_for_nothing_and_not_silence():
    state, nodes = running()
    state, _ = play([proposal(node, None) for node in nodes], state=state)
    assert (state.state, state.verdict.kind) == ("not_verified", "not_verified")
    assert [run.agreed for run in state.executions] == [False] * 3
    state, nodes = running()
    state, _ = play([proposal(nodes[0], "x"), *(proposal(node, None) for node in nodes[1:])], state=state)
    assert [len(group.peers) for group in state.verdict.groups] == [2, 1]


def test_a_run_without_a_proposal_has_no_side():
    state, nodes = running()
    failed = RunFailed(nodes[2], execution(nodes[2]), "trap", "t")
    state, _ = play([proposal(nodes[0], "x"), proposal(nodes[1], "x"), failed], state=state)
    assert [run.agreed for run in state.executions] == [True, True, None]


def test_only_winners_are_asked_and_in_the_order_of_the_draw():
    state, nodes, performed = decided("yxx")
    assert state.asking == (nodes[1], nodes[2])
    assert [effect.peer for effect in performed if isinstance(effect, Fetch)] == [nodes[1]]
    assert [effect.hash for effect in performed if isinstance(effect, Fetch)] == [HASHES["x"]]


def test_whoever_ran_is_dismissed_when_the_owner_cancels_and_once():
    state, nodes, _ = decided("yxx")
    ended, effects = once(state, CancelAsked())
    (dismiss,) = [effect for effect in effects if isinstance(effect, Dismiss)]
    assert [run.peer for run in dismiss.executions] == nodes[1:]  # The loser was, with the verdict.
    assert ended.verdict == state.verdict


def test_bidders_are_told_when_there_will_be_no_draw():
    state = bidding(Answered(PEERS[0]), Answered(PEERS[1], "full", "busy"), Answered(PEERS[2]))
    for event in (BidWindowClosed(), CancelAsked()):
        _, effects = once(state, event)
        assert [effect.peer for effect in effects if isinstance(effect, Decline)] == [PEERS[0], PEERS[2]]


def test_a_node_that_leaves_is_lost_and_not_late():
    state, nodes = running()
    state, _ = once(state, Left(nodes[0]))
    assert [run.code for run in state.executions if run.peer == nodes[0]] == ["lost"]
    assert isinstance(state, Running)


def test_an_ended_job_stays_as_it_is():
    state, nodes, _ = decided()
    ended, _ = once(state, CancelAsked())
    assert isinstance(ended, Ended)
    for event in (proposal(nodes[0], "x"), Left(nodes[0]), CancelAsked(), BidWindowClosed()):
        assert once(ended, event) == (ended, ())
