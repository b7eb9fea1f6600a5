"""Taking what won from one winner after the other, each of them played by hand: no node, no network."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from contract.journals import record
from doubles.hostile import manifest_for, wanted

from node import limits
from node import messages as m
from node.ambient import Ambient, inline
from node.errors import BadResult, BlobRefused, MalformedMessage, NoRoom, PeerGone
from node.publisher.base import Publishers
from node.requester.effects import Fetch
from node.requester.handover import HandOvers
from node.transport.base import Blob
from node.vault.results import Intake, Results

FILES = {"exitCode": b"0", "outputs/a": b"aaaa", "stderr": b"", "stdout": b"hi"}
MANIFEST, CONTENTS = manifest_for(FILES)
SIZES = tuple(map(len, CONTENTS))
EXECUTION = "e" * 32


class Winners:
    """A transport on which each peer answers as it was told; None: not at all. ``asked`` keeps what was asked."""

    def __init__(self, answers, chunks=None):
        self.answers = answers
        self.chunks = chunks or (lambda peer, request: [wanted(CONTENTS, request)])
        self.asked = []
        self.hand_overs = None
        self.local_id = "me"
        self.peers = tuple(answers)

    def send(self, to, message):
        answer = self.answers[to]
        if answer is not None:
            self.hand_overs.received(to, answer)

    @asynccontextmanager
    async def fetch(self, peer, request):
        await trio.lowlevel.checkpoint()
        self.asked.append((peer, request))
        chunks = self.chunks(peer, request)
        if isinstance(chunks, Exception):
            raise chunks
        blob = chunks if isinstance(chunks, Blob) else Blob(sum(map(len, chunks)), _each(chunks))
        try:
            yield blob
        finally:
            await blob.aclose()


async def broken_off(chunks):
    """These, and no end."""
    async for chunk in _each(chunks):
        yield chunk
    raise PeerGone("broken off")


async def _each(chunks):
    for chunk in chunks:
        await trio.lowlevel.checkpoint()
        yield chunk


def by_stream(sizes=SIZES):
    return m.Results(EXECUTION, MANIFEST.render(), sizes, None)


def take(folder, winners, *peers, vault=Results):
    """Ask these in turn, as the role does; returns what became of each: an error or the results."""

    async def main():
        hand_overs = winners.hand_overs = HandOvers(winners, vault(folder), Publishers({}), Ambient(offload=inline))
        collected = await hand_overs.begin(record())
        incoming = collected.incoming(0)
        outcomes = []
        for peer in peers:
            try:
                outcomes.append(await hand_overs.fetch(incoming, Fetch(peer, EXECUTION, MANIFEST.h1())))
            except (BadResult, BlobRefused, MalformedMessage, NoRoom, PeerGone) as error:
                outcomes.append(error)
        assert hand_overs._waiting == {}
        await hand_overs.abandon(collected)
        assert list(folder.iterdir()) == []
        return outcomes

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_small_files_come_together_from_one_winner(tmp_path):
    winners = Winners({"a": by_stream()})
    (kept,) = take(tmp_path, winners, "a")
    assert (kept.files, kept.bytes, kept.peer, kept.exit_code) == (4, 7, "a", 0)
    assert asked(winners) == [(0, 4, 0)]


def asked(winners, of="a"):
    """Index, count and offset of each request for files."""
    return [(request.index, request.count, request.offset) for peer, request in winners.asked if peer == of]


def test_the_next_winner_goes_on_behind_what_is_whole_and_may_not_say_other_sizes_for_it(tmp_path):
    def chunks(peer, request):
        if peer != "a":
            return [wanted(CONTENTS, request)]
        return BlobRefused("enough") if request.index else Blob(7, broken_off([b"0aaaa"]))

    winners = Winners({"a": by_stream(), "b": by_stream((9, *SIZES[1:])), "c": by_stream()}, chunks)
    refused, lied, kept = take(tmp_path, winners, "a", "b", "c")
    assert isinstance(refused, BlobRefused)
    assert isinstance(lied, BadResult)
    assert kept.bytes == 7
    assert asked(winners) == [(0, 4, 0), (3, 1, 0)]  # The third has no bytes.
    assert asked(winners, of="c") == [(3, 1, 0)]


def test_a_file_that_one_winner_began_is_begun_anew_by_the_next(tmp_path):
    def chunks(peer, request):
        if peer == "b":
            return [wanted(CONTENTS, request)]
        return BlobRefused("enough") if request.offset else Blob(7, broken_off([b"0??"]))

    refused, kept = take(tmp_path, winners := Winners({"a": by_stream(), "b": by_stream()}, chunks), "a", "b")
    assert isinstance(refused, BlobRefused)
    assert kept.bytes == 7
    assert (asked(winners), asked(winners, of="b")) == ([(0, 4, 0), (1, 3, 2)], [(1, 3, 0)])


def test_a_winner_that_never_answers_is_gone(tmp_path):
    (gone,) = take(tmp_path, Winners({"a": None}), "a")
    assert isinstance(gone, PeerGone)


def test_a_winner_that_has_left_is_not_waited_for(tmp_path):
    winners = Winners({"a": by_stream()})
    winners.peers = ()
    (gone,) = take(tmp_path, winners, "a")
    assert str(gone) == "it has left"


def test_a_winner_that_leaves_while_it_is_asked_is_not_waited_for(tmp_path):
    async def main():
        hand_overs = HandOvers(
            Winners({"a": None, "b": None}), Results(tmp_path), Publishers({}), Ambient(offload=inline)
        )
        incoming = (await hand_overs.begin(record())).incoming(0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gone, hand_overs, incoming)
            await trio.testing.wait_all_tasks_blocked()
            hand_overs.left("b")
            hand_overs.left("a")

    async def gone(hand_overs, incoming):
        begun_at = trio.current_time()
        with pytest.raises(PeerGone, match="it left"):
            await hand_overs.fetch(incoming, Fetch("a", EXECUTION, MANIFEST.h1()))
        assert trio.current_time() == begun_at

    trio.run(main, clock=trio.testing.MockClock())


def test_an_announced_manifest_over_the_limit_is_not_read(tmp_path):
    async def never():
        raise AssertionError("it was read")
        yield b""

    huge = Blob(limits.MANIFEST_BYTES_MAX + 1, never())
    (lied,) = take(tmp_path, Winners({"a": m.Results(EXECUTION, None, None, None)}, lambda *_: huge), "a")
    assert isinstance(lied, MalformedMessage)


def test_results_for_which_there_is_no_room_are_not_begun(tmp_path):
    class Full(Intake):
        def need_room(self, size):
            raise NoRoom(f"{size} bytes")

    class FullVault(Results):
        def intake(self, record):
            final = tmp_path / "c" / "n" / "t" / "j"
            return Full(final.with_name(".partial-j"), final)

    winners = Winners({"a": by_stream()})
    (full,) = take(tmp_path, winners, "a", vault=FullVault)
    assert str(full) == "7 bytes"
    assert winners.asked == []


@pytest.mark.parametrize("more", [[b"x"], [b"", b"xx"]])
def test_a_file_longer_than_announced_is_a_lie_before_it_is_read(tmp_path, more):
    winners = Winners({"a": by_stream()}, lambda _, request: [*CONTENTS, *more])
    (lied,) = take(tmp_path, winners, "a")
    assert str(lied) == f"4 files from results/exitCode on: it sends {7 + len(more[-1])} bytes, and announced 7"


def test_an_answer_that_comes_twice_or_unasked_is_nothing(tmp_path):
    async def main():
        hand_overs = HandOvers(Winners({}), Results(tmp_path), Publishers({}), Ambient(offload=inline))
        hand_overs.received("a", by_stream())
        hand_overs.received("a", m.NoResults(EXECUTION, "gone"))

    trio.run(main)
