"""The requester's machine under any sequence of events, and the ways a job ends."""

from __future__ import annotations

import msgspec
import pytest
from doubles.peers import identity, peer
from hypothesis import given
from hypothesis import strategies as st

from node.journal.records import ResultsRecord
from node.model import Deal, JobId, JobSpec, WasmEngine
from node.requester.life import (
    Answered,
    Began,
    Bidding,
    BidWindowClosed,
    CancelAsked,
    CannotKeep,
    Decline,
    Dismiss,
    DrawLots,
    Drawn,
    Ended,
    Engage,
    Fetch,
    HandingOver,
    HandOverDeadline,
    Kept,
    Left,
    Lied,
    Note,
    NotHandedOver,
    Proposal,
    RunDeadline,
    RunFailed,
    Running,
)
from node.requester.machine import step
from node.verifier.deterministic import Deterministic
from node.verifier.draw import draw
from node.verifier.noop import Noop
from node.verifier.proposal import SignedProposal, Statement

JOB = JobId("0" * 32)
REQUESTER = identity(99)
PEERS = [peer(number) for number in range(6)]
HASHES = {letter: f"h1:{letter * 42}A=" for letter in "xyz"}


def spec(verifier="deterministic", **deal):
    deal = {"concurrency": 3, "confidence": 2, "min_bids": 4} | deal
    return JobSpec(engine=WasmEngine(module="0" * 64), verifier=verifier, deal=Deal(**deal))


def execution(node):
    return f"{PEERS.index(node):032x}"


def drawn(bidders, count):
    lots = draw(bidders, "1" * 64, JOB, 0, count)
    return Drawn(lots, tuple(execution(node) for node in lots.chosen))


def proposal(node, letter):
    if letter is None:
        return Proposal(node, execution(node), None, "it does not open")
    statement = Statement(
        job=JOB,
        execution=execution(node),
        node=node,
        requester=REQUESTER.peer_id,
        hash=HASHES[letter],
        salt="2" * 64,
    )
    return Proposal(node, execution(node), SignedProposal(statement, bytes(64)))


def play(events, the_spec=None, state=None):
    """Feed events; draw lots when asked to, as the role does. Returns the state and every effect."""
    the_spec = the_spec or spec()
    judge = (Deterministic() if the_spec.verifier == "deterministic" else Noop()).judge
    state, performed, waiting = state or Bidding(), [], list(events)
    while waiting:
        state, effects = step(state, waiting.pop(0), spec=the_spec, judge=judge)
        performed.extend(effects)
        for effect in effects:
            if isinstance(effect, DrawLots):
                waiting.insert(0, drawn(effect.bidders, the_spec.deal.concurrency))
    return state, performed


def running(the_spec=None):
    """A job whose lots are drawn, and the chosen nodes."""
    state, _ = play([Answered(node) for node in PEERS[: (the_spec or spec()).deal.bids_needed]], the_spec)
    assert isinstance(state, Running)
    return state, [run.peer for run in state.executions]


def kept(node):
    return Kept(ResultsRecord(hash=HASHES["x"], files=3, bytes=5, peer=node, folder="f"))


def test_nobody_is_chosen_before_min_bids_are_in():
    state, performed = play([Answered(node) for node in PEERS[:3]])
    assert isinstance(state, Bidding)
    assert not any(isinstance(effect, Engage | DrawLots) for effect in performed)


def test_at_min_bids_exactly_concurrency_are_engaged_and_the_others_told():
    state, performed = play([Answered(node) for node in PEERS[:4]])
    (engage,) = [effect for effect in performed if isinstance(effect, Engage)]
    assert isinstance(state, Running)
    assert len(engage.executions) == 3
    assert {run.peer for run in engage.executions} | set(engage.rejected) == set(PEERS[:4])


def test_a_later_bid_is_declined():
    state, _ = running()
    assert play([Answered(PEERS[5])], state=state) == (state, [Decline(PEERS[5])])


def test_a_node_that_answers_twice_is_heard_once():
    state, _ = play([Answered(PEERS[0]), Answered(PEERS[0]), Answered(PEERS[0], "full", "busy")])
    assert len(state.answers) == 1


def test_a_bidder_that_left_does_not_count_and_may_bid_again():
    state, _ = play([Answered(PEERS[0]), Left(PEERS[0])])
    assert state == Bidding()
    state, _ = play([Answered(PEERS[0])], state=state)
    assert state.bidders == (PEERS[0],)


def test_too_few_bids_say_how_many_came_and_why_the_others_declined():
    events = [Answered(PEERS[0]), *(Answered(node, "data", "does not hold apples") for node in PEERS[1:3])]
    state, _ = play([*events, BidWindowClosed()])
    assert isinstance(state, Ended)
    assert (state.state, state.failure.code) == ("failed", "bids")
    assert "1 of the 4 bids" in state.failure.reason
    assert "2 declined: does not hold apples" in state.failure.reason


def test_all_agree_and_the_results_are_kept():
    state, nodes = running()
    state, performed = play([proposal(node, "x") for node in nodes], state=state)
    assert isinstance(state, HandingOver)
    assert state.verdict.kind == "verified"
    assert [effect.peer for effect in performed if isinstance(effect, Fetch)] == nodes[:1]
    state, performed = play([kept(nodes[0])], state=state)
    assert (state.state, state.results.peer) == ("completed", nodes[0])
    assert {run.peer for effect in performed if isinstance(effect, Dismiss) for run in effect.executions} == set(nodes)


def test_the_loser_of_a_vote_is_dismissed_with_the_verdict():
    state, nodes = running()
    state, performed = play([proposal(node, letter) for node, letter in zip(nodes, "xyx", strict=True)], state=state)
    (dismiss,) = [effect for effect in performed if isinstance(effect, Dismiss)]
    assert [run.peer for run in dismiss.executions] == [nodes[1]]
    assert [run.agreed for run in state.executions] == [True, False, True]


def test_a_draw_is_not_verified_and_everyone_is_dismissed():
    state, nodes = running()
    state, performed = play([proposal(node, letter) for node, letter in zip(nodes, "xyz", strict=True)], state=state)
    assert (state.state, state.verdict.kind) == ("not_verified", "not_verified")
    assert len(performed[-2].executions) == 3
    assert not any(run.agreed for run in state.executions)


def test_the_hash_of_a_proposal_stays_out_of_the_history_until_the_verdict():
    state, nodes = running()
    _, performed = play([proposal(node, "x") for node in nodes[:2]], state=state)
    assert not any(HASHES["x"] in effect.text for effect in performed if isinstance(effect, Note))


def test_a_proposal_that_does_not_open_votes_for_nothing():
    state, nodes = running()
    state, _ = play([proposal(nodes[0], None), *(proposal(node, "x") for node in nodes[1:])], state=state)
    assert isinstance(state, HandingOver)
    assert state.executions[0].agreed is False
    assert nodes[0] not in state.proposals


@pytest.mark.parametrize("end", [RunDeadline(), None])
def test_lost_and_late_nodes_do_not_hold_up_the_vote(end):
    state, nodes = running()
    last = Left(nodes[2]) if end is None else end
    state, _ = play([proposal(nodes[0], "x"), proposal(nodes[1], "x"), last], state=state)
    assert isinstance(state, HandingOver)
    assert state.executions[2].code == ("lost" if end is None else "late")


def test_when_every_run_fails_the_reason_is_theirs():
    state, nodes = running()
    failures = [RunFailed(node, execution(node), "trap", "unreachable") for node in nodes]
    state, _ = play(failures, state=state)
    assert (state.state, state.failure.code) == ("failed", "executions")
    assert "3 of 3 ended with trap: unreachable" in state.failure.reason


def test_when_every_run_runs_out_of_time_the_job_timed_out():
    state, nodes = running()
    state, _ = play([RunFailed(nodes[0], execution(nodes[0]), "time", "over"), RunDeadline()], state=state)
    assert state.failure.code == "time"


def test_a_winner_that_lies_is_named_and_the_next_is_asked():
    state, nodes = running()
    state, _ = play([proposal(node, "x") for node in nodes], state=state)
    state, performed = play([Lied(nodes[0], "stdout is not the file that won")], state=state)
    assert state.executions[0].lied == "stdout is not the file that won"
    assert [effect.peer for effect in performed if isinstance(effect, Fetch)] == [nodes[1]]
    assert Note("liar", nodes[0], text="stdout is not the file that won") in performed


def test_when_no_winner_hands_over_the_job_fails_clearly():
    state, nodes = running()
    state, _ = play([proposal(node, "x") for node in nodes], state=state)
    state, _ = play([Lied(nodes[0], "a"), NotHandedOver(nodes[1], "b"), NotHandedOver(nodes[2], "c")], state=state)
    assert (state.state, state.failure.code) == ("failed", "hand_over")
    assert "c" in state.failure.reason


def test_only_the_winner_that_is_asked_can_end_its_turn():
    state, nodes = running()
    state, _ = play([proposal(node, "x") for node in nodes], state=state)
    assert play([Lied(nodes[1], "a"), NotHandedOver(nodes[2], "b")], state=state) == (state, [])


@pytest.mark.parametrize(("event", "code"), [(CannotKeep("disk full"), "room"), (HandOverDeadline(), "hand_over")])
def test_results_that_cannot_be_had_or_kept_end_the_job(event, code):
    state, nodes = running()
    state, _ = play([proposal(node, "x") for node in nodes], state=state)
    state, performed = play([event], state=state)
    assert (state.state, state.failure.code) == ("failed", code)
    assert any(isinstance(effect, Dismiss) for effect in performed)


def test_noop_takes_the_first_word_and_never_calls_it_verified():
    the_spec = spec("noop", concurrency=1, confidence=None, min_bids=0)
    state, nodes = running(the_spec)
    state, _ = play([proposal(nodes[0], "x")], the_spec, state)
    assert state.verdict.kind == "unchecked"


def test_cancelling_dismisses_everyone_wherever_the_job_is():
    assert play([CancelAsked()])[0].state == "cancelled"
    state, nodes = running()
    after, performed = play([CancelAsked()], state=state)
    assert after.state == "cancelled"
    assert {run.code for run in after.executions} == {"cancelled"}
    assert {run.peer for effect in performed if isinstance(effect, Dismiss) for run in effect.executions} == set(nodes)


NODES = st.sampled_from(PEERS)
EVENTS = st.one_of(
    st.builds(Answered, NODES),
    st.builds(Answered, NODES, st.just("full"), st.just("busy")),
    st.builds(Left, NODES),
    NODES.map(lambda node: Began(node, execution(node))),
    st.tuples(NODES, st.sampled_from(["x", "y", "z", None])).map(lambda pair: proposal(*pair)),
    NODES.map(lambda node: RunFailed(node, execution(node), "trap", "t")),
    # Somebody else's execution under one's own name:
    st.tuples(NODES, NODES).map(lambda pair: msgspec_replace(proposal(pair[0], "x"), execution(pair[1]))),
    st.sampled_from([BidWindowClosed(), RunDeadline(), CancelAsked(), HandOverDeadline()]),
    st.builds(Lied, NODES, st.just("l")),
    st.builds(NotHandedOver, NODES, st.just("n")),
    NODES.map(kept),
)


def msgspec_replace(event, other_execution):
    return Proposal(event.peer, other_execution, event.signed)


@given(st.permutations(PEERS), st.lists(EVENTS, max_size=30))
def test_invariants_hold_whatever_arrives(order, noise):
    """A plausible opening first: pure noise would hardly ever get past bidding."""
    the_spec = spec()
    state, engaged = Bidding(), []
    for event in [*map(Answered, order[:4]), *noise]:
        before = state
        if isinstance(event, Kept) and not isinstance(state, HandingOver):
            continue  # The role keeps only what it fetches.
        state, performed = play([event], the_spec, state)
        engaged += [run.peer for effect in performed if isinstance(effect, Engage) for run in effect.executions]
        if isinstance(before, Ended):
            assert state == before
            assert all(isinstance(effect, Decline) for effect in performed)
        if isinstance(state, Ended) and not isinstance(before, Ended):
            _check_end(state, the_spec.deal)
        if isinstance(state, Running):
            assert any(run.state in ("accepted", "running") for run in state.executions)
            for run in state.executions:
                assert execution(run.peer) == run.execution
    assert len(engaged) == len(set(engaged)) <= the_spec.deal.concurrency


def _check_end(state, deal):
    assert msgspec.msgpack.encode(state.executions)
    if state.state == "completed":
        agreeing = [run for run in state.executions if run.agreed]
        assert len({run.peer for run in agreeing}) >= deal.confidence
        assert {run.hash for run in agreeing} == {state.verdict.hash}
        assert state.results is not None
    else:
        assert state.results is None
        assert state.failure or state.verdict or state.state == "cancelled"
