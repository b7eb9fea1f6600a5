"""Jobs whose nodes differ in stdout and stderr alone: verified where only outputs are voted on, whoever hands over."""

from __future__ import annotations

import msgspec
import pytest
from doubles.hostile import Hostile, manifest_for, wanted
from doubles.peers import identity, peer
from sim.cluster import CLIENT, cluster, simulate, spec

from node import limits
from node import messages as m
from node.executor.scripted import Play
from node.model import LocalPublisher
from node.receipt.check import Holds, check

LIAR = 9
SEEDS = range(6)
LARGE = bytes(limits.INLINE_BYTES_MAX)  # So that files do not come with their list.
VOTED = {"exitCode": b"0", "outputs/a.txt": LARGE}
PROPOSED, _ = manifest_for(VOTED)


def clock(number):
    """A program that says the time on stderr."""
    return lambda _: Play(stdout=b"r", stderr=b"at %d" % number, files={"outputs/a.txt": LARGE}, takes_s=1.0)


def job(vote_on, **changes):
    return msgspec.structs.replace(spec(concurrency=3, confidence=2), vote_on=vote_on, **changes)


def play(the_job, hostile=None, seed=1):
    """Three nodes run it, one of them hostile if there is one; returns the record, kept files, and the receipt."""

    async def main():
        async with cluster(seed) as nodes:
            for number in range(2 if hostile else 3):
                await nodes.start(clock(number))
            made = None
            if hostile:
                made = hostile(nodes.network.join(peer(LIAR)))
                await nodes.nursery.start(made.run, nodes.transports[0].addresses[0])
            await nodes.settled()
            if isinstance(the_job.publisher, LocalPublisher):
                shared = LocalPublisher(folder=str(nodes.shared))
                record = await nodes.submit(msgspec.structs.replace(the_job, publisher=shared))
            else:
                record = await nodes.submit(the_job)
            kept = nodes.kept_files(record) if record.kept and not record.kept.location else {}
            receipt = await nodes.nodes[0].jobs.receipt(CLIENT, record.job) if record.results else b""
            return record, kept, receipt, made

    return simulate(main)


def test_a_time_on_stderr_costs_no_verdict_where_outputs_are_voted_on():
    record, kept, receipt, _ = play(job("outputs"))
    assert (record.state, record.verdict.hash) == ("completed", PROPOSED.h1())
    assert [run.agreed for run in record.executions] == [True] * 3
    assert kept["outputs/a.txt"] == LARGE
    assert kept["stderr"].startswith(b"at ")
    assert isinstance(check(receipt), Holds)


def test_the_same_costs_the_verdict_where_all_is_voted_on():
    record, _, _, _ = play(job("all"))
    assert record.state == "not_verified"


def test_what_is_published_is_read_back_with_the_streams_of_its_node():
    record, _, receipt, _ = play(job("outputs", publisher=LocalPublisher(folder="/shared")))
    assert record.state == "completed"
    assert record.kept.location
    assert isinstance(check(receipt), Holds)


def hands_over(files, sizes=None):
    """A winner that proposed what wins, and hands over this."""
    manifest, contents = manifest_for(files)
    real = tuple(map(len, contents))

    def answer(execution):
        return m.Results(execution, manifest.render(), sizes or real, None if sizes else contents)

    return lambda transport: Hostile(identity(LIAR), transport, PROPOSED.h1(), answer)


STREAMS = {"stdout": b"", "stderr": b""}
LIES = {
    "no streams": hands_over(VOTED),
    "one stream": hands_over(VOTED | {"stdout": b"x"}),
    "a stream of its own": hands_over(VOTED | STREAMS | {"stdin": b"x"}),
    "a folder for a stream": hands_over(VOTED | {"stderr": b"", "stdout/x": b""}),
    "streams without end": hands_over(VOTED | STREAMS, sizes=(1, len(LARGE), 2**61, 2**61)),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_winner_may_say_anything_in_a_stream_and_nothing_beside_it(lie):
    asked = 0
    for seed in SEEDS:
        record, kept, receipt, hostile = play(job("outputs"), lie, seed)
        assert record.state == "completed"
        assert {name: kept[name] for name in VOTED} == VOTED
        assert kept.keys() == VOTED.keys() | STREAMS.keys()
        assert isinstance(check(receipt), Holds)
        was_asked = any(isinstance(message, m.HandOver) for message in hostile.heard)
        assert {run.peer for run in record.executions if run.lied} == ({peer(LIAR)} if was_asked else set())
        asked += was_asked
    assert asked, "no seed asked the liar first"


def test_a_winner_that_breaks_off_leaves_nothing_of_its_streams_behind():
    """It gave a stderr of its own and then nothing: what is kept has both streams of the next winner."""
    manifest, contents = manifest_for(VOTED | {"stderr": b"of the liar", "stdout": b"much of the liar"})
    sizes = tuple(map(len, contents))

    def chunks(request):
        content = wanted(contents, request)
        return len(content), [content[:-1], b"?"]

    def breaks_off(transport):
        return Hostile(
            identity(LIAR),
            transport,
            PROPOSED.h1(),
            lambda execution: m.Results(execution, manifest.render(), sizes, None),
            chunks=chunks,
        )

    asked = 0
    for seed in SEEDS:
        record, kept, _, hostile = play(job("outputs"), breaks_off, seed)
        assert record.state == "completed"
        assert kept["stdout"] == b"r"
        assert kept["stderr"] in (b"at 0", b"at 1")
        assert record.kept.peer != peer(LIAR)
        asked += any(isinstance(request, m.FilesWanted) for request in hostile.asked)
    assert asked, "no seed asked the liar for its streams"
