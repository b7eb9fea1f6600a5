"""Inline files on their way from a requester: whole, or a reason by a deadline."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager

import pytest
import trio
from doubles.peers import peer
from trio.testing import MockClock

from node import limits
from node.compute.inline import InlineFetcher
from node.errors import BlobRefused, MalformedMessage, PeerGone, StorageError
from node.transport.base import Blob

CONTENT = b"0123456789" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Requester:
    """Sends ``most`` bytes of a stream, then breaks it; or does what ``raises`` says."""

    def __init__(self, content=CONTENT, most=10**9, raises=None, silent=False, size=None):
        self.content, self.most, self.raises, self.silent, self.size = content, most, raises, silent, size
        self.asked = []

    @asynccontextmanager
    async def fetch(self, origin, request):
        self.asked.append((origin, request.sha256, request.offset))
        if self.raises is not None:
            raise self.raises
        left = self.content[request.offset :]
        yield Blob(len(left) if self.size is None else self.size, self.chunks(left))

    async def chunks(self, left):
        if self.silent:
            await trio.sleep_forever()
        yield left[: self.most]
        if len(left) > self.most:
            raise PeerGone("the stream broke off")


def fetched(requester):
    return trio.run(
        InlineFetcher(requester).fetch, peer(2), SHA256, len(CONTENT), clock=MockClock(autojump_threshold=0)
    )


def test_a_file_comes_from_the_requester_by_its_hash():
    requester = Requester()
    assert fetched(requester) == CONTENT
    assert requester.asked == [(peer(2), SHA256, 0)]


def test_a_stream_that_breaks_is_gone_on_with():
    requester = Requester(most=400)
    assert fetched(requester) == CONTENT
    assert [offset for _, _, offset in requester.asked] == [0, 400, 800]


@pytest.mark.parametrize("size", [0, 1, len(CONTENT) - 1, len(CONTENT) + 1, 2**60])
def test_a_requester_that_sends_more_or_less_than_the_job_says_is_not_listened_to(size):
    with pytest.raises(StorageError, match="not the inline file that the job names"):
        fetched(Requester(size=size))


@pytest.mark.parametrize(
    "raises", [BlobRefused("no job that you run here has this file"), MalformedMessage("nonsense")]
)
def test_why_it_cannot_be_had_is_said(raises):
    with pytest.raises(StorageError, match=f"cannot be had from its requester: {raises}"):
        fetched(Requester(raises=raises))


@pytest.mark.parametrize("requester", [Requester(silent=True), Requester(raises=PeerGone("away"))])
def test_a_requester_that_is_silent_or_gone_is_given_up(requester):
    with pytest.raises(StorageError, match=f"took {limits.INLINE_FETCH_S:g} s"):
        fetched(requester)
