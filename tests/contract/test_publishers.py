"""Each way to publish keeps the contract, over the real thing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from contract.publishers import LABEL, Place, PublisherContract, results

from node.ambient import inline
from node.errors import NoRoom, StorageError
from node.model import LocalPublisher
from node.publisher.local import LocalPublishing


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
