"""Output of jobs that have ended, or not begun: what is kept and whose it is, or why there is none."""

from __future__ import annotations

import msgspec
import pytest
import trio
from doubles.peers import peer
from sim.cluster import CLIENT, spec
from sim.followed import TICKS, items, play, said, submitted, talks, texts

from node.errors import ExecutionFailed
from node.model import LocalPublisher, NonePublisher
from node.requester.jobs import LogsAsked, Seen


@pytest.mark.parametrize(
    ("script", "changes", "why"),
    [
        (talks(failure=ExecutionFailed("trap", "unreachable")), {}, "trap: unreachable"),
        (TICKS, {"publisher": NonePublisher()}, "publisher none"),
        (TICKS, {"publisher": "shared"}, "file://"),
    ],
)
def test_where_nothing_is_kept_a_sentence_says_why(script, changes, why):
    async def scenario(nodes):
        shared = {"publisher": LocalPublisher(folder=str(nodes.shared))}
        the_job = msgspec.structs.replace(spec("noop"), **(shared if changes.get("publisher") == "shared" else changes))
        job = await submitted(nodes, the_job)
        await nodes.nodes[0].jobs.wait(CLIENT, job, 1000)
        shown = await items(nodes, job)
        assert said(shown) == b""
        assert why in texts(shown, "end")[0]

    play([script], scenario)


def test_results_that_their_owner_deleted_are_said_to_be_gone():
    async def scenario(nodes):
        job = await submitted(nodes, spec("noop"))
        record = await nodes.nodes[0].jobs.wait(CLIENT, job, 1000)
        nodes.nodes[0].results.delete(record)
        assert "not kept any more" in texts(await items(nodes, job), "end")[0]

    play([TICKS], scenario)


def test_before_anything_runs_a_follower_waits_and_one_who_does_not_hears_so():
    async def scenario(nodes):
        job = await submitted(nodes, spec("noop", min_bids=2, bid_window_s=20.0))
        assert "has started yet" in texts(await items(nodes, job, LogsAsked()), "end")[0]
        shown = await items(nodes, job)
        assert "1 of the 2 bids" in texts(shown, "end")[0]

    play([TICKS], scenario)


def test_streams_that_were_not_voted_on_are_shown_as_one_nodes_word():
    async def scenario(nodes):
        job = await submitted(nodes, msgspec.structs.replace(spec(concurrency=2), vote_on="outputs"))
        await nodes.nodes[0].jobs.wait(CLIENT, job, 1000)
        shown = await items(nodes, job)
        assert said(shown) in (b"one\ntwo\nend\n", b"lie\n")
        assert "it was not voted on" in shown[0][1].text

    play([TICKS, talks((1.0, "stdout", b"lie\n"))], scenario)


def test_what_a_loser_said_is_not_passed_off_as_what_won():
    async def scenario(nodes):
        job = await submitted(nodes, spec(concurrency=3))
        await trio.sleep(5)
        (shard,) = await nodes.nodes[0].jobs.shards(CLIENT, job, limit=1)
        liar = next(run.execution for run in shard.executions if run.peer == peer(2))
        shown = await items(nodes, job, LogsAsked(execution=liar, follow=True))
        assert said(shown).startswith(b"lie\n")
        assert b"one" not in said(shown)
        assert "nothing more is kept of this output" in texts(shown, "end")[0]
        assert said(await items(nodes, job, LogsAsked())) == b"one\ntwo\nend\n"
        back = await items(nodes, job, LogsAsked(seen=Seen(execution=liar, stdout=4)))
        assert (said(back), len(texts(back, "end"))) == (b"", 1)
        later = await items(nodes, job, LogsAsked(execution=liar))
        assert (said(later), len(texts(later, "end"))) == (b"", 1)

    play([TICKS, TICKS, talks((1.0, "stdout", b"lie\n"))], scenario)
