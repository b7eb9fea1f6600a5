"""Each way to publish keeps the contract, over the real thing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from contract.publishers import LABEL, Place, PublisherContract, results
from doubles.kubo import Kubo as Daemon
from doubles.objectservers import ObjectServer
from doubles.peers import peer

from node.ambient import Threads, inline
from node.errors import NoRoom, StorageError
from node.limits import GiB
from node.model import IpfsPublisher, LocalPublisher, ObjectPublisher
from node.publisher.ipfs import IpfsPublishing
from node.publisher.local import LocalPublishing
from node.publisher.object_store import ObjectPublishing
from node.storage.cache import InputCache
from node.storage.ipfs.driver import Ipfs
from node.storage.ipfs.kubo import Kubo
from node.storage.object_store import ObjectInputs, ObjectStore
from node.verifier.dirhash import h1_of


class TestLocal(PublisherContract):
    @asynccontextmanager
    async def place(self, folder: Path) -> AsyncIterator[Place]:
        shared = folder / "shared"
        (shared / "team").mkdir(parents=True)
        yield Place(
            LocalPublishing((shared,), folder / "data", inline),
            LocalPublisher(folder=str(shared / "team")),
            LocalPublisher(folder=str(folder / "shared-not")),
        )

    def test_a_link_on_the_way_is_not_followed(self, tmp_path: Path) -> None:
        """Whoever may write to the share could lead the results, and what they replace, elsewhere."""
        (tmp_path / "elsewhere").mkdir()

        async def main() -> None:
            async with self.place(tmp_path) as place:
                (tmp_path / "shared" / "team" / LABEL.partition("/")[0]).symlink_to(tmp_path / "elsewhere")
                with pytest.raises(NoRoom, match="link"):
                    await place.way.publish(place.allowed, LABEL, results(tmp_path))

        trio.run(main)
        assert not any((tmp_path / "elsewhere").iterdir())

    def test_what_is_not_on_the_requesters_share_says_so(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.place(tmp_path) as place:
                location = (tmp_path / "shared" / "team" / LABEL).as_uri()
                with pytest.raises(StorageError, match="same share"):
                    async with place.way.published(place.allowed, LABEL, location, 1):
                        pytest.fail("nothing is there")

        trio.run(main)

    def test_a_link_in_the_place_of_results_is_replaced_and_what_it_leads_to_stays(self, tmp_path: Path) -> None:
        """Whoever may write to the share could have the node delete its own files."""
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "precious").write_bytes(b"mine")
        job = tmp_path / "shared" / "team" / LABEL.rpartition("/")[0]

        async def main() -> None:
            async with self.place(tmp_path) as place:
                job.mkdir(parents=True)
                for name in ("7", ".partial-7"):
                    (job / name).symlink_to(elsewhere)
                await place.way.publish(place.allowed, LABEL, results(tmp_path))

        trio.run(main)
        assert (elsewhere / "precious").read_bytes() == b"mine"
        assert h1_of(job / "7") == h1_of(tmp_path / "results")
        assert not (job / "7").is_symlink()

    def test_nothing_is_made_behind_a_link_on_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()

        async def main() -> None:
            async with self.place(tmp_path) as place:
                (tmp_path / "shared" / "team").rmdir()
                (tmp_path / "shared" / "team").symlink_to(tmp_path / "elsewhere")
                with pytest.raises(NoRoom, match="link"):
                    await place.way.publish(place.allowed, LABEL, results(tmp_path))

        trio.run(main)
        assert not any((tmp_path / "elsewhere").iterdir())

    def test_two_winners_may_publish_the_same_at_once(self, tmp_path: Path) -> None:
        tree = results(tmp_path)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                way = LocalPublishing((tmp_path / "shared",), tmp_path / "data", Threads())
                async with trio.open_nursery() as nursery:
                    for _ in range(8):
                        nursery.start_soon(way.publish, place.allowed, LABEL, tree)

        trio.run(main)
        job = tmp_path / "shared" / "team" / LABEL.rpartition("/")[0]
        assert h1_of(job / "7") == h1_of(tree)
        assert [each.name for each in job.iterdir()] == ["7"]

    def test_a_publication_that_is_cancelled_leaves_nothing(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.place(tmp_path) as place:
                scope = trio.CancelScope()

                async def cut_off(call: Callable[..., Any], *args: Any) -> Any:
                    done = await inline(call, *args)
                    scope.cancel()  # Threads go on to the end of what they do.
                    return done

                way = LocalPublishing((tmp_path / "shared",), tmp_path / "data", cut_off)
                with scope:
                    await way.publish(place.allowed, LABEL, results(tmp_path))
                assert scope.cancelled_caught

        trio.run(main)
        assert not any((tmp_path / "shared" / "team" / LABEL.rpartition("/")[0]).iterdir())

    def test_a_place_that_cannot_be_looked_at_is_an_answer(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.place(tmp_path) as place:
                folder = LocalPublisher(folder=f"{place.allowed.folder}/{'x' * 300}")
                location = (Path(folder.folder) / LABEL).as_uri()
                with pytest.raises(StorageError, match="same share"):
                    async with place.way.published(folder, LABEL, location, 1):
                        pytest.fail("no file system has such a name")

        trio.run(main)

    def test_a_place_that_no_message_can_name_is_refused(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.place(tmp_path) as place:
                deep = "/".join(["\N{PILE OF POO}" * 60] * 6)
                assert "characters" in str(place.way.refusal(LocalPublisher(folder=f"{place.allowed.folder}/{deep}")))

        trio.run(main)


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

    def test_what_is_published_is_pinned(self, tmp_path: Path) -> None:
        async def main() -> str:
            async with self.place(tmp_path) as place:
                return await place.way.publish(place.allowed, LABEL, results(tmp_path))

        location = trio.run(main)
        assert location.removeprefix("ipfs://") in self.daemon.ipfs("pin", "ls", "--type=recursive", "-q").decode()


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
