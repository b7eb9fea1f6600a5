"""What every way to publish promises, whatever is behind it. A maker gives the way and a place that it allows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from node.errors import BadResult, StorageError
from node.model import ExecutionId, JobId, PeerId
from node.publisher.base import Publishing, below
from node.verifier.dirhash import h1_of, hash_tree

LABEL = below(PeerId("1" * 52), JobId("a" * 32), 7, ExecutionId("7"))
OTHER = below(PeerId("1" * 52), JobId("a" * 32), 7, ExecutionId("77"))


@dataclass(frozen=True, slots=True)
class Place:
    """A way to publish at work, where it may publish to, and where it may not (None: there is no such place)."""

    way: Publishing[Any]
    allowed: Any
    forbidden: Any | None


def results(folder: Path) -> Path:
    """A tree as an execution leaves it."""
    made = folder / "results"
    (made / "outputs" / "deep er" / "still").mkdir(parents=True)
    (made / "outputs" / "empty folder").mkdir()
    (made / "stdout").write_bytes(b"hello\n" * 50_000)
    (made / "stderr").write_bytes(b"")
    (made / "exitCode").write_bytes(b"0")
    (made / "outputs" / "deep er" / "still" / "größe ☃.txt").write_bytes(b"x")
    for number in range(40):
        (made / "outputs" / f"{number}.bin").write_bytes(bytes([number]) * number * 1000)
    return made


class PublisherContract:
    """Inherit, and give ``place``."""

    @asynccontextmanager
    async def place(self, folder: Path) -> AsyncIterator[Place]:
        """The way under test."""
        raise NotImplementedError
        yield

    def test_what_is_published_is_read_back_to_the_byte(self, tmp_path: Path) -> None:
        tree = results(tmp_path)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                location = await place.way.publish(place.allowed, LABEL, tree)
                async with place.way.published(place.allowed, LABEL, location, _size(tree)) as found:
                    assert h1_of(found) == h1_of(tree)

        trio.run(main)

    def test_publishing_again_gives_the_same(self, tmp_path: Path) -> None:
        tree = results(tmp_path)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                first = await place.way.publish(place.allowed, LABEL, tree)
                assert await place.way.publish(place.allowed, LABEL, tree) == first
                async with place.way.published(place.allowed, LABEL, first, _size(tree)) as found:
                    assert h1_of(found) == h1_of(tree)

        trio.run(main)

    def test_other_bytes_than_won_are_seen(self, tmp_path: Path) -> None:
        tree = results(tmp_path)
        won = h1_of(tree)
        (tree / "stdout").write_bytes(b"hellO\n" * 50_000)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                location = await place.way.publish(place.allowed, LABEL, tree)
                async with place.way.published(place.allowed, LABEL, location, _size(tree)) as found:
                    assert h1_of(found) != won

        trio.run(main)

    @pytest.mark.parametrize("location", ["", "file:///etc", "ipfs://apples", "s3://other/x", "nonsense\n"])
    def test_a_location_that_cannot_be_is_a_lie(self, tmp_path: Path, location: str) -> None:
        async def main() -> None:
            async with self.place(tmp_path) as place:
                with pytest.raises(BadResult, match="published to"):
                    async with place.way.published(place.allowed, LABEL, location, 1_000):
                        pytest.fail("a peer's words were taken for a place")

        trio.run(main)

    async def cut_off(self, place: Place, folder: Path) -> None:
        """Leave what a publication to ``LABEL`` leaves that a power cut ended in the middle."""
        raise NotImplementedError

    async def check_gone(self, place: Place, folder: Path, location: str) -> None:
        """Nothing is left of what was published to ``LABEL``, at this location."""
        with pytest.raises(StorageError):
            async with place.way.published(place.allowed, LABEL, location, 1):
                pytest.fail("it is still there")

    def test_what_is_retracted_is_gone_and_the_same_bytes_that_another_published_stay(self, tmp_path: Path) -> None:
        tree = results(tmp_path)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                location = await place.way.publish(place.allowed, LABEL, tree)
                others = await place.way.publish(place.allowed, OTHER, tree)
                for _ in range(2):  # A requester may say it twice, and a start try it again.
                    await place.way.retract(place.allowed, LABEL)
                async with place.way.published(place.allowed, OTHER, others, _size(tree)) as found:
                    assert h1_of(found) == h1_of(tree)
                await place.way.retract(place.allowed, OTHER)
                await self.check_gone(place, tmp_path, location)

        trio.run(main)

    def test_what_was_cut_off_is_taken_back_and_can_be_published_anew(self, tmp_path: Path) -> None:
        tree = results(tmp_path)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                await self.cut_off(place, tmp_path)
                await place.way.retract(place.allowed, LABEL)
                location = await place.way.publish(place.allowed, LABEL, tree)
                async with place.way.published(place.allowed, LABEL, location, _size(tree)) as found:
                    assert h1_of(found) == h1_of(tree)
                await place.way.retract(place.allowed, LABEL)
                await self.check_gone(place, tmp_path, location)

        trio.run(main)

    def test_where_nothing_was_published_nothing_is_retracted(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with self.place(tmp_path) as place:
                await place.way.retract(place.allowed, LABEL)
                if place.forbidden is not None:
                    with pytest.raises(StorageError):
                        await place.way.retract(place.forbidden, LABEL)

        trio.run(main)

    def test_a_place_that_the_operator_does_not_list_is_refused_everywhere(self, tmp_path: Path) -> None:
        tree = results(tmp_path)

        async def main() -> None:
            async with self.place(tmp_path) as place:
                assert place.way.refusal(place.allowed) is None
                if place.forbidden is None:
                    return
                assert place.way.refusal(place.forbidden)
                with pytest.raises(StorageError):
                    await place.way.publish(place.forbidden, LABEL, tree)

        trio.run(main)


def _size(tree: Path) -> int:
    return hash_tree(tree, files_max=1_000, bytes_max=10**9).total_bytes
