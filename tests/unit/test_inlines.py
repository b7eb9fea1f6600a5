"""Contents of inline files, for the nodes that run their jobs."""

from __future__ import annotations

import hashlib

import pytest
import trio
from unit.receipts import HONEST, finished, spec_of

from node import limits
from node.errors import BlobRefused
from node.messages import InlineWanted
from node.requester.inlines import inline_blob
from node.requester.live import LiveJob

CONTENT = bytes(range(256)) * 3_000
NAME = hashlib.sha256(CONTENT).hexdigest()


def live(**contents):
    return LiveJob(finished(spec_of(), HONEST).record, 0, 0, contents)


async def whole(blob):
    return b"".join([chunk async for chunk in blob.chunks])


@pytest.mark.parametrize("offset", [0, 1, limits.BLOB_CHUNK_BYTES, len(CONTENT) - 1, len(CONTENT)])
def test_a_content_comes_from_any_offset(offset):
    blob = inline_blob([live(), live(**{NAME: CONTENT})], InlineWanted(NAME, offset))
    assert blob.size == len(CONTENT) - offset
    assert trio.run(whole, blob) == CONTENT[offset:]


def test_chunks_are_no_longer_than_agreed():
    async def lengths():
        return [len(chunk) async for chunk in inline_blob([live(**{NAME: CONTENT})], InlineWanted(NAME, 0)).chunks]

    assert max(trio.run(lengths)) == limits.BLOB_CHUNK_BYTES


def test_what_no_job_has_is_refused():
    with pytest.raises(BlobRefused, match="no job"):
        inline_blob([live(**{NAME: CONTENT})], InlineWanted("ab" * 32, 0))


def test_nothing_lies_behind_the_end():
    with pytest.raises(BlobRefused, match="ends at"):
        inline_blob([live(**{NAME: CONTENT})], InlineWanted(NAME, len(CONTENT) + 1))
