"""Specs that are too long to be offered: refused where a client submits one, declined where a requester offers one."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from doubles.peers import identity, peer
from doubles.requesters import HandmadeRequester
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node import limits
from node import messages as m
from node.errors import InvalidSpec
from node.model import InlineFile, InlineInput, UrlInput
from node.spec import document
from node.storage.sources import Sources
from node.wiring import Node

URL = UrlInput(url="https://example.org/a", path="/inputs/a")


def long(job, size=limits.SPEC_BYTES_MAX):
    """The job with arguments that make its JSON so long, in bytes."""
    missing = size - len(document(with_args(job, "")))
    whole, rest = divmod(missing, limits.ARG_BYTES_MAX)
    texts = [limits.ARG_BYTES_MAX - len('"",')] * whole + [rest]
    made = with_args(job, *("x" * text for text in texts))
    assert len(document(made)) == size
    return made


def with_args(job, *args):
    return msgspec.structs.replace(job, engine=msgspec.structs.replace(job.engine, args=args))


def content(job, size):
    """The job with an inline file of so many bytes that stand in the spec itself."""
    file = InlineInput(files={"a": InlineFile(content=bytes(size))}, path="/inputs/a")
    return msgspec.structs.replace(job, inputs=(file,))


def answer_to(offered):
    """What a node says to a requester that offers this."""

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"))
            stranger = HandmadeRequester(identity(9), nodes.network.join(peer(9)))
            await nodes.nursery.start(stranger.run, nodes.transports[0].addresses[0])
            return await stranger.hears(m.Bid | m.Decline, job=stranger.offer(offered))

    return simulate(main)


def test_an_offer_is_as_long_as_a_client_may_submit_and_no_longer():
    assert isinstance(answer_to(long(spec("noop"))), m.Bid)
    longer = answer_to(long(spec("noop"), limits.SPEC_BYTES_MAX + 1))
    assert (longer.code, longer.reason) == (
        "policy",
        "its spec breaks the rules: expected at most 262144 bytes besides the contents of inline files, got 262145"
        " at `$`",
    )


def test_contents_of_inline_files_do_not_travel_in_offers():
    """Else each would be a megabyte that a node holds before it has said anything."""
    assert "expected at most 262144 bytes" in answer_to(content(spec("noop"), limits.SPEC_BYTES_MAX)).reason


class Web:
    """Every file has a long ETag."""

    name = "url"

    async def resolved(self, ref):
        return msgspec.structs.replace(ref, size=1, etag=f'"{"e" * 500}"')


def test_a_submission_that_is_too_long_once_its_inputs_are_pinned_is_refused():
    """No node would take it."""

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"), node=lambda parts: Node(replace(parts, storage=Sources({UrlInput: Web()}))))
            job = spec("noop", inputs=(URL,))
            await nodes.nodes[0].jobs.submit(CLIENT, long(job, limits.SPEC_BYTES_MAX - 600))
            with pytest.raises(InvalidSpec, match="expected at most 262144 bytes"):
                await nodes.nodes[0].jobs.submit(CLIENT, long(job, limits.SPEC_BYTES_MAX - 400))

    simulate(main)
