"""Each way to publish keeps the contract, over the real thing; folders in ``test_publishing_to_folders``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from contract.publishers import LABEL, OTHER, Place, PublisherContract, results
from doubles.kubo import Kubo as Daemon
from doubles.objectservers import ObjectServer
from doubles.peers import peer
from doubles.swappers import pond

from node import limits
from node.ambient import Threads, inline
from node.errors import StorageError
from node.limits import GiB
from node.model import IpfsPublisher, ObjectPublisher
from node.publisher.ipfs import IpfsPublishing
from node.publisher.object_store import ObjectPublishing
from node.storage import object_store
from node.storage.cache import InputCache
from node.storage.ipfs.driver import Ipfs
from node.storage.ipfs.kubo import Kubo
from node.storage.object_store import ObjectInputs, ObjectStore


class TestIpfsByKubo(PublisherContract):
    @pytest.fixture(autouse=True)
    def _daemon(self, quiet_kubo: Daemon) -> None:
        self.daemon = quiet_kubo

    @asynccontextmanager
    async def place(self, folder: Path) -> AsyncIterator[Place]:
        offload = Threads()
        blocks = Kubo(self.daemon.api, offload)
        inputs = Ipfs([blocks], InputCache(folder / "cache", GiB, offload), offload)
        yield Place(IpfsPublishing(blocks, inputs, peer(1)), IpfsPublisher(), None)

    async def cut_off(self, place: Place, folder: Path) -> None:
        await place.way.publish(place.allowed, LABEL, results(folder / "elsewhere"))

    async def check_gone(self, place: Place, folder: Path, location: str) -> None:
        """Nobody can tell whose pin it is, so it stays."""
        assert location.removeprefix("ipfs://") in self.daemon.ipfs("pin", "ls", "--type=recursive", "-q").decode()

    def test_what_is_published_is_pinned(self, tmp_path: Path) -> None:
        async def main() -> str:
            async with self.place(tmp_path) as place:
                return await place.way.publish(place.allowed, LABEL, results(tmp_path))

        location = trio.run(main)
        assert location.removeprefix("ipfs://") in self.daemon.ipfs("pin", "ls", "--type=recursive", "-q").decode()


class TestIpfsByItself(PublisherContract):
    @asynccontextmanager
    async def place(self, folder: Path) -> AsyncIterator[Place]:
        async with pond(folder) as where:
            blocks = (await where.node(1)).blocks
            inputs = Ipfs([blocks], InputCache(folder / "cache", GiB, inline), inline)
            yield Place(IpfsPublishing(blocks, inputs, peer(1)), IpfsPublisher(), None)

    async def cut_off(self, place: Place, folder: Path) -> None:
        await place.way.publish(place.allowed, LABEL, results(folder / "elsewhere"))

    async def check_gone(self, place: Place, folder: Path, location: str) -> None:
        """The blocks stay until there is need of room, but nothing holds them."""
        assert _files(folder / "node1" / "evictable")
        assert not _files(folder / "node1" / "pinned") + _files(folder / "node1" / "pins")

    def test_what_is_published_is_pinned(self, tmp_path: Path) -> None:
        """All its blocks, and under a name."""

        async def main() -> None:
            async with self.place(tmp_path) as place:
                await place.way.publish(place.allowed, LABEL, results(tmp_path))

        trio.run(main)
        assert _files(tmp_path / "node1" / "pins")
        assert _files(tmp_path / "node1" / "pinned")
        assert not _files(tmp_path / "node1" / "evictable")

    def test_the_same_bytes_stay_pinned_for_whoever_else_published_them(self, tmp_path: Path) -> None:
        tree = results(tmp_path)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                await place.way.publish(place.allowed, OTHER, tree)
                pinned = _files(tmp_path / "node1" / "pinned")
                await place.way.publish(place.allowed, LABEL, tree)
                await place.way.retract(place.allowed, LABEL)
                assert _files(tmp_path / "node1" / "pinned") == pinned != []
                assert not _files(tmp_path / "node1" / "evictable")

        trio.run(main)


class OfObjects(PublisherContract):
    server: ObjectServer

    @asynccontextmanager
    async def place(self, folder: Path) -> AsyncIterator[Place]:
        bucket, offload = self.server.bucket(), Threads()
        store = ObjectStore([f"{bucket}/results"])
        inputs = ObjectInputs(store, InputCache(folder / "cache", GiB, offload), offload)
        yield Place(
            ObjectPublishing(store, inputs, peer(1)),
            ObjectPublisher(url=f"{bucket}/results/mine"),
            ObjectPublisher(url=f"{bucket}/elsewhere"),
        )

    async def cut_off(self, place: Place, folder: Path) -> None:
        """Some of the objects, and one that would not be replaced."""
        half = folder / "half"
        (half / "outputs").mkdir(parents=True)
        (half / "outputs" / "1.bin").write_bytes(b"1")
        (half / "not of the results").write_bytes(b"2")
        await place.way.publish(place.allowed, LABEL, half)

    async def check_gone(self, place: Place, folder: Path, location: str) -> None:
        await super().check_gone(place, folder, location)
        assert await place.way._store.listing(place.allowed.url) is None

    def test_what_else_lies_around_what_is_retracted_stays(self, tmp_path: Path) -> None:
        """Names that begin with that of the place too."""
        half = results(tmp_path)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                for label in (LABEL, f"{LABEL}8", f"{LABEL}.old", OTHER):
                    await place.way.publish(place.allowed, label, half)
                await place.way.retract(place.allowed, LABEL)
                listing = await place.way._store.listing(f"{place.allowed.url}/{LABEL.rpartition('/')[0]}")
                assert {path.partition("/")[0] for path, _ in listing.objects} == {"77", "78", "7.old"}

        trio.run(main)

    def test_more_than_one_request_deletes_are_deleted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(object_store, "_DELETED_AT_ONCE", 3)
        monkeypatch.setattr(limits, "OBJECTS_MAX", 10)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                location = await place.way.publish(place.allowed, LABEL, results(tmp_path))
                with monkeypatch.context() as patched:
                    patched.setattr(object_store, "_DELETE_ROUNDS", 2)
                    with pytest.raises(StorageError, match="does not become empty"):
                        await place.way.retract(place.allowed, LABEL)
                await place.way.retract(place.allowed, LABEL)
                await self.check_gone(place, tmp_path, location)

        trio.run(main)

    def test_a_store_that_is_not_there_is_an_answer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main() -> None:
            async with self.place(tmp_path) as place:
                for name in self.server.env:
                    if "URL" in name or "ENDPOINT" in name:
                        monkeypatch.setenv(name, "http://127.0.0.1:9/nobody")
                with pytest.raises(StorageError, match="cannot be reached"):
                    await place.way.retract(place.allowed, LABEL)

        trio.run(main)


class TestS3(OfObjects):
    @pytest.fixture(autouse=True)
    def _reached(self, s3: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = s3
        for name, value in s3.env.items():
            monkeypatch.setenv(name, value)


class TestAzure(OfObjects):
    @pytest.fixture(autouse=True)
    def _reached(self, azure: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = azure
        for name, value in azure.env.items():
            monkeypatch.setenv(name, value)


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())
