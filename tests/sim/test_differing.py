"""A vote that nobody won: the job says which files differ, soon, and whatever the nodes of the groups do then."""

from __future__ import annotations

import msgspec
import pytest
import trio
from doubles.hostile import Hostile, each, manifest_for, never
from doubles.peers import identity, peer
from doubles.requesters import by_hand
from sim.cluster import CLIENT, cluster, says, simulate, spec
from sim.sharded import plant, receipt_holds, sharded

from node import limits
from node import messages as m
from node.errors import BlobRefused
from node.executor.scripted import Play
from node.transport.base import Blob
from node.verifier.manifest import render_sized

FILES = {"stdout": b"r", "stderr": b"", "exitCode": b"0", "outputs/a.txt": b"rr"}
LIAR = 9


def writes(takes_s=1.0, **changes):
    files = FILES | {name.replace("__", "/") + (".txt" if "__" in name else ""): text for name, text in changes.items()}
    outputs = {name: text for name, text in files.items() if "/" in name}
    play = Play(stdout=files["stdout"], stderr=files["stderr"], files=outputs, takes_s=takes_s)
    return lambda _: play


def play(scripts, job=None, hostile=None, during=None):
    """Run a job nobody agrees on. Returns its record, its events and the hostile node."""

    async def main():
        async with cluster(1) as nodes:
            for script in scripts:
                await nodes.start(script)
            made = None
            if hostile is not None:
                made = hostile(nodes.network.join(peer(LIAR)))
                await nodes.nursery.start(made.run, nodes.transports[0].addresses[0])
            await nodes.settled()
            jobs = nodes.nodes[0].jobs
            count = len(scripts) + (made is not None)
            submitted = await jobs.submit(CLIENT, job or spec(concurrency=count, confidence=count))
            if during is not None:
                nodes.nursery.start_soon(during, nodes)
            record = await nodes.told(await jobs.wait(CLIENT, submitted.job, 100_000))
            async with jobs.events(CLIENT, record.job, 0) as events:
                return record, [event async for event in events], made

    return simulate(main)


def compared(events):
    (text,) = [event.text for event in events if event.kind == "compared"]
    return text


def test_the_files_that_differ_are_named_in_an_event_and_in_the_reason():
    record, events, _ = play([writes(), writes(), writes(stdout=b"x", outputs__a=b"?")])
    assert record.state == "not_verified"
    assert compared(events) == "groups differ in: stdout, outputs/a.txt"
    assert record.verdict.reason == "2 of 3 agree where 3 must; groups differ in: stdout, outputs/a.txt"
    assert record.reason == record.verdict.reason
    kinds = [event.kind for event in events]
    assert kinds.index("verdict") < kinds.index("compared") < kinds.index("ended")


def test_where_streams_alone_differ_the_reason_says_what_to_do():
    record, _, _ = play([writes(), writes(stderr=b"12:04")])
    assert "groups differ in: stderr; --vote-on outputs leaves" in record.reason


def test_what_does_not_count_is_not_named():
    job = msgspec.structs.replace(spec(concurrency=2, confidence=2), vote_on="outputs")
    record, _, _ = play([writes(stderr=b"1"), writes(stderr=b"2", outputs__a=b"?")], job)
    assert record.reason.endswith("groups differ in: outputs/a.txt")


def test_nothing_is_left_on_the_nodes_afterwards():
    async def main():
        async with cluster(1) as nodes:
            for script in (writes(), writes(stdout=b"x")):
                await nodes.start(script)
            await nodes.settled()
            record = await nodes.submit(spec(concurrency=2, confidence=2))
            await trio.sleep(10)
            assert record.state == "not_verified"
            assert list(nodes.folder.glob("*/scratch/*")) == []

    simulate(main)


def test_a_verified_job_asks_nobody():
    _, events, _ = play([says(b"r")] * 3)
    assert not any(event.kind == "compared" for event in events)


def test_each_shard_has_its_own_and_the_receipt_tells_it():
    async def main():
        async with cluster(2) as nodes:
            for lie in (b"", b"", b"lie"):
                await nodes.start(lambda task, lie=lie: _cat(task, lie))
            plant(nodes, 3)
            await nodes.settled()
            record = await nodes.submit(sharded(concurrency=3, confidence=3))
            assert [shard.state for shard in record.told] == ["completed", "not_verified", "completed"]
            assert "groups differ in: stdout" in record.told[1].verdict.reason
            holds = await receipt_holds(nodes, record)
            assert "groups differ in: stdout" in holds.predicate.shards[1].reason

    simulate(main)


def _cat(task, lie):
    text = b"".join(path.read_bytes() for mount in task.inputs for path in [mount.host])
    return Play(stdout=lie if lie and text == b"line 1\n" else text, takes_s=1.0)


# Hostile nodes -----------------------------------------------------------------------------------

OTHER, CONTENTS = manifest_for(FILES | {"stdout": b"of the liar"})
SIZES = tuple(map(len, CONTENTS))
HONEST, _ = manifest_for(FILES)
THIRD, _ = manifest_for(FILES | {"outputs/a.txt": b"no"})
LIE = render_sized(THIRD, SIZES)


def liar(tells):
    def made(transport):
        return Hostile(identity(LIAR), transport, OTHER.h1(), lambda _: None, tells=tells)

    return made


def refuses(_):
    raise BlobRefused("gone")


TRUTH = render_sized(OTHER, SIZES)
ANSWERS = {
    "refuses": refuses,
    "is silent": lambda _: Blob(10, never()),
    "sends rubbish": lambda _: Blob(4, each([b"\xff\0\n\n"])),
    "sends the list of another result": lambda _: Blob(len(LIE), each([LIE])),
    "announces too much": lambda _: Blob(limits.COMPARED_LIST_BYTES + 1, never()),
}


@pytest.mark.parametrize("tells", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_node_that_does_not_tell_or_lies_costs_a_few_seconds_and_is_not_believed(tells):
    record, events, hostile = play([writes(), writes()], hostile=liar(tells))
    assert record.state == "not_verified"
    assert compared(events).startswith("in which files the groups differ is not known")
    assert "groups differ" not in record.reason
    assert [type(request) for request in hostile.asked] == [m.ListWanted]
    at = {event.kind: event.at for event in events}
    assert at["ended"] - at["verdict"] <= limits.COMPARE_S + 1


def silent_ones(scripts, count, seed=1):
    """Members of the group that proposes what an honest node gives, and silence after that."""

    async def main():
        async with cluster(seed) as nodes:
            for script in scripts:
                await nodes.start(script)
            for number in range(LIAR, LIAR + count):
                transport = nodes.network.join(peer(number))
                made = Hostile(identity(number), transport, HONEST.h1(), lambda _: None)
                made.tells = lambda _: Blob(10, never())
                await nodes.nursery.start(made.run, nodes.transports[0].addresses[0])
            await nodes.settled()
            jobs = nodes.nodes[0].jobs
            submitted = await jobs.submit(
                CLIENT, spec(concurrency=len(scripts) + count, confidence=len(scripts) + count)
            )
            record = await nodes.told(await jobs.wait(CLIENT, submitted.job, 100_000))
            order = [run.peer for run in record.executions]
            async with jobs.events(CLIENT, record.job, 0) as events:
                return order, [event async for event in events]

    return simulate(main)


def test_silent_members_of_a_group_are_passed_over_for_one_that_tells():
    was_first = 0
    for seed in range(6):
        order, events = silent_ones([writes(stdout=b"x"), writes()], 1, seed)
        assert "groups differ in: stdout" in compared(events)
        was_first += order.index(peer(LIAR)) < order.index(peer(1))
    assert was_first, "no seed asked the silent one first"


def test_a_group_of_silent_members_costs_no_more_than_the_limit():
    _, events = silent_ones([writes(stdout=b"x")], 6)
    at = {event.kind: event.at for event in events}
    assert limits.COMPARE_S - 1 <= at["ended"] - at["verdict"] <= limits.COMPARE_S + 1


def test_a_liar_that_shows_what_it_proposed_is_compared_with():
    _, events, _ = play([writes(), writes()], hostile=liar(lambda _: Blob(len(TRUTH), each([TRUTH]))))
    assert "groups differ in: stdout" in compared(events)


def test_nobody_is_asked_before_the_last_run_has_ended():
    record, events, hostile = play([writes(takes_s=50.0), writes()], hostile=liar(refuses))
    assert record.state == "not_verified"
    at = {event.kind: event.at for event in events}
    assert at["verdict"] - at["drawn"] > 40
    assert hostile.asked_at[0] >= at["verdict"] % 1_000_000


def test_a_node_that_is_gone_is_passed_over_for_another_of_its_group():
    async def ends(nodes):
        live = next(iter(nodes.nodes[0].requester.live.values()))
        while not any(event.kind == "verdict" for event in live.events):
            await live.changed.wait()
        first = next(run.peer for run in live.shards[0].executions if run.peer in (peer(1), peer(2)))
        nodes.stop(1 if first == peer(1) else 2)

    record, events, _ = play([writes(stdout=b"x"), writes(), writes()], during=ends)
    assert record.state == "not_verified"
    assert "groups differ in: stdout" in compared(events)


def test_a_list_is_for_the_requester_of_an_execution_that_has_proposed():
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(writes(takes_s=30.0))
            mine, other = [await by_hand(nodes, number) for number in (7, 8)]
            await mine.given(spec("noop"), "e" * 32)
            await mine.hears(m.Started, execution="e" * 32)
            assert await _list(mine) == "refused"
            await mine.hears(m.Proposed, execution="e" * 32)
            assert await _list(other) == "refused"
            assert await _list(mine) == render_sized(HONEST, (1, 2, 0, 1))
            for requester in (mine, other):
                nodes.network.lose(peer(0), requester.identity.peer_id)

    simulate(main)


async def _list(requester):
    try:
        async with requester.transport.fetch(requester.node, m.ListWanted("e" * 32)) as blob:
            return b"".join([chunk async for chunk in blob.chunks])
    except BlobRefused:
        return "refused"
