"""What every Transport must do with blobs. Each transport's test class inherits this and says how to make its world."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from contract.transports import EXECUTION, Party, Recorder, World, identity, numbered, parties, refuse, together

from node import limits
from node.errors import BlobRefused, MalformedMessage, PeerError, PeerGone, StorageError
from node.messages import BlobRequest, FilesWanted
from node.model import PeerId
from node.transport.base import Blob


def wanted(index: int = 0, offset: int = 0) -> FilesWanted:
    """A request for a blob."""
    return FilesWanted(execution=EXECUTION, index=index, count=1, offset=offset)


class Source:
    """A blob's chunks, which remember whether somebody closed them."""

    def __init__(self, *chunks: bytes, then: Exception | None = None) -> None:
        self._chunks = iter(chunks)
        self._then = then
        self.closed = trio.Event()

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        for chunk in self._chunks:
            return chunk
        raise self._then or StopAsyncIteration

    async def aclose(self) -> None:
        self.closed.set()


def serving(source: Source, size: int) -> Callable[[PeerId, BlobRequest], Any]:
    """A blob service with one blob."""

    async def service(sender: PeerId, request: BlobRequest) -> Blob:
        return Blob(size, source)

    return service


async def drained(blob: Blob) -> None:
    """Read to the end."""
    async for _ in blob.chunks:
        pass


class BlobContract:
    """Inherit, define ``run`` and ``world``; pytest collects the rest. Blobs."""

    def run(self, main: Callable[[], Any]) -> None:
        raise NotImplementedError

    def world(self) -> World:
        raise NotImplementedError

    def blob_test(self, service: Any, check: Callable[[Party, Party], Any]) -> None:
        """Run ``check(reader, server)`` with a service behind the server."""

        async def main() -> None:
            async with parties(self.world(), Recorder(), Recorder(service)) as (reader, server):
                await together(reader, server)
                await check(reader, server)

        self.run(main)

    @pytest.mark.parametrize("size", [0, 1, limits.BLOB_CHUNK_BYTES, 3 * limits.BLOB_CHUNK_BYTES + 17])
    def test_a_blob_arrives_whole_in_bounded_chunks_and_is_closed(self, size: int) -> None:
        content = bytes(range(256)) * (size // 256) + bytes(size % 256)
        source = Source(content[: size // 3], content[size // 3 :])

        async def check(reader: Party, server: Party) -> None:
            async with reader.transport.fetch(server.id, wanted()) as blob:
                chunks = [chunk async for chunk in blob.chunks]
            assert blob.size == size
            assert b"".join(chunks) == content
            assert all(0 < len(chunk) <= limits.BLOB_CHUNK_BYTES for chunk in chunks)
            await source.closed.wait()

        self.blob_test(serving(source, size), check)

    def test_the_request_and_its_sender_reach_the_far_side(self) -> None:
        asked: list[tuple[PeerId, BlobRequest]] = []

        async def service(sender: PeerId, request: BlobRequest) -> Blob:
            asked.append((sender, request))
            return Blob(3, Source(b"xyz"))

        async def check(reader: Party, server: Party) -> None:
            async with reader.transport.fetch(server.id, wanted(7, offset=2**40)) as blob:
                assert [chunk async for chunk in blob.chunks] == [b"xyz"]
            assert asked == [(reader.id, wanted(7, offset=2**40))]

        self.blob_test(service, check)

    def test_a_refusal_carries_its_reason(self) -> None:
        async def check(reader: Party, server: Party) -> None:
            with pytest.raises(BlobRefused, match="nothing here"):
                async with reader.transport.fetch(server.id, wanted()):
                    pytest.fail("there is no blob")

        self.blob_test(refuse, check)

    def test_a_service_that_fails_refuses_and_keeps_its_reasons_to_itself(self) -> None:
        async def service(sender: PeerId, request: BlobRequest) -> Blob:
            raise StorageError("/secret/path is gone")

        async def check(reader: Party, server: Party) -> None:
            with pytest.raises(BlobRefused, match="not available"):
                async with reader.transport.fetch(server.id, wanted()):
                    pytest.fail("there is no blob")
            assert reader.heard.comings() == ["joined"]

        self.blob_test(service, check)

    @pytest.mark.parametrize(
        "source",
        [
            pytest.param(
                lambda: Source(b"half", then=StorageError("the disk is gone")), id="the far side's disk fails"
            ),
            pytest.param(lambda: Source(b"half", then=MalformedMessage("of another")), id="its own source misbehaves"),
            pytest.param(lambda: Source(b"half"), id="the far side has less than it said"),
            pytest.param(lambda: Source(b"halfhalf", b"more"), id="the far side has more than it said"),
        ],
    )
    def test_a_blob_that_is_not_what_was_announced_is_an_error(self, source: Callable[[], Source]) -> None:
        async def check(reader: Party, server: Party) -> None:
            async with reader.transport.fetch(server.id, wanted()) as blob:
                with pytest.raises(PeerError):
                    await drained(blob)
            assert reader.heard.comings() == ["joined"]

        async def service(sender: PeerId, request: BlobRequest) -> Blob:
            return Blob(8, source())

        self.blob_test(service, check)

    def test_a_blob_ends_with_its_connection(self) -> None:
        source = Source(*[bytes(limits.BLOB_CHUNK_BYTES)] * 256)

        async def main() -> None:
            world = self.world()
            service = serving(source, 256 * limits.BLOB_CHUNK_BYTES)
            async with parties(world, Recorder(), Recorder(service)) as (reader, server):
                await together(reader, server)
                async with reader.transport.fetch(server.id, wanted()) as blob:
                    await anext(blob.chunks)
                    await world.break_connection(reader.transport, server.transport)
                    with pytest.raises(PeerGone):
                        await drained(blob)
                await source.closed.wait()

        self.run(main)

    def test_a_reader_that_stalls_is_given_up(self) -> None:
        source = Source(*[bytes(limits.BLOB_CHUNK_BYTES)] * 256)

        async def main() -> None:
            world = self.world()
            service = serving(source, 256 * limits.BLOB_CHUNK_BYTES)
            async with parties(world, Recorder(), Recorder(service)) as (reader, server):
                await together(reader, server)
                async with reader.transport.fetch(server.id, wanted()) as blob:
                    await anext(blob.chunks)
                    await trio.sleep(2 * world.stall_s)
                    with pytest.raises(PeerGone):
                        await drained(blob)
                await source.closed.wait()
                assert reader.heard.comings() == ["joined"]

        self.run(main)

    def test_a_reader_that_leaves_early_ends_the_stream(self) -> None:
        source = Source(*[bytes(limits.BLOB_CHUNK_BYTES)] * 256)

        async def check(reader: Party, server: Party) -> None:
            async with reader.transport.fetch(server.id, wanted()) as blob:
                await anext(blob.chunks)
            await source.closed.wait()
            reader.transport.send(server.id, numbered(1))
            await server.heard.until_messages(1)

        self.blob_test(serving(source, 256 * limits.BLOB_CHUNK_BYTES), check)

    def test_one_peer_gets_so_many_blobs_at_once_and_more_when_one_ends(self) -> None:
        async def service(sender: PeerId, request: BlobRequest) -> Blob:
            return Blob(2**30, Source(*[bytes(limits.BLOB_CHUNK_BYTES)] * 4096))

        async def check(reader: Party, server: Party) -> None:
            async with trio.open_nursery() as nursery:
                opened = [trio.Event() for _ in range(limits.BLOB_STREAMS_PER_PEER)]
                enough = trio.Event()

                async def hold(number: int) -> None:
                    async with reader.transport.fetch(server.id, wanted(number)):
                        opened[number].set()
                        await enough.wait()

                for number, event in enumerate(opened):
                    nursery.start_soon(hold, number)
                    await event.wait()
                with pytest.raises(BlobRefused):
                    async with reader.transport.fetch(server.id, wanted()):
                        pytest.fail("one too many")
                enough.set()
            await self._fetch_first(reader, server)

        self.blob_test(service, check)

    async def _fetch_first(self, reader: Party, server: Party) -> None:
        while True:
            try:
                async with reader.transport.fetch(server.id, wanted()) as blob:
                    await anext(blob.chunks)
            except BlobRefused:
                await trio.sleep(0.01)  # The far side hears of the ends a moment later.
            else:
                return

    def test_a_node_can_fetch_from_itself(self) -> None:
        async def main() -> None:
            own = Recorder(serving(Source(b"own"), 3))
            async with parties(self.world(), own) as (one,), one.transport.fetch(one.id, wanted()) as blob:
                assert [chunk async for chunk in blob.chunks] == [b"own"]

        self.run(main)

    def test_nobody_fetches_from_a_stranger(self) -> None:
        async def main() -> None:
            async with parties(self.world(), Recorder()) as (one,):
                with pytest.raises(PeerGone):
                    async with one.transport.fetch(identity(99).peer_id, wanted()):
                        pytest.fail("a stranger has no blobs")

        self.run(main)
