"""Nobody's published results can be replaced by whoever knows what their job is called."""

from __future__ import annotations

import msgspec
from doubles.requesters import by_hand
from sim.cluster import cluster, simulate, spec

from node import messages as m
from node.executor.scripted import Play
from node.model import LocalPublisher
from node.verifier.dirhash import h1_of

HOSTILE = 7
EXECUTION = "e" * 32


def test_a_requester_that_names_its_job_like_anothers_replaces_nothing():
    said = [b"r"]

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(lambda _: Play(stdout=said[0]))
            job = msgspec.structs.replace(spec("noop"), publisher=LocalPublisher(folder=str(nodes.shared)))
            record = await nodes.submit(job)
            said[0] = b"something else"
            hostile = await by_hand(nodes, HOSTILE)
            hostile.say(m.Offer(record.job, "c" * 64, job, 8))
            await hostile.hears(m.Bid, job=record.job)
            hostile.say(m.Accept(record.job, 0, EXECUTION))
            await hostile.hears(m.Proposed, execution=EXECUTION)
            hostile.say(m.HandOver(EXECUTION))
            answer = await hostile.hears(m.Results, execution=EXECUTION)
            assert answer.location != record.kept.location
            place = record.kept.location.removeprefix("file://")
            assert h1_of(place) == record.kept.hash

    simulate(main)
