"""An operator's choice, from the offer to the words that the job's owner reads."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from doubles.peers import peer
from doubles.requesters import by_hand
from sim.cluster import CLIENT, MODULE_SHA256, cluster, says, simulate, spec

from node import limits
from node import messages as m
from node.config import SelectionConfig
from node.model import CidInput
from node.storage.base import Prepared
from node.storage.sources import Sources
from node.wiring import Node

INPUT = (CidInput(cid="x", path="/inputs"),)


class Shelf:
    """One input, of which so many bytes are to be fetched: by the first look, the second, …"""

    name = "shelf"

    def __init__(self, folder, *sizes):
        self._folder = folder
        self._sizes = list(sizes)

    async def to_fetch(self, ref):
        await trio.lowlevel.checkpoint()
        return self._sizes.pop(0)

    @asynccontextmanager
    async def prepared(self, ref, origin):
        yield Prepared(self._folder, self.name)


class Probe:
    """Says what it is told to, after so long."""

    def __init__(self, says=None, takes_s=0.0):
        self._says = says
        self._takes_s = takes_s
        self.asked = []

    async def refusal(self, question, requester):
        self.asked.append((question, requester))
        await trio.sleep(self._takes_s)
        return self._says


def ends(job, *sizes, probe=None, **selection):
    """A job on one node with this policy: its record."""
    made = []

    def choosy(parts):
        storage = Sources({CidInput: Shelf(parts.data_dir, *sizes)}) if sizes else parts.storage
        return Node(replace(parts, selection=SelectionConfig(**selection), probe=probe, storage=storage))

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"), node=choosy)
            made.append(await nodes.submit(job))

    simulate(main)
    return made[0]


def declined(record):
    (answer,) = record.answers
    return answer.code, answer.reason


def test_data_that_would_have_to_be_fetched_is_no_local_data():
    assert ends(spec("noop", inputs=INPUT), 0, 0, data_locality="local").state == "completed"
    record = ends(spec("noop", inputs=INPUT), 5, data_locality="local")
    assert declined(record) == ("policy", "its operator takes jobs alone whose data it holds already")
    assert ends(spec("noop", inputs=INPUT), 5, data_locality="anywhere").state == "completed"


def test_what_was_evicted_between_bid_and_run_is_not_fetched_either():
    record = ends(spec("noop", inputs=INPUT), 0, 5, data_locality="local")
    (run,) = record.executions
    assert (run.code, run.reason) == ("data", "this node no longer holds x, and its operator has no data fetched")


def test_a_job_without_data_is_refused_where_the_operator_wants_none():
    assert declined(ends(spec("noop"), rejects_stateless=True))[0] == "policy"
    assert ends(spec("noop", inputs=INPUT), 0, rejects_stateless=True).state == "completed"


def test_the_lists_of_programs_and_clients():
    assert ends(spec("noop"), modules=frozenset({MODULE_SHA256})).state == "completed"
    assert declined(ends(spec("noop"), modules=frozenset())) == ("policy", "its operator runs listed programs alone")
    assert ends(spec("noop"), clients=frozenset({CLIENT})).state == "completed"
    assert ends(spec("noop"), clients=frozenset({peer(0)})).state == "completed"
    assert declined(ends(spec("noop"), clients=frozenset({peer(1)})))[0] == "policy"


def test_a_probe_decides_alone_and_its_words_reach_the_owner():
    yes, no = Probe(), Probe("not on Sundays")
    assert ends(spec("noop"), probe=yes, rejects_stateless=True).state == "completed"
    assert yes.asked[0][1] == peer(0)
    assert declined(ends(spec("noop"), probe=no)) == ("policy", "not on Sundays")
    assert ends(spec("noop", inputs=INPUT), 5, 5, probe=Probe(), data_locality="local").state == "completed"


def test_a_probe_is_not_asked_about_what_the_node_could_not_run():
    probe = Probe()
    assert declined(ends(spec("noop", timeout_s=limits.TIMEOUT_S_MAX, inputs=INPUT), probe=probe))[0] == "data"
    assert declined(ends(spec("noop"), probe=probe, modules=frozenset()))[0] == "policy"
    assert probe.asked == []


@pytest.mark.parametrize("takes_s", [30.0, 10_000.0])
def test_a_slow_probe_holds_up_nothing_but_its_own_offer(takes_s):
    """Not another requester's offers, nor the node's answers, nor its memory of a requester that has left."""
    slow = Probe(takes_s=takes_s)

    def choosy(parts):
        return Node(replace(parts, selection=SelectionConfig(), probe=slow))

    async def main():
        async with cluster(2) as nodes:
            await nodes.start(says(b"r"), node=choosy)
            stranger = await by_hand(nodes, 9)
            offers = [stranger.offer(spec("noop")) for _ in range(limits.OFFERS_CONSIDERED_PER_PEER + 1)]
            declined = await stranger.hears(m.Decline, job=offers[-1])
            assert declined.reason == "too many offers of yours are being looked at"
            assert len(slow.asked) == limits.OFFERS_CONSIDERED_PER_PEER
            if takes_s < 100:
                await stranger.hears(m.Bid, job=offers[0])
            nodes.network.lose(peer(0), peer(9))
            await trio.sleep(60)
            assert not nodes.nodes[0].compute._accounts

    simulate(main)
