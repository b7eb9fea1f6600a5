"""Accepts that no honest requester sends: each is answered, and nothing of any stays on the node."""

from __future__ import annotations

import pytest
import trio
from sim.cluster import says, spec
from sim.test_hostile_requesters import play

from node import limits
from node import messages as m
from node.model import CidInput

CID = "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"
WITH_INPUT = spec("noop", inputs=(CidInput(cid=CID, path="/inputs"),))


def data_on(nodes):
    folder = nodes.folder / "0" / "unsealed" / CID
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "out").symlink_to("/etc")


@pytest.mark.parametrize(
    "paths",
    [
        ("/inputs/../../etc/passwd",),
        ("/etc/passwd",),
        ("/inputs/out/passwd",),
        ("/inputs/out",),
        ("/inputs/a.txt", "/inputs/no"),
        ("/inputs/a.txt/",),
        ("/inputs/" + "x" * 300,),
        ("/inputs/" + "d/" * 2000 + "x",),
    ],
    ids=range(8),
)
def test_a_path_that_leads_anywhere_else_fails_the_execution(paths):
    async def scenario(hostile, nodes):
        data_on(nodes)
        job = hostile.offer(WITH_INPUT)
        bid = await hostile.hears(m.Bid, job=job)
        assert bid.holds
        hostile.say(m.Accept(job, 0, "e" * 32, paths))
        failed = await hostile.hears(m.Failed, execution="e" * 32)
        assert failed.code == "data"
        hostile.say(m.Accept(job, 1, "f" * 32, ("/inputs/a.txt",)))
        await hostile.hears(m.Proposed, execution="f" * 32)

    play(scenario, says(b"r"))


def test_an_accept_without_an_offer_is_answered():
    async def scenario(hostile, nodes):
        hostile.say(m.Accept("d" * 32, 0, "e" * 32))
        failed = await hostile.hears(m.Failed, execution="e" * 32)
        assert failed.code == "full"
        job = await hostile.given(spec("noop"), "f" * 32)
        await hostile.hears(m.Proposed, execution="f" * 32)
        hostile.say(m.BidRejected(job), m.Accept(job, 1, "a" * 32))
        await hostile.hears(m.Failed, execution="a" * 32)

    play(scenario, says(b"r"))


def test_one_offer_is_no_way_around_the_limit_of_executions():
    async def scenario(hostile, nodes):
        count = limits.EXECUTIONS_PER_REQUESTER + 10
        job = hostile.offer(spec("noop"))
        await hostile.hears(m.Bid, job=job)
        hostile.say(*(m.Accept(job, 0, f"{number:032x}") for number in range(count)))
        await trio.sleep(5)
        refused = [message for message in hostile.heard if isinstance(message, m.Failed)]
        assert [message.code for message in refused] == ["full"] * 10
        assert len(nodes.nodes[0].compute._given) == limits.EXECUTIONS_PER_REQUESTER

    play(scenario, says(b"r", takes_s=20.0))


def test_paths_count_as_what_they_take():
    async def scenario(hostile, nodes):
        data_on(nodes)
        job = hostile.offer(WITH_INPUT)
        await hostile.hears(m.Bid, job=job)
        hostile.say(*(m.Accept(job, 0, f"{number:032x}", ("/inputs/a.txt",) * 40_000) for number in range(2)))
        refused = await hostile.hears(m.Failed)
        assert (refused.execution, refused.code) == (f"{1:032x}", "full")
        await hostile.hears(m.Proposed, execution=f"{0:032x}")

    play(scenario, says(b"r", takes_s=20.0))


def test_results_wait_as_long_as_their_requester_speaks_of_the_job():
    async def scenario(hostile, nodes):
        job = await hostile.given(spec("noop"), "a" * 32)
        await hostile.hears(m.Proposed, execution="a" * 32)
        for number in range(4):
            await trio.sleep(limits.RESULTS_KEPT_S * 0.9)
            hostile.say(m.Accept(job, 1, f"{number:032x}"))
            await hostile.hears(m.Proposed, execution=f"{number:032x}")
            hostile.say(m.Release(f"{number:032x}"))
        assert "a" * 32 in nodes.nodes[0].compute._given
        await trio.sleep(limits.RESULTS_KEPT_S + limits.ROOM_S_MIN + 200)
        assert "a" * 32 not in nodes.nodes[0].compute._given

    play(scenario, says(b"r"))
