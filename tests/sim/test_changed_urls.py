"""A file of the web that is another one where one node asks: that node has no proposal, and nobody calls it a liar."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import trio
from doubles.peers import peer
from sim.cluster import cluster, says, simulate, spec

from node.model import Sha256, UrlInput
from node.storage.base import Prepared
from node.storage.seen import Seen, check_same
from node.storage.sources import Sources
from node.wiring import Node

RIGHT, OTHER = b"what everybody sees", b"what one node sees!"
URL = "https://example.org/a"


class Web:
    """As one node is answered: each answer is whole, and has no ETag."""

    name = "url"

    def __init__(self, content, folder):
        self._seen = Seen(len(content), None, Sha256(hashlib.sha256(content).hexdigest()))
        self._folder = folder

    async def resolved(self, ref):
        await trio.lowlevel.checkpoint()
        return msgspec.structs.replace(ref, size=self._seen.size, sha256=self._seen.sha256)

    async def to_fetch(self, ref):
        await trio.lowlevel.checkpoint()
        return ref.size

    @asynccontextmanager
    async def prepared(self, ref, origin):
        await trio.lowlevel.checkpoint()
        check_same(ref, self._seen)
        yield Prepared(self._folder, self.name)


def answered(content):
    return lambda parts: Node(replace(parts, storage=Sources({UrlInput: Web(content, parts.data_dir)})))


def ended(*contents):
    """The job's end where the nodes are answered so, the first of them the requester."""

    async def main():
        async with cluster(7) as nodes:
            for content in contents:
                await nodes.start(says(b"r"), node=answered(content))
            await nodes.settled()
            ref = UrlInput(url=URL, path="/inputs/a")
            return await nodes.submit(spec(inputs=(ref,), concurrency=len(contents), confidence=2))

    return simulate(main)


def test_a_node_that_sees_other_bytes_fails_for_its_data_and_the_vote_stands():
    record = ended(RIGHT, RIGHT, OTHER, RIGHT)

    assert record.state == "completed"
    assert record.verdict.kind == "verified"
    (failed,) = [run for run in record.executions if run.state == "failed"]
    assert (failed.peer, failed.code, failed.lied) == (peer(2), "data", None)
    assert "the source changed since the job was submitted (sha256 was" in failed.reason
    assert sum(run.agreed is True for run in record.executions) == 3


def test_when_all_others_see_other_bytes_than_the_requester_nothing_is_voted_on():
    record = ended(RIGHT, OTHER, OTHER)

    assert record.state in ("failed", "not_verified")
    assert [run.code for run in record.executions if run.peer != peer(0)] == ["data", "data"]
    assert record.results is None
