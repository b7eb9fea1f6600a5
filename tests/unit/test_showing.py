"""Whose output a client is shown, and what is said where there is none."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.receipts import FILES, HONEST, ONE_LIAR, finished, spec_of
from unit.shards import PEERS, execution, play, proposal, running, waiting

from node.errors import Conflict, NotFound
from node.journal.records import Failure, ResultsRecord, ShardRecord
from node.model import IpfsPublisher, NonePublisher
from node.requester.life import Began, Left, Running, TurnCame
from node.requester.showing import is_kept_output, kept_as, once_closed, while_open, why_not_kept


def began(state, *nodes):
    return play([Began(node, execution(node)) for node in nodes], state)[0]


def test_nothing_is_shown_before_anything_started():
    state, _ = running()
    assert while_open(state, "", None) is None
    assert while_open(waiting(), "", None) is None


def test_the_first_that_started_is_shown_whatever_the_order_of_the_draw():
    state, nodes = running()
    assert while_open(began(state, nodes[2], nodes[0]), "", None).peer == nodes[2]


def test_one_that_failed_since_is_passed_over():
    state, nodes = running()
    state, _ = play([Left(nodes[2])], began(state, nodes[2], nodes[0]))
    assert while_open(state, "", None).peer == nodes[0]


def test_what_was_shown_stays_even_where_it_failed():
    state, nodes = running()
    state, _ = play([Left(nodes[2])], began(state, nodes[2], nodes[0]))
    assert while_open(state, "", execution(nodes[2])).peer == nodes[2]


def test_another_than_the_one_shown_is_refused_until_the_vote_is_closed():
    state, nodes = running()
    with pytest.raises(Conflict, match=f"that of {execution(nodes[0])}"):
        while_open(began(state, *nodes), execution(nodes[1]), execution(nodes[0]))


def test_one_may_be_asked_for_by_the_beginning_of_its_id_before_any_was_shown():
    state, nodes = running()
    assert while_open(state, execution(nodes[1]), None).peer == nodes[1]
    with pytest.raises(Conflict, match="several"):
        while_open(state, "0", None)
    with pytest.raises(NotFound):
        while_open(state, "f", None)


@given(st.permutations(PEERS[:3]), st.lists(st.sampled_from(["", *map(execution, PEERS[:3]), "0", "f"]), max_size=8))
def test_of_an_open_vote_no_two_are_ever_shown(order, asked):
    state = began(running()[0], *order)
    shown, all_shown = None, set()
    for each in asked:
        try:
            run = while_open(state, each, shown)
        except (NotFound, Conflict):
            continue
        shown = run.execution
        all_shown.add(shown)
    assert len(all_shown) <= 1


def test_the_vote_is_open_until_the_last_run_has_ended():
    state, nodes = running()
    state, _ = play([proposal(node, "x") for node in nodes[:2]], began(state, *nodes))
    assert isinstance(state, Running)
    assert while_open(state, "", None).peer == nodes[0]


def test_turns_that_have_not_come_are_not_shown_by_themselves():
    state, _ = play([TurnCame(PEERS[0])], waiting())
    assert while_open(state, "", None) is None


# A vote that is closed ---------------------------------------------------------------------------

FACTS = finished(spec_of(), ONE_LIAR)
SHARD = FACTS.shards[0]
RECORD = msgspec.structs.replace(FACTS.record, results=ResultsRecord(hash="h1:x", files=4, bytes=9, folder="x"))
LIAR = next(run for run in SHARD.executions if run.hash != SHARD.verdict.hash)
JUDGED = msgspec.structs.replace(
    SHARD,
    executions=tuple(msgspec.structs.replace(run, agreed=run is not LIAR) for run in SHARD.executions),
)
OTHER = next(run for run in JUDGED.executions if run.agreed and run.peer != SHARD.results.peer)


def test_then_what_won_is_shown_unless_another_is_asked_for_or_was_shown_before():
    assert once_closed(JUDGED, "", None).peer == SHARD.results.peer
    assert once_closed(JUDGED, "", LIAR.execution).peer == LIAR.peer
    assert once_closed(JUDGED, LIAR.execution, None).peer == LIAR.peer
    assert once_closed(JUDGED, "", "f" * 32).peer == SHARD.results.peer
    assert once_closed(ShardRecord(shard=0), "", None) is None
    with pytest.raises(NotFound):
        once_closed(JUDGED, "f" * 32, None)


def test_the_streams_that_are_kept_are_those_of_all_who_agreed_if_they_were_voted_on():
    assert is_kept_output(OTHER, JUDGED, RECORD)
    assert not is_kept_output(LIAR, JUDGED, RECORD)
    outputs = msgspec.structs.replace(RECORD, spec=spec_of(vote_on="outputs"))
    assert not is_kept_output(OTHER, JUDGED, outputs)
    source = next(run for run in JUDGED.executions if run.peer == SHARD.results.peer)
    assert is_kept_output(source, JUDGED, outputs)


def test_what_is_kept_is_worth_what_was_compared():
    assert "won the vote" in kept_as(RECORD, JUDGED)
    assert "not voted on" in kept_as(msgspec.structs.replace(RECORD, spec=spec_of(vote_on="outputs")), JUDGED)
    noop = finished(spec_of("noop"), HONEST, FILES)
    assert "nothing was compared" in kept_as(noop.record, noop.shards[0])


def test_a_sentence_says_why_nothing_is_kept():
    assert why_not_kept(RECORD, JUDGED) is None
    failed = ShardRecord(shard=0, state="failed", failure=Failure(code="time", reason="over"))
    assert why_not_kept(RECORD, failed) == "nothing is kept of its output: failed (over)"
    assert why_not_kept(RECORD, ShardRecord(shard=0, state="cancelled")).endswith("cancelled")
    for publisher, said in ((NonePublisher(), "publisher none"), (IpfsPublisher(), "ipfs://x")):
        the_spec = msgspec.structs.replace(RECORD.spec, publisher=publisher)
        at = msgspec.structs.replace(JUDGED.results, location="ipfs://x")
        shard = msgspec.structs.replace(JUDGED, results=at)
        assert said in why_not_kept(msgspec.structs.replace(RECORD, spec=the_spec), shard)
