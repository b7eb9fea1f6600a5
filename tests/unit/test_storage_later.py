"""Drivers that are made when they are first asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from doubles.peers import peer

from node.ambient import Threads, inline
from node.errors import StorageError
from node.model import CidInput
from node.storage.base import Resolves, Storage
from node.storage.filecoin_unsealed import FilecoinUnsealed
from node.storage.later import Later

APPLES = CidInput(cid="apples", path="/inputs")


class Workshop:
    """Makes drivers over a folder with one file of 5 bytes, and counts them."""

    def __init__(self, folder: Path) -> None:
        (folder / "apples").mkdir()
        (folder / "apples" / "a").write_bytes(b"hello")
        self.folder = folder
        self.made = 0

    def __call__(self) -> Storage[CidInput]:
        self.made += 1
        return FilecoinUnsealed(f"{self.folder}/{{{{ cid }}}}", inline)


def test_nothing_is_made_until_it_is_asked_and_then_it_is_the_driver(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)

    async def main() -> None:
        storage = Later("unsealed", workshop, inline)
        assert (storage.name, workshop.made) == ("unsealed", 0)
        assert await storage.size(APPLES) == 5
        assert await storage.to_fetch(APPLES) == 0
        assert len(await storage.list(APPLES)) == 2
        async with storage.prepared(APPLES, peer(1)) as found:
            assert found.path == tmp_path / "apples"
        assert workshop.made == 1

    trio.run(main)


def test_all_who_ask_at_once_ask_the_same_driver(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)

    async def main() -> None:
        storage = Later("unsealed", workshop, Threads())
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(storage.to_fetch, APPLES)

    trio.run(main)
    assert workshop.made == 1


def test_what_cannot_be_made_now_is_tried_again(tmp_path: Path) -> None:
    workshop, trouble = Workshop(tmp_path), [StorageError("no libraries today")]

    def make() -> Storage[CidInput]:
        if trouble:
            raise trouble.pop()
        return workshop()

    async def main() -> None:
        storage = Later("unsealed", make, inline)
        with pytest.raises(StorageError, match="today"):
            await storage.to_fetch(APPLES)
        assert await storage.to_fetch(APPLES) == 0

    trio.run(main)


class Resolving(FilecoinUnsealed):
    """Says more about an input than it was given."""

    async def resolved(self, ref: CidInput) -> CidInput:
        return CidInput(cid=ref.cid, path=ref.path, verify=True)


def test_what_a_driver_resolves_is_resolved_and_everything_else_stays_as_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        plain = Later("plain", Workshop(tmp_path), inline)
        assert isinstance(plain, Resolves)
        assert await plain.resolved(APPLES) is APPLES
        resolving = Later("resolving", lambda: Resolving("/data/{{ cid }}", inline), inline)
        assert (await resolving.resolved(APPLES)).verify

    trio.run(main)
