"""Publishing to a folder that others see keeps the contract, whatever lies there and whoever else is at work there."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from contract.publishers import LABEL, Place, PublisherContract, results
from contract.storages import locked
from doubles.unprivileged import unprivileged
from unit.test_durable import UNPLACED, in_memory_alone, synced_paths

from node.ambient import Threads, inline
from node.errors import NoRoom, StorageError
from node.model import LocalPublisher
from node.publisher.local import LocalPublishing
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

    async def cut_off(self, place: Place, folder: Path) -> None:
        job = _job(folder)
        for name in (".partial-7-01", ".partial-7-01.old", ".partial-7-02"):
            results(folder / "elsewhere" / name).rename(_made(job) / name)

    async def check_gone(self, place: Place, folder: Path, location: str) -> None:
        """Nor is there anything else, but what was there before."""
        await super().check_gone(place, folder, location)
        assert [path.name for path in (folder / "shared").rglob("*")] == ["team"]

    def test_what_else_lies_around_what_is_retracted_stays(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.place(tmp_path) as place:
                job = _made(_job(tmp_path))
                for name in ("70", ".partial-70-01", ".partial-7", "77"):
                    (job / name).mkdir()
                await place.way.publish(place.allowed, LABEL, results(tmp_path))
                await place.way.retract(place.allowed, LABEL)
                assert sorted(path.name for path in job.iterdir()) == [".partial-7", ".partial-70-01", "70", "77"]

        trio.run(main)

    def test_what_this_process_may_not_write_or_read_is_said(self, tmp_path: Path) -> None:
        unprivileged(_forbidden, tmp_path)

    @pytest.mark.parametrize("name", ["7", ".partial-7-01"])
    def test_a_link_where_results_were_is_removed_and_what_it_leads_to_stays(self, tmp_path: Path, name: str) -> None:
        precious = results(tmp_path / "elsewhere")

        async def main() -> None:
            async with self.place(tmp_path) as place:
                (_made(_job(tmp_path)) / name).symlink_to(precious)
                (_made(_job(tmp_path) / ".partial-7-02") / "inside").symlink_to(precious)
                await place.way.retract(place.allowed, LABEL)
                await self.check_gone(place, tmp_path, (_job(tmp_path) / "7").as_uri())

        trio.run(main)
        assert (precious / "stdout").stat().st_size

    def test_nothing_is_taken_back_through_a_link_on_the_way(self, tmp_path: Path) -> None:
        precious = _made(tmp_path / "elsewhere" / LABEL)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                requester = LABEL.partition("/")[0]
                (tmp_path / "shared" / "team" / requester).symlink_to(tmp_path / "elsewhere" / requester)
                with pytest.raises(StorageError, match="taken back"):
                    await place.way.retract(place.allowed, LABEL)

        trio.run(main)
        assert precious.is_dir()

    def test_a_folder_that_others_take_back_just_then_is_made_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They saw it empty, because the results were not yet in it."""
        made, times = os.mkdir, [0]

        def mkdir(name: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
            if name.startswith(".partial") and times[0] < 3:
                times[0] += 1
                os.rmdir(os.readlink(f"/proc/self/fd/{dir_fd}"))
            made(name, mode, dir_fd=dir_fd)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                tree = results(tmp_path)
                monkeypatch.setattr(os, "mkdir", mkdir)
                await place.way.publish(place.allowed, LABEL, tree)

        trio.run(main)
        assert times == [3]
        assert h1_of(_job(tmp_path) / "7") == h1_of(tmp_path / "results")

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

    @pytest.mark.parametrize("more", [0, 300])
    def test_few_files_are_synced_one_by_one_and_many_with_their_filesystem(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
    ) -> None:
        tree, synced = results(tmp_path), synced_paths(monkeypatch)
        for number in range(more):
            (tree / "outputs" / f"more-{number}").write_bytes(UNPLACED)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                await place.way.publish(place.allowed, LABEL, tree)

        trio.run(main)
        made = list((_job(tmp_path) / "7").rglob("*"))
        inside = [path for path in synced if ".partial-" in path]
        assert len(inside) == (0 if more else len(made) + 1)
        try:
            assert not more or not any(in_memory_alone(path) for path in made if path.is_file())
        except OSError:
            pytest.skip("this filesystem does not tell where files lie")

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


def _job(folder: Path) -> Path:
    return folder / "shared" / "team" / LABEL.rpartition("/")[0]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _forbidden(folder: Path) -> None:
    """Before, while and after something is published there."""

    async def main() -> None:
        async with TestLocal().place(folder) as place:
            team, tree = Path(place.allowed.folder), results(folder)
            with locked(team), pytest.raises(NoRoom, match="Permission denied"):
                await place.way.publish(place.allowed, LABEL, tree)
            assert os.listdir(team) == []
            location = await place.way.publish(place.allowed, LABEL, tree)
            with locked(team), pytest.raises(StorageError, match="Permission denied"):
                await place.way.published(place.allowed, LABEL, location, 1).__aenter__()
            with locked(team), pytest.raises(StorageError, match="Permission denied"):
                await place.way.retract(place.allowed, LABEL)

    trio.run(main)
