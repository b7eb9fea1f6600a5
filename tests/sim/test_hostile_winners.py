"""Winners that hand over something else, and proposals that are somebody else's."""

from __future__ import annotations

import pytest
from doubles.hostile import Hostile, manifest_for, wanted
from doubles.peers import identity, peer
from sim.cluster import cluster, says, simulate, spec

from node import messages as m
from node.verifier.manifest import render_sized

HONEST = {"stdout": b"r", "stderr": b"", "exitCode": b"0", "outputs/a.txt": b"rr"}
MANIFEST, CONTENTS = manifest_for(HONEST)
SIZES = tuple(map(len, CONTENTS))
LIAR = 9
SEEDS = range(8)


def play(make_hostile, seed):
    """Two honest nodes and a hostile one run a job; returns its record, the double and the kept files."""

    async def main():
        async with cluster(seed) as nodes:
            for _ in range(2):
                await nodes.start(says(b"r"))
            hostile = make_hostile(nodes.network.join(peer(LIAR)))
            await nodes.nursery.start(hostile.run, nodes.transports[0].addresses[0])
            await nodes.settled()
            record = await nodes.submit(spec(concurrency=3, confidence=2))
            return record, hostile, nodes.kept_files(record)

    return simulate(main)


def liar(hands_over, **rest):
    return lambda transport: Hostile(identity(LIAR), transport, MANIFEST.h1(), hands_over, **rest)


def by_blob(execution):
    return m.Results(execution, MANIFEST.render(), SIZES, None)


def sends(change):
    """A stream of files in which something is changed, announced as if it were right."""

    def chunks(request):
        content = wanted(CONTENTS, request)
        return len(content), change(content)

    return liar(by_blob, chunks=chunks)


WRONG_IN_THE_LAST_FILE = sends(lambda content: [content[:-1], b"?"])


OTHER, _ = manifest_for(HONEST | {"stdout": b"x"})
OUTSIDE = MANIFEST.render().replace(b"results/stdout", b"results/../../x")
LIES = {
    "another manifest": liar(lambda e: m.Results(e, OTHER.render(), SIZES, CONTENTS)),
    "a name that leads out": liar(lambda e: m.Results(e, OUTSIDE, SIZES, CONTENTS)),
    "no manifest at all": liar(lambda e: m.Results(e, b"\xff\x00", SIZES, CONTENTS)),
    "another content": liar(lambda e: m.Results(e, MANIFEST.render(), SIZES, (b"0", b"rr", b"", b"x"))),
    "fewer files": liar(lambda e: m.Results(e, MANIFEST.render(), SIZES, CONTENTS[:-1])),
    "fewer sizes": liar(lambda e: m.Results(e, MANIFEST.render(), SIZES[:-1], None)),
    "huge sizes": liar(lambda e: m.Results(e, MANIFEST.render(), (2**61,) * 4, None)),
    "a wrong file in a stream": WRONG_IN_THE_LAST_FILE,
    "a wrong byte where a file begins": sends(lambda content: [b"?", content[1:]]),
    "bytes of one file in another's place": sends(lambda content: [content[1:], content[:1]]),
    "more bytes than it announced": sends(lambda content: [content, b"more"]),
    "a stream of another length": liar(by_blob, chunks=lambda _: (10**6, [bytes(10**6)])),
    "a manifest blob of rubbish": liar(lambda e: m.Results(e, None, None, None), manifest_blob=b"rubbish"),
    "another sized manifest": liar(lambda e: m.Results(e, None, None, None), manifest_blob=render_sized(OTHER, SIZES)),
}


@pytest.mark.parametrize("lie", LIES, ids=LIES.keys())
def test_a_winner_that_lies_is_recorded_and_the_next_one_serves_what_won(lie):
    caught = 0
    for seed in SEEDS:
        record, hostile, kept = play(LIES[lie], seed)
        assert (record.state, record.verdict.kind) == ("completed", "verified")
        assert kept == HONEST
        lies = {run.peer: run.lied for run in record.executions if run.lied}
        was_asked = any(isinstance(message, m.HandOver) for message in hostile.heard)
        assert set(lies) == ({peer(LIAR)} if was_asked else set())
        caught += was_asked
    assert caught, "no seed asked the liar first"


GONE = {
    "says that it has nothing": liar(lambda e: m.NoResults(e, "gone")),
    "says nothing": liar(lambda _: None),
    "refuses its files": liar(by_blob),
}


@pytest.mark.parametrize("way", GONE, ids=GONE.keys())
def test_a_winner_that_does_not_deliver_is_passed_over_and_is_no_liar(way):
    asked = 0
    for seed in SEEDS:
        record, hostile, kept = play(GONE[way], seed)
        assert record.state == "completed"
        assert kept == HONEST
        assert not any(run.lied for run in record.executions)
        asked += any(isinstance(message, m.HandOver) for message in hostile.heard)
    assert asked


def test_files_that_a_liar_gave_right_are_not_fetched_again():
    """The next winner goes on behind them: its blobs begin at the file that was wrong."""
    for seed in SEEDS:
        asked = []

        def second(transport, asked=asked):
            hostile = WRONG_IN_THE_LAST_FILE(transport)
            hostile.asked = asked
            return hostile

        _, _, kept = play(second, seed)
        assert kept == HONEST
        assert [request.index for request in asked if isinstance(request, m.FilesWanted)] in ([], [0])


@pytest.mark.parametrize("what", ["job", "shard", "execution", "requester", "node"])
def test_a_proposal_made_for_something_else_counts_for_nothing(what):
    """Signed and sealed properly, but not for this: the vote of that node is the empty one."""

    def proposes(given, requester):
        from node.verifier.proposal import Statement, seal, sealing_key_for

        bound = {
            "job": given.job,
            "shard": given.shard,
            "execution": given.execution,
            "requester": requester,
            "node": peer(LIAR),
        }
        other = {"job": "f" * 32, "shard": 7, "execution": "f" * 32, "requester": peer(5), "node": peer(6)}
        statement = Statement(**{**bound, what: other[what]}, hash=MANIFEST.h1(), salt="5a" * 32)
        signer = identity(6) if what == "node" else identity(LIAR)
        return m.Proposed(given.execution, seal(signer, sealing_key_for(requester), statement))

    record, _, _ = play(liar(lambda _: None, proposes=proposes), 1)
    (mine,) = [run for run in record.executions if run.peer == peer(LIAR)]
    assert (mine.hash, mine.agreed) == ("", False)
    assert record.verdict.kind == "verified"
    assert what in mine.reason


def test_somebody_elses_execution_cannot_be_proposed_for():
    """The id of another node's execution under one's own name means nothing, so the thief is late."""
    record, _, _ = play(liar(lambda _: None, proposes=lambda given, _: m.Failed("f" * 32, "trap", "not mine")), 1)
    (mine,) = [run for run in record.executions if run.peer == peer(LIAR)]
    assert mine.code == "late"
    assert record.verdict.kind == "verified"
