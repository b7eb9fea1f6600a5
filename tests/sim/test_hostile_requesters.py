"""Requesters that repeat themselves, reuse names, ask for what cannot be: the compute node goes on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import msgspec
import pytest
import trio
from doubles.peers import identity, peer
from doubles.requesters import HandmadeRequester, by_hand
from nacl.bindings import crypto_core_ed25519_add
from sim.cluster import cluster, says, simulate, spec

from node import limits
from node import messages as m
from node.errors import BlobRefused, PeerGone
from node.executor.scripted import Play, ScriptedExecutor
from node.identity import peer_id_of
from node.model import Output
from node.transport.whole import fetched_whole
from node.wiring import Node

HOSTILE = 7
EXECUTION = "e" * 32
LARGE = bytes(limits.INLINE_BYTES_MAX)


def play(scenario, script=None):
    """Run a scenario of a hostile requester against node 0, and then a job there, which has to work as ever."""

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(script or says(b"r", takes_s=0.0))
            hostile = await by_hand(nodes, HOSTILE)
            await scenario(hostile, nodes)
            nodes.network.lose(peer(0), peer(HOSTILE))
            await trio.sleep(10)
            record = await nodes.submit(spec("noop"))
            assert record.state == "completed"
            await trio.sleep(10)
            assert not list((nodes.folder / "0/scratch").iterdir())

    simulate(main)


def test_an_execution_id_that_is_given_again_while_it_is_cleared_up_changes_nothing():
    async def scenario(hostile, nodes):
        jobs = [hostile.offer(spec("noop")) for _ in range(3)]
        await hostile.hears(m.Bid, job=jobs[2])
        for job in jobs:
            hostile.say(m.Accept(job, 0, EXECUTION), m.Release(EXECUTION))
        await trio.sleep(5)

    play(scenario, says(b"r", takes_s=30.0))


@pytest.mark.parametrize("state", ["running", "proposed"])
def test_everything_said_twice_in_any_state_is_nothing(state):
    async def scenario(hostile, nodes):
        job = await hostile.given(spec("noop"), EXECUTION)
        await hostile.hears(m.Started if state == "running" else m.Proposed, execution=EXECUTION)
        for message in (m.Accept(job, 0, EXECUTION), m.HandOver(EXECUTION), m.Release(EXECUTION), m.BidRejected(job)):
            hostile.say(message, message)
        await trio.sleep(60)

    play(scenario, says(b"r", takes_s=30.0))


SPECS = {
    "an output where the exit code goes": {"outputs": (Output(name="exitCode", path="/o"),)},
    "an output where stdout goes": {"outputs": (Output(name="stdout", path="/o"),)},
    "two outputs of one name": {"outputs": (Output(name="a", path="/o"), Output(name="a", path="/p"))},
}


@pytest.mark.parametrize("what", SPECS.values(), ids=SPECS.keys())
def test_a_spec_that_no_requester_may_send_is_declined(what):
    async def scenario(hostile, nodes):
        job = hostile.offer(msgspec.structs.replace(spec("noop"), **what))
        answer = await hostile.hears(m.Bid | m.Decline, job=job)
        assert isinstance(answer, m.Decline)
        assert answer.code == "policy"

    play(scenario)


def test_a_tree_too_deep_to_walk_is_removed_all_the_same():
    async def scenario(hostile, nodes):
        await hostile.given(spec("noop"), EXECUTION)
        await hostile.hears(m.Started, execution=EXECUTION)
        deep = nodes.folder / "0/scratch" / EXECUTION / "outputs"
        deep.mkdir(parents=True)
        _nest(deep, 1200)
        hostile.say(m.Release(EXECUTION))
        await trio.sleep(5)

    play(scenario, says(b"r", takes_s=30.0))


def _nest(top, depth):
    """Folders in folders, deeper than a path may be long."""
    import os

    folder = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("a" * 10, dir_fd=folder)
        below = os.open("a" * 10, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)


def test_an_unusable_scratch_folder_fails_the_execution_and_not_the_node():
    async def scenario(hostile, nodes):
        scratch = nodes.folder / "0/scratch"
        scratch.rmdir()
        scratch.write_text("in the way")
        await hostile.given(spec("noop"), EXECUTION)
        answer = await hostile.hears(m.Failed, execution=EXECUTION)
        assert answer.code == "internal"
        scratch.unlink()
        scratch.mkdir()

    play(scenario)


def test_what_is_in_memory_alone_is_read_like_what_lies_on_disk():
    """Only for the requester of the run, and files only once they have won."""
    found = []

    async def scenario(hostile, nodes):
        await hostile.given(spec("noop"), EXECUTION)
        await hostile.hears(m.Proposed, execution=EXECUTION)
        assert not list((nodes.folder / "0/scratch").iterdir())
        found.append(await read(hostile, m.LogsWanted(EXECUTION, 1, 0)))
        with pytest.raises(BlobRefused):
            await read(hostile, m.FilesWanted(EXECUTION, 1, 1, 0))
        hostile.say(m.HandOver(EXECUTION))
        names = (await hostile.hears(m.Results, execution=EXECUTION)).manifest.decode().split()[1::2]
        assert names == ["results/exitCode", "results/stderr", "results/stdout"]
        found.extend([await read(hostile, m.FilesWanted(EXECUTION, 2, 1, offset)) for offset in (0, 1, 3)])
        found.extend([await read(hostile, m.FilesWanted(EXECUTION, 0, count, 0)) for count in (1, 2, 3)])
        await refuses_what_is_not_there(hostile)

    play(scenario, lambda _: Play(stdout=b"out"))
    assert found == [m.encode(m.LogPiece(b"ut", b"")), b"out", b"ut", b"", b"0", b"0", b"0out"]


def test_what_lies_on_disk_is_read_file_by_file_or_many_at_once():
    """The same files as above, with one more that is too large for memory."""
    found = []

    async def scenario(hostile, nodes):
        await hostile.given(spec("noop"), EXECUTION)
        await hostile.hears(m.Proposed, execution=EXECUTION)
        hostile.say(m.HandOver(EXECUTION))
        assert (await hostile.hears(m.Results, execution=EXECUTION)).files is None
        found.extend([await read(hostile, m.FilesWanted(EXECUTION, 2, 1, offset)) for offset in (0, 1, 3)])
        found.extend([await read(hostile, m.FilesWanted(EXECUTION, 0, 3, offset)) for offset in (0, 1)])
        await refuses_what_is_not_there(hostile, LARGE)
        (nodes.folder / "0/scratch" / EXECUTION / "stderr").unlink()
        with pytest.raises(PeerGone):
            await read(hostile, m.FilesWanted(EXECUTION, 0, 3, 0))

    play(scenario, lambda _: Play(stdout=b"out", stderr=LARGE))
    assert found == [b"out", b"ut", b"", b"0" + LARGE + b"out", LARGE + b"out"]


async def refuses_what_is_not_there(hostile, stderr=b""):
    """Of a result of three files, the last of them of three bytes."""
    asked = {
        (3, 1, 0): "has 3 lines",
        (2, 2, 0): "has 3 lines",
        (2**62, 1, 0): "has 3 lines",
        (2, 1, 4): "ends at 3",
        (0, 3, 2): "ends at 1",
        (1, 2, len(stderr) + 1): f"ends at {len(stderr)}",
        (0, 3, 2**62): "ends at 1",
        (0, 0, 0): "not 0",
        (0, 2**62, 0): f"not {2**62}",
        (0, limits.BLOB_FILES_MAX + 1, 0): f"to {limits.BLOB_FILES_MAX} files",
    }
    for numbers, words in asked.items():
        with pytest.raises(BlobRefused, match=words):
            await read(hostile, m.FilesWanted(EXECUTION, *numbers))


async def read(hostile, request):
    return await fetched_whole(hostile.transport, hostile.node, request, 10**6)


@pytest.mark.parametrize("name", ["exitCode", "exitCode/x"])
def test_a_workload_that_writes_the_exit_code_itself_has_no_result(name):
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(lambda _: Play(files={name: b""}))
            record = await nodes.submit(spec("noop"))
            assert record.executions[0].code == "result"

    simulate(main)


class _FillsUp(ScriptedExecutor):
    """What stands where the exit code goes cannot be written over."""

    async def run(self, task, results, collect):
        def given_back(give_back, stays):
            give_back(stays)
            (results / "exitCode").mkdir()

        return await super().run(task, results, lambda code, give_back: collect(code, partial(given_back, give_back)))


def test_a_full_disk_under_the_exit_code_fails_the_execution_and_not_the_node():
    async def main():
        async with cluster(1) as nodes:
            engine = _FillsUp(says(b"r" * (limits.INLINE_BYTES_MAX + 1)))
            await nodes.start(says(b""), node=lambda parts: Node(replace(parts, executors=(engine,))))
            record = await nodes.submit(spec("noop"))
            assert record.executions[0].code == "full"

    simulate(main)


def test_an_engine_that_meets_a_broken_machine_fails_the_run_and_not_the_node():
    """No driver promises that it never sees an OSError; the scripted one is made to."""

    def breaks(task):
        raise OSError(24, "Too many open files")

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(breaks)
            record = await nodes.submit(spec("noop"))
            assert record.executions[0].code == "internal"
            assert "Too many open files" in record.failure.reason

    simulate(main)


def test_a_requester_whose_key_cannot_be_sealed_to_is_declined():
    """A point outside of the prime-order subgroup signs well enough to connect; a proposal to it cannot be made."""
    torsion = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
    crooked = peer_id_of(crypto_core_ed25519_add(identity(HOSTILE).public_key, torsion))

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"))
            hostile = HandmadeRequester(identity(HOSTILE), nodes.network.join(crooked))
            await nodes.nursery.start(hostile.run, nodes.transports[0].addresses[0])
            answer = await hostile.hears(m.Bid | m.Decline, job=hostile.offer(spec("noop")))
            assert (type(answer), answer.code) == (m.Decline, "policy")

    simulate(main)


def test_a_result_is_handed_over_once():
    async def scenario(hostile, nodes):
        await hostile.given(spec("noop"), EXECUTION)
        await hostile.hears(m.Proposed, execution=EXECUTION)
        hostile.say(*[m.HandOver(EXECUTION)] * 100)
        await trio.sleep(5)
        assert len([message for message in hostile.heard if isinstance(message, m.Results)]) == 1

    play(scenario)


def test_results_wait_for_a_vote_that_takes_hours():
    """One node hangs until the deadline of the run; what the others proposed long before is still there."""

    async def main():
        async with cluster(1) as nodes:
            for takes_s in (60.0, 60.0, 1e9):
                await nodes.start(lambda _, takes_s=takes_s: Play(stdout=b"r", takes_s=takes_s))
            await nodes.settled()
            record = await nodes.submit(spec(concurrency=3, confidence=2, timeout_s=5 * 3600.0))
            assert (record.state, record.verdict.kind) == ("completed", "verified")

    simulate(main)


def test_offers_without_end_push_out_no_other_requesters():
    async def scenario(hostile, nodes):
        honest = await by_hand(nodes, 8)
        job = honest.offer(spec("noop"), "a" * 32)
        await honest.hears(m.Bid, job=job)
        for _ in range(10):
            last = [hostile.offer(spec("noop")) for _ in range(1000)][-1]
            await hostile.hears(m.Bid, job=last)
        honest.say(m.Accept(job, 0, "f" * 32))
        await honest.hears(m.Proposed, execution="f" * 32)
        nodes.network.lose(peer(0), peer(8))

    play(scenario)
