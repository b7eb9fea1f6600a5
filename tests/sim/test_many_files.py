"""Result files that come together in one blob: cut where they end, however it arrives, and each proved by its own line.

Does not live here: what one winner leaves to the next (``test_hand_over``), what a compute node sends
(``tests/unit/test_files.py``).
"""

from __future__ import annotations

import pytest
import trio
import trio.testing
from contract.journals import record
from doubles.hostile import manifest_for, wanted
from hypothesis import given
from hypothesis import strategies as st
from sim.test_hand_over import Winners, asked, broken_off

from node import limits
from node import messages as m
from node.ambient import Ambient, inline
from node.errors import BadResult, MalformedMessage, NoRoom
from node.publisher.base import Publishers
from node.requester.effects import Fetch
from node.requester.handover import HandOvers
from node.transport.base import Blob
from node.vault.results import Intake, Results

EXECUTION = "e" * 32
STREAMS = {"exitCode": b"0", "stderr": b"", "stdout": b""}


def hand_over(folder, files, chunks, offload=inline):
    """One winner hands these over, with ``chunks(contents, request)`` as what it sends.

    Returns its transport double, how many files are whole, what lies in the vault, and the error that ended it; then
    nothing of a file that is not whole counts.
    """
    manifest, contents = manifest_for(files)
    answer = m.Results(EXECUTION, manifest.render(), tuple(map(len, contents)), None)
    winners = Winners({"a": answer}, lambda _, request: chunks(contents, request))

    async def main():
        hand_overs = HandOvers(winners, Results(folder), Publishers({}), Ambient(offload=offload))
        winners.hand_overs = hand_overs
        incoming = (await hand_overs.begin(record())).incoming(0)
        error = None
        try:
            await hand_overs.fetch(incoming, Fetch("a", EXECUTION, manifest.h1()))
        except (BadResult, NoRoom) as caught:
            error = caught
        assert incoming.offset == 0
        return incoming.whole, error

    whole, error = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    (top,) = folder.glob("*/*/*/.partial-*")
    kept = {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
    return winners, whole, kept, error


SIZES = st.lists(st.sampled_from([0, 0, 1, 2, 3, 50]), max_size=12)


@given(sizes=SIZES, pieces=st.lists(st.integers(1, 40), min_size=1), breaks=st.lists(st.integers(1, 60), max_size=4))
def test_files_are_what_they_were_however_the_bytes_are_cut_and_wherever_the_stream_breaks(
    tmp_path_factory, sizes, pieces, breaks
):
    files = STREAMS | {f"outputs/{number:02}": bytes([65 + number]) * size for number, size in enumerate(sizes)}
    breaks, came = list(breaks), []

    def chunks(contents, request):
        whole = wanted(contents, request)
        body = whole[: breaks.pop()] if breaks else whole
        came.append(len(body))
        step = pieces[len(came) % len(pieces)]
        cut = [body[begin : begin + step] for begin in range(0, len(body), step)]
        return cut if len(body) == len(whole) else Blob(len(whole), broken_off(cut))

    _, whole, kept, error = hand_over(tmp_path_factory.mktemp("v"), files, chunks)
    assert (whole, error) == (len(files), None)
    assert kept == files
    assert sum(came) == sum(map(len, files.values()))  # No byte came twice.


def test_very_many_files_take_a_few_blobs_and_a_few_visits_to_a_thread(tmp_path):
    files = STREAMS | {f"outputs/{number:05}": b"%05d" % number for number in range(2 * limits.BLOB_FILES_MAX)}
    visits = []

    async def offload(call, *args):
        visits.append(call)
        return await inline(call, *args)

    winners, _, kept, _ = hand_over(
        tmp_path, files, lambda contents, request: [wanted(contents, request)], offload=offload
    )
    assert kept == files
    assert asked(winners) == [(0, 1_024, 0), (1_024, 1_024, 0), (2_048, 3, 0)]
    assert len(visits) < 10


def test_files_without_any_bytes_need_no_chunk(tmp_path):
    files = STREAMS | {f"outputs/{number:05}": b"" for number in range(limits.BLOB_FILES_MAX * 2)}

    def chunks(contents, request):
        body = wanted(contents, request)
        return [body] if body else []

    _, _, kept, error = hand_over(tmp_path, files, chunks)
    assert (kept, error) == (files, None)


def test_a_stream_that_breaks_behind_the_last_byte_has_brought_everything(tmp_path):
    def no_end(contents, request):
        body = wanted(contents, request)
        return Blob(len(body), broken_off([body]))

    winners, _, kept, error = hand_over(tmp_path, STREAMS | {"outputs/a": b"aa"}, no_end)
    assert (kept, error) == (STREAMS | {"outputs/a": b"aa"}, None)
    assert asked(winners) == [(0, 4, 0)]


def test_a_stream_that_breaks_behind_every_byte_goes_on_as_long_as_something_comes(tmp_path):
    """Of the same file or of the next: more often than an attempt may bring nothing."""
    files = STREAMS | {f"outputs/{number:02}": b"x" for number in range(20)} | {"outputs/99": b"y" * 20}

    def one_more(contents, request):
        body = wanted(contents, request)
        return Blob(len(body), broken_off([body[:1]]))

    _, _, kept, error = hand_over(tmp_path, files, one_more)
    assert (kept, error) == (files, None)


@pytest.mark.parametrize(
    ("sent", "whole", "named"),
    [
        pytest.param(b"1aabbb", 0, "exitCode", id="in the first file"),
        pytest.param(b"0aXbbb", 1, "outputs/a", id="the last byte of a file"),
        pytest.param(b"0aaXbb", 2, "outputs/b", id="the first byte of the next"),
        pytest.param(b"0abbba", 1, "outputs/a", id="a byte of one file in the place of another"),
        pytest.param(b"0aabbX", 2, "outputs/b", id="the last byte of all"),
    ],
)
def test_the_first_file_that_is_not_its_line_is_a_lie_and_what_was_whole_before_stays(tmp_path, sent, whole, named):
    files = STREAMS | {"outputs/a": b"aa", "outputs/b": b"bbb"}
    _, here, kept, error = hand_over(tmp_path, files, lambda *_: [sent])
    assert (here, str(error)) == (whole, f"results/{named} is not the file that won")
    names = sorted(files)[:whole]
    assert {name: kept[name] for name in names} == {name: files[name] for name in names}


def test_a_file_that_has_no_bytes_and_should_have_another_hash_is_a_lie(tmp_path):
    """Its size is the winner's word; the hash won."""
    manifest, _ = manifest_for(STREAMS | {"outputs/a": b"a"})
    winners = Winners({"a": m.Results(EXECUTION, manifest.render(), (1, 0, 0, 0), None)}, lambda *_: [b"0"])

    async def main():
        winners.hand_overs = HandOvers(winners, Results(tmp_path), Publishers({}), Ambient(offload=inline))
        incoming = (await winners.hand_overs.begin(record())).incoming(0)
        with pytest.raises(BadResult, match="outputs/a is not"):
            await winners.hand_overs.fetch(incoming, Fetch("a", EXECUTION, manifest.h1()))

    trio.run(main)


@pytest.mark.parametrize("sent", [b"0aabb", b"0aabbbb", b""])
def test_another_number_of_bytes_announced_is_a_lie(tmp_path, sent):
    _, whole, _, error = hand_over(tmp_path, STREAMS | {"outputs/a": b"aa", "outputs/b": b"bbb"}, lambda *_: [sent])
    assert (whole, str(error)) == (0, f"5 files from results/exitCode on: it sends {len(sent)} bytes, and announced 6")


def test_more_bytes_than_announced_are_a_lie(tmp_path):
    async def too_many():
        yield b"0"
        raise MalformedMessage("more bytes than announced")

    _, whole, _, error = hand_over(tmp_path, STREAMS, lambda *_: Blob(1, too_many()))
    assert whole == 3
    assert "3 files from results/exitCode on: more bytes" in str(error)


def test_a_disk_that_is_full_ends_it_and_leaves_no_file_open(tmp_path):
    opened = []

    class Full(Intake):
        def file(self, name, offset=0):
            opened.append(super().file(name, offset))
            return opened[-1]

        def append(self, file, chunk):
            if len(opened) == 2:
                raise NoRoom("full")
            super().append(file, chunk)

    class FullVault(Results):
        def intake(self, record):
            final = tmp_path / "c" / "n" / "t" / "j"
            return Full(final.with_name(".partial-j"), final)

    manifest, contents = manifest_for(STREAMS | {"outputs/a": b"a"})
    winners = Winners(
        {"a": m.Results(EXECUTION, manifest.render(), tuple(map(len, contents)), None)},
        lambda _, request: [wanted(contents, request)],
    )

    async def main():
        winners.hand_overs = HandOvers(winners, FullVault(tmp_path), Publishers({}), Ambient(offload=inline))
        incoming = (await winners.hand_overs.begin(record())).incoming(0)
        with pytest.raises(NoRoom):
            await winners.hand_overs.fetch(incoming, Fetch("a", EXECUTION, manifest.h1()))
        assert incoming.whole == 1

    trio.run(main)
    assert [file.closed for file in opened] == [True, True]
