"""Data by CID for jobs: sizes that bids rely on, one lookup, sources that stand in for each other, lies."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from doubles.blocks import HeldBlocks
from doubles.fetching import tree_of
from doubles.inputcaches import cache_in, left_in
from doubles.peers import peer

from node import limits
from node.ambient import inline
from node.errors import Absent, NoRoom, StorageError
from node.model import CidInput
from node.storage.ipfs import dagpb, unixfs
from node.storage.ipfs.cid import RAW, Cid
from node.storage.ipfs.driver import Ipfs
from node.storage.ipfs.several import Several

ORIGIN = peer(1)


def ref(cid: object) -> CidInput:
    return CidInput(cid=str(cid), path="/inputs/x")


class Source(HeldBlocks):
    """Blocks that may be silent, away, or lose some of what they have."""

    def __init__(self, name: str = "held") -> None:
        super().__init__()
        self.name = name
        self.is_away = self.is_silent = False
        self.pause_s = 0.0
        self.sessions = 0

    async def has(self, cid: Cid) -> bool:
        await self._asked()
        return await super().has(cid)

    @asynccontextmanager
    async def session(self, root: Cid):
        self.sessions += 1
        async with super().session(root):
            yield self

    async def get(self, cid: Cid) -> bytes:
        await self._asked()
        return await super().get(cid)

    async def _asked(self) -> None:
        if self.is_away:
            raise StorageError(f"{self.name} is away")
        if self.is_silent:
            await trio.sleep_forever()
        await trio.sleep(self.pause_s)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "a" / "b").mkdir(parents=True)
    (tmp_path / "in" / "a" / "b" / "c.txt").write_bytes(b"hello")
    (tmp_path / "in" / "large").write_bytes(bytes(range(256)) * 12 * 1024)
    return tmp_path / "in"


def driver(tmp_path: Path, *sources: Source, bytes_max: int = 100_000_000) -> Ipfs:
    return Ipfs(sources, cache_in(tmp_path, bytes_max), inline)


async def shown(storage: Ipfs, cid: object) -> dict[str, bytes | None]:
    async with storage.prepared(ref(cid), ORIGIN) as prepared:
        assert prepared.source == "ipfs"
        return tree_of(prepared.path)


def test_a_path_below_a_cid_is_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    source = Source()
    root = source.imported(folder)

    async def main() -> None:
        storage = driver(tmp_path, source)
        assert await shown(storage, f"{root}/a") == {"b": None, "b/c.txt": b"hello"}
        assert await shown(storage, f"{root}/a/b/c.txt") == {"": b"hello"}
        assert await storage.size(ref(f"/ipfs/{root}/a/b/c.txt")) == 5
        assert await storage.to_fetch(ref(f"{root}/a")) == 0

    trio.run(main)


@pytest.mark.parametrize("path", ["none", "a/none", "large/x", "a/b/c.txt/x"])
def test_a_path_that_leads_nowhere_says_where_it_ends(folder: Path, tmp_path: Path, path: str) -> None:
    source = Source()
    root = source.imported(folder)
    with pytest.raises(StorageError, match=f"{root}/{path} does not exist"):
        trio.run(shown, driver(tmp_path, source), f"{root}/{path}")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("cid", "reason"),
    [
        ("apples", "'apples' is no CID"),
        ("", "no CID"),
        ("bafyreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4", "dag-cbor is not supported"),
        ("bafkr4ifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4", "blake3 is not supported"),
    ],
)
def test_what_is_no_cid_is_a_reason_and_nobody_is_asked(tmp_path: Path, cid: str, reason: str) -> None:
    source = Source()
    source.is_silent = True
    with pytest.raises(StorageError, match=reason):
        trio.run(driver(tmp_path, source).to_fetch, ref(cid))


def test_a_root_is_looked_up_once_for_a_bid_and_a_run(folder: Path, tmp_path: Path) -> None:
    source = Source()
    root = source.imported(folder)

    async def main() -> None:
        storage = driver(tmp_path, source)
        size = await storage.to_fetch(ref(root))
        assert size == await storage.size(ref(root))
        assert source.got == [root]
        await shown(storage, root)
        source.is_away = True
        assert await storage.to_fetch(ref(root)) == 0
        assert (await shown(storage, root))["a/b/c.txt"] == b"hello"

    trio.run(main)


def test_what_nobody_has_is_known_to_be_absent_before_anybody_is_asked_for_it(tmp_path: Path) -> None:
    source = Source()
    nowhere = Cid.of(b"nowhere", RAW)
    with pytest.raises(Absent, match=f"{nowhere} was found nowhere"):
        trio.run(driver(tmp_path, source).to_fetch, ref(nowhere))
    assert source.sessions == 0


def test_both_versions_of_a_cid_are_kept_once(folder: Path, tmp_path: Path) -> None:
    source = Source()
    root = source.imported(folder)
    same = Cid(0, root.codec, root.multihash)
    source.blocks[same] = source.blocks[root]

    async def main() -> None:
        storage = driver(tmp_path, source)
        await shown(storage, root)
        assert await storage.to_fetch(ref(same)) == 0

    trio.run(main)


def test_a_cid_that_holds_its_data_is_had_without_anybody(tmp_path: Path) -> None:
    source = Source()
    source.is_away = True
    cid = Cid(1, RAW, bytes((0, 5)) + b"hello")

    async def main() -> None:
        storage = driver(tmp_path, source)
        assert await storage.to_fetch(ref(cid)) == 5
        assert await shown(storage, cid) == {"": b"hello"}

    trio.run(main)


def test_a_block_that_the_first_source_lacks_comes_from_the_next(folder: Path, tmp_path: Path) -> None:
    first, second = Source("first"), Source("second")
    root = first.imported(folder)
    assert second.imported(folder) == root
    lost = next(cid for cid in first.blocks if cid.codec == RAW)
    del first.blocks[lost]

    async def main() -> None:
        assert (await shown(driver(tmp_path, first, second), root))["large"] == (folder / "large").read_bytes()

    trio.run(main)
    assert lost in second.got
    assert set(first.got) - {lost}


def test_what_no_source_has_is_named_with_what_each_says(folder: Path, tmp_path: Path) -> None:
    first, second = Source("first"), Source("second")
    root = first.imported(folder)
    first.is_away = True
    with pytest.raises(StorageError, match=f"first is away; the block {root} is nowhere"):
        trio.run(shown, driver(tmp_path, first, second), root)


def test_has_is_true_when_one_has_it_and_a_reason_when_one_cannot_be_asked() -> None:
    async def main() -> None:
        first, second = Source("first"), Source("second")
        several = Several([first, second])
        cid = second.raw(b"x")
        assert await several.has(cid)
        assert not await several.has(Cid.of(b"y", RAW))
        first.is_away = True
        assert await several.has(cid)
        with pytest.raises(StorageError, match="first is away"):
            await several.has(Cid.of(b"y", RAW))

    trio.run(main)


def test_what_is_added_is_kept_by_the_first(folder: Path) -> None:
    async def main() -> None:
        first, second = Source("first"), Source("second")
        root = await Several([first, second]).add(folder)
        assert root in first.blocks
        assert not second.blocks

    trio.run(main)


def test_a_dag_that_is_larger_than_it_said_fails_and_leaves_nothing(tmp_path: Path) -> None:
    """A folder's size is what it claims of its entries."""
    source = Source()
    file = source.raw(bytes(1_000))
    root = source.node(dagpb.encode([dagpb.Link(file, "file", 10)], unixfs.DIRECTORY_DATA))

    async def main() -> None:
        storage = driver(tmp_path, source)
        assert await storage.to_fetch(ref(root)) == 10
        with pytest.raises(StorageError, match="more than 10 bytes"):
            await shown(storage, root)
        assert left_in(tmp_path) == []

    trio.run(main)


@pytest.mark.parametrize("claim", [1 << 40, 1 << 61])
def test_a_dag_that_claims_more_than_there_is_room_for_is_declined_before_it_is_fetched(
    tmp_path: Path, claim: int
) -> None:
    source = Source()
    file = source.raw(b"small")
    root = source.node(dagpb.encode([dagpb.Link(file, "file", claim)], unixfs.DIRECTORY_DATA))

    async def main() -> None:
        with pytest.raises(NoRoom, match="--input-cache"):
            await driver(tmp_path, source).to_fetch(ref(root))

    trio.run(main)
    assert source.got == [root]


def test_a_source_that_is_silent_ends_every_call_by_a_deadline(folder: Path, tmp_path: Path) -> None:
    source = Source()
    root = source.imported(folder)

    async def main() -> None:
        storage = driver(tmp_path, source)
        source.is_silent = True
        with pytest.raises(StorageError, match=f"{root} does not come from IPFS within {limits.IPFS_LOOK_UP_S:.0f} s"):
            await storage.size(ref(root))
        source.is_silent = False
        await storage.size(ref(root))
        source.is_silent = True
        with pytest.raises(StorageError, match=f"within {limits.IPFS_LIST_S:.0f} s"):
            await storage.list(ref(root))
        with pytest.raises(StorageError, match="does not come from IPFS within 10"):
            await shown(storage, root)
        assert left_in(tmp_path) == []

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_folder_of_many_small_files_has_time_for_each_of_them(tmp_path: Path) -> None:
    source = Source()
    files = [dagpb.Link(source.raw(b"%d" % number), f"{number:04}", 4) for number in range(8_000)]
    root = source.node(dagpb.encode(files, unixfs.DIRECTORY_DATA))

    async def main() -> None:
        storage = driver(tmp_path, source)
        source.pause_s = 2 / limits.IPFS_BLOCKS_PER_S_MIN
        with pytest.raises(StorageError, match="does not come from IPFS within"):
            await shown(storage, root)
        source.pause_s = 0.9 / limits.IPFS_BLOCKS_PER_S_MIN
        assert len(await shown(storage, root)) == len(files)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_what_is_known_of_names_has_a_limit(tmp_path: Path) -> None:
    source = Source()
    cids = [source.raw(b"%d" % number) for number in range(1_100)]

    async def main() -> None:
        storage = driver(tmp_path, source)
        for cid in cids:
            await storage.size(ref(cid))
        source.got.clear()
        await storage.size(ref(cids[-1]))
        assert source.got == []
        await storage.size(ref(cids[0]))
        assert source.got == [cids[0]]

    trio.run(main)
