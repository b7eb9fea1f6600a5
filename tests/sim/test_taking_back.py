"""What was published and does not count is taken back; what a receipt may name never is."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest
import trio
from doubles.hostile import Hostile, manifest_for
from doubles.peers import identity, peer
from doubles.requesters import HandmadeRequester, by_hand
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node import limits
from node import messages as m
from node.ambient import inline
from node.errors import StorageError
from node.model import LocalPublisher
from node.publisher.base import Publishers
from node.publisher.local import LocalPublishing
from node.verifier.dirhash import h1_of
from node.wiring import Node

MANIFEST, CONTENTS = manifest_for({"stdout": b"r", "stderr": b"", "exitCode": b"0", "outputs/a.txt": b"rr"})
SIZES = tuple(map(len, CONTENTS))
LIAR, HANDMADE, STRANGER = 7, 8, 9
EXECUTION = "e" * 32


class Odd:
    """A shared folder that holds up, or fails, what it is told to."""

    name = "local"

    def __init__(self, nodes, *troubles):
        nodes.shared.mkdir()
        self._way = LocalPublishing((nodes.shared,), nodes.folder / "nobody", inline)
        self.troubles = set(troubles)
        self.is_there = trio.Event()

    def refusal(self, where):
        return self._way.refusal(where)

    async def publish(self, where, below, results):
        location = await self._way.publish(where, below, results)
        self.is_there.set()
        if "publish" in self.troubles:
            raise StorageError("it is there, but nobody knows")
        if "held" in self.troubles:
            await trio.sleep_forever()
        return location

    async def retract(self, where, below):
        if "retract" in self.troubles:
            raise StorageError("the store is down")
        if "hung" in self.troubles:
            await trio.sleep_forever()
        await self._way.retract(where, below)

    @asynccontextmanager
    async def published(self, where, below, location, bytes_max):
        if "read" in self.troubles:
            raise StorageError("the requester does not see this share")
        async with self._way.published(where, below, location, bytes_max) as found:
            yield found


def wired(way):
    return lambda parts: Node(replace(parts, publishers=Publishers({LocalPublisher: way})))


def job_of(nodes, **deal):
    return msgspec.structs.replace(spec(**deal), publisher=LocalPublisher(folder=str(nodes.shared)))


def left_in(nodes):
    """Whatever lies on the share, and the notes of publications that every node keeps."""
    notes = [note for data in nodes.folder.glob("[0-9]*") for note in (data / "untold").iterdir()]
    return sorted(path.name for path in nodes.shared.rglob("*")), notes


async def odd_pair(nodes, *troubles):
    way = Odd(nodes, *troubles)
    for _ in range(2):
        await nodes.start(says(b"r"), node=wired(way))
    await nodes.settled()
    return way


async def handed_over(nodes, requester):
    await requester.given(job_of(nodes, verifier="noop"), EXECUTION)
    await requester.hears(m.Proposed, execution=EXECUTION)
    requester.say(m.HandOver(EXECUTION))


@pytest.mark.parametrize("how", ["cancelled", "left", "late"])
def test_of_a_job_that_ends_while_its_winner_publishes_nothing_stays(how):
    async def main():
        async with cluster(1) as nodes:
            way = await odd_pair(nodes, "held")
            record = await nodes.nodes[0].jobs.submit(CLIENT, job_of(nodes, concurrency=2))
            await way.is_there.wait()
            assert len(left_in(nodes)[1]) == 1
            if how == "cancelled":
                await nodes.nodes[0].jobs.cancel(CLIENT, record.job)
            elif how == "left":
                nodes.stop(0)
            else:
                await nodes.nodes[0].jobs.wait(CLIENT, record.job, record.deadline - record.submitted_at)
            await trio.sleep(60)
            if how == "left":  # It may have been the winner itself.
                await nodes.start(says(b"r"), 0, wired(way))
                await trio.sleep(60)
            assert left_in(nodes) == ([], [])

    simulate(main)


def test_what_no_requester_could_read_back_is_taken_back_from_every_winner():
    async def main():
        async with cluster(2) as nodes:
            way = await odd_pair(nodes, "read")
            record = await nodes.submit(job_of(nodes, concurrency=2))
            assert (record.state, record.failure.code) == ("failed", "hand_over")
            assert way.is_there.is_set()
            await trio.sleep(1)
            assert left_in(nodes) == ([], [])

    simulate(main)


def test_what_fails_with_half_of_it_there_is_taken_back_at_once():
    async def main():
        async with cluster(3) as nodes:
            await odd_pair(nodes, "publish")
            requester = await by_hand(nodes, HANDMADE)
            await handed_over(nodes, requester)
            await requester.hears(m.NoResults, execution=EXECUTION)
            await trio.sleep(1)
            assert left_in(nodes) == ([], [])  # Its requester has not said a word since.

    simulate(main)


@pytest.mark.parametrize("seed", range(4))
def test_a_liar_is_told_to_take_it_back_and_who_was_believed_is_not(seed):
    async def main():
        async with cluster(seed) as nodes:
            await nodes.start(says(b"r"))
            elsewhere = lambda execution: m.Results(execution, MANIFEST.render(), SIZES, None, "file:///etc")  # noqa: E731
            hostile = Hostile(identity(LIAR), nodes.network.join(peer(LIAR)), MANIFEST.h1(), elsewhere)
            await nodes.nursery.start(hostile.run, nodes.transports[0].addresses[0])
            await nodes.settled()
            record = await nodes.submit(job_of(nodes, concurrency=2, confidence=2))
            await trio.sleep(1)
            (told,) = [message for message in hostile.heard if isinstance(message, m.Release)]
            assert (record.state, record.kept.peer, told.retract) == ("completed", peer(0), True)
            assert h1_of(record.kept.location.removeprefix("file://")) == record.kept.hash
            assert left_in(nodes)[1] == []

    simulate(main)


ACCEPTED, RETRACTED = m.Release(EXECUTION), m.Release(EXECUTION, retract=True)


@pytest.mark.parametrize(
    ("words", "stays"),
    [
        ([(HANDMADE, RETRACTED)], False),
        ([(HANDMADE, RETRACTED), (HANDMADE, RETRACTED), (HANDMADE, ACCEPTED)], False),
        ([(HANDMADE, ACCEPTED), (HANDMADE, RETRACTED)], True),
        ([(STRANGER, RETRACTED)], True),
        ([(STRANGER, ACCEPTED), (HANDMADE, RETRACTED)], False),
    ],
)
def test_only_its_requester_can_have_it_taken_back_and_only_before_it_accepts_it(words, stays):
    async def main():
        async with cluster(5) as nodes:
            await nodes.start(says(b"r"))
            requesters = {number: await by_hand(nodes, number) for number in (HANDMADE, STRANGER)}
            await handed_over(nodes, requesters[HANDMADE])
            await requesters[HANDMADE].hears(m.Results, execution=EXECUTION)
            for number, message in words:
                requesters[number].say(message)
                await trio.sleep(1)
            files, notes = left_in(nodes)
            assert ("stdout" in files, files != [], notes) == (stays, stays, [])

    simulate(main)


def test_a_requester_that_leaves_without_a_word_has_nothing_taken_back():
    async def main():
        async with cluster(6) as nodes:
            await nodes.start(says(b"r"))
            requester = HandmadeRequester(identity(HANDMADE), nodes.network.join(peer(HANDMADE)))
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(requester.run, nodes.transports[0].addresses[0])
                    await handed_over(nodes, requester)
                    await requester.hears(m.Results, execution=EXECUTION)
                    scope.cancel()
            await trio.sleep(limits.PEER_SILENT_S + limits.PEER_REJOIN_S + 10)
            assert peer(HANDMADE) not in nodes.transports[0].peers
            nodes.stop(0)
            await nodes.start(says(b"r"), 0)
            await trio.sleep(60)
            files, notes = left_in(nodes)
            assert ("stdout" in files, notes) == (True, [])

    simulate(main)


def test_one_that_is_told_while_it_publishes_stops_and_takes_it_back():
    async def main():
        async with cluster(7) as nodes:
            way = await odd_pair(nodes, "held")
            requester = await by_hand(nodes, HANDMADE)
            await handed_over(nodes, requester)
            await way.is_there.wait()
            requester.say(RETRACTED, RETRACTED)
            await trio.sleep(1)
            assert left_in(nodes) == ([], [])
            assert not any(isinstance(message, m.Results) for message in requester.heard)

    simulate(main)


@pytest.mark.parametrize("trouble", ["retract", "hung"])
def test_what_a_store_that_is_down_keeps_is_taken_back_at_the_next_start(trouble):
    async def main():
        async with cluster(8) as nodes:
            way = await odd_pair(nodes, trouble)
            requester = await by_hand(nodes, HANDMADE)
            await handed_over(nodes, requester)
            await requester.hears(m.Results, execution=EXECUTION)
            requester.say(RETRACTED)
            await trio.sleep(limits.RETRACT_S + 1)
            files, notes = left_in(nodes)
            assert ("stdout" in files, len(notes)) == (True, 1)
            assert not any((nodes.folder / "0" / "scratch").iterdir())
            for is_back in (False, True):
                way.troubles = set() if is_back else {trouble}
                nodes.stop(0)
                await trio.sleep(1)
                await nodes.start(says(b"r"), 0, wired(way))
                await trio.sleep(limits.RETRACT_S + 1)
                assert (left_in(nodes) == ([], [])) == is_back

    simulate(main)


class Mortal:
    """Work on a disk, until ``left`` calls more have been made: then nothing is done any more."""

    def __init__(self, die):
        self.left = math.inf
        self._die = die

    async def __call__(self, call, *args):
        await trio.lowlevel.checkpoint()
        if self.left <= 0:
            return None
        done = call(*args)
        self.left -= 1
        if self.left == 0:
            self._die()
        return done


def killed_after(steps):
    """A node dies so far into a publication and starts again: whether it said where, what lies there, and notes."""
    found = []

    async def main():
        async with cluster(11) as nodes:
            nodes.shared.mkdir()
            offload = Mortal(lambda: nodes.stop(0))
            way = LocalPublishing((nodes.shared,), nodes.folder / "nobody", offload)
            mortal = lambda parts: replace(parts, ambient=replace(parts.ambient, offload=offload))  # noqa: E731
            await nodes.start(says(b"r"), node=lambda parts: wired(way)(mortal(parts)))
            requester = await by_hand(nodes, HANDMADE)
            await requester.given(job_of(nodes, verifier="noop"), EXECUTION)
            await requester.hears(m.Proposed, execution=EXECUTION)
            offload.left = steps
            requester.say(m.HandOver(EXECUTION))
            await trio.sleep(60)
            if offload.left <= 0:
                await nodes.start(says(b"r"), 0)
                await trio.sleep(60)
            is_told = any(isinstance(message, m.Results) for message in requester.heard)
            found.append((is_told, bool(left_in(nodes)[0]), left_in(nodes)[1] != []))

    simulate(main)
    return found[0]


def test_whenever_it_is_killed_a_publication_is_gone_or_its_requester_may_count_on_it():
    noted_to_named = [killed_after(steps) for steps in range(1, 5)]
    assert noted_to_named == [(False, False, False)] * 4
    assert killed_after(5) == (False, True, False)  # Between the note's end and the word to the requester: it stays.
    assert killed_after(6) == (True, True, False)


def test_a_store_that_hangs_holds_up_nobodys_publication():
    async def main():
        async with cluster(9) as nodes:
            await odd_pair(nodes, "hung")
            requesters = [await by_hand(nodes, number) for number in (HANDMADE, STRANGER)]
            for number in range(2 * limits.PUBLISHED_AT_ONCE):
                requester, execution = requesters[number % 2], f"{number:032x}"
                await requester.given(job_of(nodes, verifier="noop"), execution)
                await requester.hears(m.Proposed, execution=execution)
                requester.say(m.HandOver(execution))
                await requester.hears(m.Results, execution=execution)
                requester.say(m.Release(execution, retract=True))
            began = trio.current_time()
            assert (await nodes.submit(job_of(nodes, concurrency=2))).state == "completed"
            assert trio.current_time() - began < limits.RETRACT_S / 2

    simulate(main)


def test_a_node_that_cannot_note_it_publishes_nothing_and_does_all_else():
    async def main():
        async with cluster(10) as nodes:
            for _ in range(2):
                await nodes.start(says(b"r"))
            await nodes.settled()
            for number in range(2):
                (nodes.folder / str(number) / "untold").rmdir()
            record = await nodes.submit(job_of(nodes, concurrency=2))
            assert (record.state, any(nodes.shared.iterdir())) == ("failed", False)
            assert "no note can be made" in record.reason
            assert (await nodes.submit(spec(concurrency=2))).state == "completed"

    simulate(main)
