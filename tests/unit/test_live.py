"""How often a job is offered: to each node so often, to so many nodes, and no more."""

from __future__ import annotations

from contract.journals import record

from node import limits
from node.requester.live import LiveJob


def test_a_node_that_comes_and_goes_is_asked_so_often():
    live = LiveJob(record(), 100, 8)
    assert [live.ask("p") for _ in range(limits.OFFERS_PER_PEER + 1)] == [True] * limits.OFFERS_PER_PEER + [False]
    assert live.asked == {"p"}


def test_so_many_nodes_are_asked_and_those_may_still_come_back():
    live = LiveJob(record(), 100, 8)
    assert all(live.ask(f"p{number}") for number in range(limits.BIDS_MAX))
    assert not live.ask("one more")
    assert "one more" not in live.asked
    assert live.ask("p0")
