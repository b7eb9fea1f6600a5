"""Inline inputs: what a requester sends is checked before anybody sees it, and one requester's lies are its own."""

from __future__ import annotations

import hashlib

import pytest
import trio
from doubles.inputcaches import cache_in, guarded, left_in
from doubles.peers import peer

from node.ambient import inline
from node.errors import StorageError
from node.model import InlineFile, InlineInput
from node.storage.inline import InlineFiles

GOOD, LIAR, SLOW = peer(1), peer(2), peer(3)
CONTENT = b"a,b\n1,2\n"
REF = InlineInput(
    files={"t/a.csv": InlineFile(size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())}, path="/inputs"
)


class Requesters:
    """One tells the truth, one sends other bytes of the same size, one takes its time."""

    def __init__(self):
        self.asked = []

    async def fetch(self, origin, sha256, size):
        self.asked.append(origin)
        if origin == SLOW:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        return CONTENT if origin == GOOD else b"x" * size


def driver(tmp_path):
    requesters = Requesters()
    return InlineFiles(requesters, cache_in(tmp_path), inline), requesters


async def read(files, origin, ref=REF):
    async with files.prepared(ref, origin) as found:
        return (found.path / "t" / "a.csv").read_bytes()


def test_a_lie_is_a_reason_and_nothing_of_it_is_kept(tmp_path):
    async def main():
        files, _ = driver(tmp_path)
        with pytest.raises(StorageError, match="is not the inline file that the job names"):
            await read(files, LIAR)
        assert left_in(tmp_path) == []
        assert await files.to_fetch(REF) == len(CONTENT)
        assert await read(files, GOOD) == CONTENT

    guarded(main)


@pytest.mark.parametrize("size", [0, len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_job_that_names_another_size_than_its_file_has_is_not_run(tmp_path, size):
    [(name, file)] = REF.files.items()
    ref = InlineInput(files={name: InlineFile(size=size, sha256=file.sha256)}, path="/inputs")
    with pytest.raises(StorageError, match="is not the inline file that the job names"):
        guarded(read, driver(tmp_path)[0], GOOD, ref)


def test_a_requester_that_sends_nothing_holds_up_nobody_elses_run(tmp_path):
    async def main():
        files, _ = driver(tmp_path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, files, SLOW)
            await trio.testing.wait_all_tasks_blocked()
            assert await read(files, GOOD) == CONTENT
            nursery.cancel_scope.cancel()

    guarded(main)


def test_what_is_here_is_asked_of_nobody(tmp_path):
    async def main():
        files, requesters = driver(tmp_path)
        for origin in (GOOD, LIAR, SLOW):
            assert await read(files, origin) == CONTENT
        assert requesters.asked == [GOOD]
        assert await files.to_fetch(REF) == 0

    guarded(main)


def test_contents_that_stand_in_the_spec_are_asked_of_nobody(tmp_path):
    ref = InlineInput(files={"t/a.csv": InlineFile(content=CONTENT)}, path="/inputs")

    async def main():
        files, requesters = driver(tmp_path)
        assert await read(files, SLOW, ref) == CONTENT
        assert await read(files, SLOW, REF) == CONTENT
        assert requesters.asked == []

    guarded(main)
