"""Results that are published: by a winner alone, after the vote, and believed when they have been read back."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote, urlparse

import msgspec
import pytest
import trio
from doubles.hostile import Hostile, manifest_for
from doubles.peers import identity, peer
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node import messages as m
from node.errors import InvalidSpec, NotFound
from node.model import IpfsPublisher, LocalPublisher, NonePublisher
from node.publisher.base import Publishers
from node.receipt.check import Holds, check
from node.verifier.dirhash import h1_of
from node.wiring import Node

HONEST = {"stdout": b"r", "stderr": b"", "exitCode": b"0", "outputs/a.txt": b"rr"}
MANIFEST, CONTENTS = manifest_for(HONEST)
SIZES = tuple(map(len, CONTENTS))
LIAR = 9


def published(nodes, publisher=None, **deal):
    """A job whose results go to the folder that all nodes share."""
    where = LocalPublisher(folder=str(nodes.shared)) if publisher is None else publisher
    return msgspec.structs.replace(spec(**deal), publisher=where)


def at(location):
    return unquote(urlparse(location).path)


def test_a_winner_publishes_and_the_requester_keeps_nothing_but_the_receipt():
    async def main():
        async with cluster(3) as nodes:
            for _ in range(3):
                await nodes.start(says(b"r"))
            await nodes.settled()
            record = await nodes.submit(published(nodes, concurrency=3))
            assert record.state == "completed"
            winner = next(run for run in record.executions if run.peer == record.kept.peer)
            assert record.kept.location == (nodes.shared / peer(0) / record.job / "0" / winner.execution).as_uri()
            assert h1_of(at(record.kept.location)) == record.results.hash == record.kept.hash
            assert (record.results.folder, record.kept.exit_code) == (None, 0)
            assert [folder.name for folder in (nodes.shared / peer(0)).iterdir()] == [record.job]
            with pytest.raises(NotFound, match="published to local"):
                nodes.nodes[0].results.folder(record)
            receipt = check(await nodes.nodes[0].jobs.receipt(CLIENT, record.job))
            assert isinstance(receipt, Holds)
            assert receipt.predicate.shards[0].location == record.kept.location

    simulate(main)


def test_without_a_verdict_nothing_is_published():
    async def main():
        async with cluster(4) as nodes:
            for text in (b"a", b"b", b"c"):
                await nodes.start(says(text))
            await nodes.settled()
            record = await nodes.submit(published(nodes, concurrency=3, confidence=2))
            assert record.state == "not_verified"
            assert not any(nodes.shared.iterdir())

    simulate(main)


def test_results_that_nobody_keeps_are_verified_all_the_same():
    async def main():
        async with cluster(5) as nodes:
            for _ in range(3):
                await nodes.start(says(b"r"))
            await nodes.settled()
            record = await nodes.submit(published(nodes, NonePublisher(), concurrency=3))
            assert record.state == "completed"
            assert (record.kept.hash, record.kept.location, record.kept.exit_code) == (MANIFEST.h1(), "", 0)
            assert isinstance(check(await nodes.nodes[0].jobs.receipt(CLIENT, record.job)), Holds)

    simulate(main)


@pytest.mark.parametrize("seed", range(4))
def test_who_names_a_place_for_what_nobody_keeps_is_a_liar(seed):
    """In the receipt it would say that results are where the spec does not have them."""

    async def main():
        async with cluster(seed) as nodes:
            await nodes.start(says(b"r"))
            lie = lambda execution: m.Results(execution, MANIFEST.render(), SIZES, None, "ipfs://bafy")  # noqa: E731
            hostile = Hostile(identity(LIAR), nodes.network.join(peer(LIAR)), MANIFEST.h1(), lie)
            await nodes.nursery.start(hostile.run, nodes.transports[0].addresses[0])
            await nodes.settled()
            record = await nodes.submit(published(nodes, NonePublisher(), concurrency=2))
            assert (record.state, record.kept.peer, record.kept.location) == ("completed", peer(0), "")
            assert isinstance(check(await nodes.nodes[0].jobs.receipt(CLIENT, record.job)), Holds)

    simulate(main)


def test_a_requester_that_could_not_read_it_back_refuses_the_job():
    async def main():
        async with cluster(6) as nodes:
            await nodes.start(says(b"r"))
            for publisher in (LocalPublisher(folder="/elsewhere"), IpfsPublisher()):
                with pytest.raises(InvalidSpec, match=r"\$\.publisher"):
                    await nodes.submit(published(nodes, publisher, verifier="noop", concurrency=1))

    simulate(main)


def nothing_there(execution, shared, job):
    return (shared / peer(0) / job / "0" / execution).as_uri()


def elsewhere(execution, shared, job):
    (shared / "mine").mkdir()
    return (shared / "mine").as_uri()


def of_other_bytes(execution, shared, job):
    folder = shared / peer(0) / job / "0" / execution
    (folder / "outputs").mkdir(parents=True)
    for name, content in HONEST.items():
        (folder / name).write_bytes(content)
    (folder / "stdout").write_bytes(b"R")
    return folder.as_uri()


def with_a_file_more(execution, shared, job):
    location = of_other_bytes(execution, shared, job)
    (shared / peer(0) / job / "0" / execution / "stdout").write_bytes(b"r")
    (shared / peer(0) / job / "0" / execution / "more").write_bytes(b"")
    return location


def with_a_link(execution, shared, job):
    location = of_other_bytes(execution, shared, job)
    (shared / peer(0) / job / "0" / execution / "stdout").unlink()
    (shared / peer(0) / job / "0" / execution / "stdout").symlink_to("stderr")
    return location


@pytest.mark.parametrize("lie", [elsewhere, of_other_bytes, with_a_file_more, with_a_link, nothing_there])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_not_what_won_is_not_believed_and_an_honest_winner_publishes(lie, seed):
    async def main():
        async with cluster(seed) as nodes:
            for _ in range(2):
                await nodes.start(says(b"r"))

            def answer(execution):
                job = next(message.job for message in hostile.heard if isinstance(message, m.Accept))
                return m.Results(execution, MANIFEST.render(), SIZES, None, lie(execution, nodes.shared, job))

            transport = nodes.network.join(peer(LIAR))
            hostile = Hostile(identity(LIAR), transport, MANIFEST.h1(), answer)
            await nodes.nursery.start(hostile.run, nodes.transports[0].addresses[0])
            await nodes.settled()
            record = await nodes.submit(published(nodes, concurrency=3, confidence=2))
            assert record.state == "completed"
            assert record.kept.peer != peer(LIAR)
            assert h1_of(at(record.kept.location)) == MANIFEST.h1()
            asked = any(isinstance(message, m.HandOver) for message in hostile.heard)
            caught = [run.lied for run in record.executions if run.lied]
            assert len(caught) == (asked and lie is not nothing_there)

    simulate(main)


class Slow:
    """A way to publish that never ends by itself."""

    name = "slow"

    def __init__(self):
        self.begun = trio.Event()
        self.ended = 0

    def refusal(self, where):
        return None

    async def publish(self, where, below, results):
        self.begun.set()
        try:
            await trio.sleep_forever()
        finally:
            assert (results / "stdout").read_bytes() == b"r"  # Nothing is taken away while it reads.
            self.ended += 1

    async def retract(self, where, below):
        """See Publishing: there is nothing."""


@pytest.mark.parametrize("how", ["cancelled", "late", "left"])
def test_a_publication_that_nobody_waits_for_any_more_ends_and_leaves_nothing(how):
    async def main():
        async with cluster(7) as nodes:
            slow = Slow()
            for _ in range(2):
                await nodes.start(
                    says(b"r"),
                    node=lambda parts: Node(replace(parts, publishers=Publishers({LocalPublisher: slow}))),
                )
            await nodes.settled()
            job = published(nodes, concurrency=2)
            record = await nodes.nodes[0].jobs.submit(CLIENT, job)
            await slow.begun.wait()
            if how == "cancelled":
                await nodes.nodes[0].jobs.cancel(CLIENT, record.job)
            elif how == "left":
                nodes.stop(0)
            else:
                await nodes.nodes[0].jobs.wait(CLIENT, record.job, record.deadline - record.submitted_at)
            await trio.sleep(60)
            assert slow.ended == (2 if how == "late" else 1)
            for number in range(2):
                scratch = nodes.folder / str(number) / "scratch"
                assert not scratch.exists() or not any(scratch.iterdir())

    simulate(main)
