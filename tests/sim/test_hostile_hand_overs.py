"""Winners that send what breaks a careless reader: the requester goes on, blames nobody else, keeps nothing of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from doubles.hostile import Hostile, manifest_for, wanted
from doubles.peers import identity, peer
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node import messages as m
from node.errors import Conflict
from node.model import CidInput
from node.transport.base import Blob
from node.wiring import Node

LIAR = 9
FILES = {"stdout": b"r", "stderr": b"", "exitCode": b"0", "outputs/a.txt": b"rr"}
MANIFEST, CONTENTS = manifest_for(FILES)
SIZES = tuple(map(len, CONTENTS))
TEXT = b"r" * 40_000  # Too much for a frame.
LARGE = FILES | {"stdout": TEXT, "outputs/a.txt": TEXT * 2}
LARGE_MANIFEST, LARGE_CONTENTS = manifest_for(LARGE)
ONLY_THE_LIAR = {"inputs": (CidInput(cid="what nobody else holds", path="/inputs"),)}


def play(make_hostile, job, honest=1, seed=1, text=b"r"):
    """A hostile node among honest ones runs a job, and then the requester has to verify another one without it."""

    async def main():
        async with cluster(seed) as nodes:
            for _ in range(honest):
                await nodes.start(says(text))
            hostile = make_hostile(nodes.network.join(peer(LIAR)))
            await nodes.nursery.start(hostile.run, nodes.transports[0].addresses[0])
            record = await nodes.submit(job)
            nodes.network.lose(peer(0), peer(LIAR))
            assert (await nodes.submit(spec("noop"))).state == "completed"
            return record, hostile, nodes.kept_files(record)

    return simulate(main)


def hands_over(files, **rest):
    """A node that hands over exactly what it proposed, whatever that is."""
    manifest, contents = manifest_for(files)
    sizes = tuple(map(len, contents))
    return lambda transport: Hostile(
        identity(LIAR), transport, manifest.h1(), lambda e: m.Results(e, manifest.render(), sizes, contents), **rest
    )


@pytest.mark.parametrize(
    ("text", "exit_code"),
    [(b"7", 7), (b"255", 255), (b"256", None), (b"9" * 60, None), (b"007", None), (b" 1\n", None), (b"-1", None)],
)
def test_an_exit_code_is_one_or_none(text, exit_code):
    record, _, _ = play(hands_over(FILES | {"exitCode": text}), spec("noop", **ONLY_THE_LIAR))
    assert record.state == "completed"
    assert record.kept.exit_code == exit_code


SHAPES = {
    "a folder where the exit code goes": {"exitCode/x": b""},
    "a folder where stdout goes": {"stdout/x": b""},
    "a file where an output goes": {"outputs": b""},
    "an output of no name in the spec": {"other/x": b""},
}


@pytest.mark.parametrize("files", SHAPES.values(), ids=SHAPES.keys())
def test_results_of_a_shape_that_no_execution_leaves_are_refused(files):
    record, _, kept = play(hands_over(files), spec("noop", **ONLY_THE_LIAR))
    assert (record.state, record.failure.code) == ("failed", "hand_over")
    assert "belongs to no output" in record.executions[0].lied
    assert kept == {}


class Talkative(Hostile):
    """Announces a manifest of ten bytes and sends more."""

    async def blob(self, sender, request):
        """See Receiver."""
        return Blob(10, _pieces([b"x" * 11]))


def test_a_manifest_longer_than_announced_is_a_lie():
    record, _, _ = play(
        lambda transport: Talkative(identity(LIAR), transport, MANIFEST.h1(), lambda e: m.Results(e, None, None, None)),
        spec("noop", **ONLY_THE_LIAR),
    )
    assert record.state == "failed"
    assert "more bytes than announced" in record.executions[0].lied


@pytest.mark.parametrize("sizes", [(0,) * 4, (10**6,) * 4])
def test_small_files_must_have_the_sizes_that_were_announced(sizes):
    record, _, _ = play(
        lambda transport: Hostile(
            identity(LIAR), transport, MANIFEST.h1(), lambda e: m.Results(e, MANIFEST.render(), sizes, CONTENTS)
        ),
        spec("noop", **ONLY_THE_LIAR),
    )
    assert record.executions[0].lied


class Poisoner(Hostile):
    """Sends the first file, the wrong first byte of the second, and breaks off for ever."""

    async def blob(self, sender, request):
        """See Receiver."""
        self.asked.append(request)
        content = wanted(LARGE_CONTENTS, request)
        return Blob(len(content), _pieces([content[:1] + b"?"] if request.index == 0 else []))


class Short(Hostile):
    """Sends all but the last byte of what it announces, and never that one."""

    async def blob(self, sender, request):
        """See Receiver."""
        self.asked.append(request)
        content = wanted(LARGE_CONTENTS, request)
        return Blob(len(content), _pieces([content[:-1]] if len(content) > 1 else []))


class Stalling(Hostile):
    """Sends one file after the other, waits between them as long as it may, and longer before the last."""

    async def blob(self, sender, request):
        """See Receiver."""
        self.asked.append(request)
        return Blob(len(wanted(LARGE_CONTENTS, request)), _with_pauses(request))


class Dripping(Hostile):
    """Never silent for long, never done."""

    async def blob(self, sender, request):
        """See Receiver."""
        self.asked.append(request)
        content = wanted(LARGE_CONTENTS, request)
        return Blob(len(content), _slowly(content))


def by_blob(execution):
    return m.Results(execution, LARGE_MANIFEST.render(), tuple(map(len, LARGE_CONTENTS)), None)


@pytest.mark.parametrize("kind", [Poisoner, Short, Stalling, Dripping])
def test_a_winner_that_does_not_finish_harms_neither_the_job_nor_the_next_winner(kind):
    asked = 0
    for seed in range(8):
        record, hostile, kept = play(
            lambda transport: kind(identity(LIAR), transport, LARGE_MANIFEST.h1(), by_blob),
            spec(concurrency=3, confidence=2),
            honest=2,
            seed=seed,
            text=TEXT,
        )
        assert record.state == "completed"
        assert not any(run.lied for run in record.executions)
        assert kept == LARGE
        asked += bool(hostile.asked)
    assert asked


def test_a_list_of_files_too_long_for_a_frame_is_fetched_by_itself():
    """Both ends of it, honest: the list lies on disk there, and is parsed by a thread here."""
    folder = "/".join(letter * 250 for letter in "abc")
    names = {f"outputs/{folder}/{number}": b"%d" % number for number in range(330)}

    async def main():
        async with cluster(1) as nodes:
            for _ in range(2):
                await nodes.start(lambda task: replace(says(b"r")(task), files=names))
            await nodes.settled()
            async with trio.open_nursery() as nursery:
                for _ in range(5):  # More than there are places for.
                    nursery.start_soon(nodes.submit, spec(concurrency=2))
            records = await nodes.nodes[0].jobs.recent(CLIENT, 10)
            assert [record.state for record in records] == ["completed"] * 5
            return records[0], nodes.kept_files(records[0])

    record, kept = simulate(main)
    assert record.results.files == 333
    assert {name: kept[name] for name in names} == names


def test_a_job_whose_receipt_is_being_made_has_ended_for_who_would_cancel_it():
    refused = []

    async def main():
        async with cluster(1) as nodes:

            async def cancel(job):
                with pytest.raises(Conflict, match="has ended already"):
                    await nodes.nodes[0].jobs.cancel(CLIENT, job)
                refused.append(job)

            def watched(parts):
                async def offload(call, *args):
                    if getattr(call, "__name__", "") == "_finished":
                        nodes.nursery.start_soon(cancel, args[0].record.job)
                        await trio.sleep(1)
                    return await parts.ambient.offload(call, *args)

                return Node(replace(parts, ambient=replace(parts.ambient, offload=offload)))

            await nodes.start(says(b"r"), node=watched)
            record = await nodes.submit(spec("noop"))
            await trio.sleep(10)
            return record, nodes.kept_files(record)

    record, kept = simulate(main)
    assert refused == [record.job]
    assert record.state == "completed"
    assert kept["stdout"] == b"r"


async def _pieces(chunks):
    for chunk in chunks:
        yield chunk


async def _with_pauses(request):
    for index in range(request.index, len(LARGE_CONTENTS) - 1):
        yield LARGE_CONTENTS[index][request.offset if index == request.index else 0 :]
        await trio.sleep(29)
    await trio.sleep_forever()


async def _slowly(content):
    for byte in content:
        await trio.sleep(29)
        yield bytes([byte])
    await trio.sleep_forever()
