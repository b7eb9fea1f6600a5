"""What a shard does whose vote nobody won: groups are asked what they differ in, and it ends all the same."""

from __future__ import annotations

import pytest
from unit.shards import HASHES, dismissed, play, proposal, running, spec

from node.journal.records import Failure
from node.requester.effects import Compare, Note
from node.requester.life import Compared, Comparing, Left, Stopped
from node.requester.record import shard_record


def test_after_a_draw_a_node_of_each_group_is_asked_what_they_differ_in():
    state, nodes = running()
    state, performed = play([proposal(node, letter) for node, letter in zip(nodes, "xyz", strict=True)], state)
    assert isinstance(state, Comparing)
    (asked,) = [effect for effect in performed if isinstance(effect, Compare)]
    assert sorted(run.peer for group in asked.groups for run in group) == sorted(nodes)
    assert not dismissed(performed)
    shown = shard_record(state)
    assert (shown.state, shown.verdict.kind) == ("running", "not_verified")
    state, performed = play([proposal(nodes[0], "x"), Left(nodes[1]), Compared("groups differ in: stdout")], state)
    assert state.record.verdict.reason.endswith("; groups differ in: stdout")
    assert [effect.text for effect in performed if isinstance(effect, Note)] == ["groups differ in: stdout"]
    assert dismissed(performed) == nodes


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_comparison_ends_with_its_job(end):
    state, nodes = running()
    failure = None if end == "cancelled" else Failure(code="time", reason="over")
    votes = [proposal(node, letter) for node, letter in zip(nodes, "xyz", strict=True)]
    state, performed = play([*votes, Stopped(failure), Compared("late")], state)
    assert (state.record.state, state.record.failure) == (end, failure)
    assert "late" not in state.record.verdict.reason
    assert dismissed(performed) == nodes


def test_the_largest_groups_are_asked_and_proposals_that_did_not_open_are_none():
    the_spec = spec(concurrency=6, confidence=6)
    state, nodes = running(the_spec)
    votes = [proposal(node, letter) for node, letter in zip(nodes, ["y", "x", None, "x", "z", "x"], strict=True)]
    _, performed = play(votes, state, the_spec)
    (asked,) = [effect for effect in performed if isinstance(effect, Compare)]
    assert [{run.hash for run in group} for group in asked.groups] == [{HASHES[letter]} for letter in "xyz"]
    assert [len(group) for group in asked.groups] == [3, 1, 1]
