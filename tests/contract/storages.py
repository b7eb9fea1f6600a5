"""What every storage driver must do, over the real thing. Each test file subclasses this and supplies ``source``.

What a driver and its store cannot do is said by its ``can``, never by its name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
import trio
from doubles.peers import peer
from doubles.unprivileged import unprivileged

from node.ambient import Threads
from node.errors import Absent, StorageError
from node.storage.base import Entry, Storage
from node.storage.cache import InputCache

ORIGIN = peer(1)
GUARD_S = 300
FORBIDDEN = r"may not be read|Permission denied"

# Path to content, or None for a folder with nothing in it. One file alone has the path "".
Tree = Mapping[str, bytes | None]

TREES: Mapping[str, Tree] = {
    "a file": {"": b"hello\n"},
    "an empty file": {"": b""},
    "a file of many pieces": {"": b"0123456789abcdef" * (9 * 65536 + 1)},
    "a folder of one file": {"hello.txt": b"hello\n"},
    "folders in folders": {"a.txt": b"a", "b/c/d/e.bin": bytes(range(256)), "b/f": b"f" * 70_000, "b.txt": b"b"},
    "an empty file in a folder": {"empty": b"", "full": b"x"},
    "an empty folder in a folder": {"empty": None, "b/empty": None, "full": b"x"},
    "names that need care": {
        name: name.encode()
        for name in (
            "with space",
            "ünïcödé",
            "日本/語",
            "a+b&c=d",
            "100%",
            "%41",
            "#1?",
            "'\"`",
            "..a",
            "a..",
            "~",
            "$(x)",
        )
    },
    "names with line breaks": {"a\nb": b"1", "c\rd/e\tf": b"2"},
    "200 files": {f"{number % 7}/{number:03}.txt": str(number).encode() for number in range(200)},
    "1000 files": {f"{number % 7}/{number:04}.txt": str(number).encode() for number in range(1000)},
}
FOLDERS = frozenset(TREES) - {"a file", "an empty file", "a file of many pieces"}


@dataclass(frozen=True, slots=True)
class Can:
    """What there is to be checked."""

    trees: frozenset[str]  # of TREES, that can be put into the store
    fetches: bool  # ``prepared`` copies, into a cache
    knows_what_is_nowhere: bool  # to ``to_fetch`` it is Absent; else it is found out by ``prepared``
    has_exact_sizes: bool = True  # else those of folders are a little more than the bytes of their files
    is_asked_first: bool = False  # what is malformed is merely not there: who is asked next says what is wrong with it

    @property
    def tree(self) -> Tree:
        """One with something in it."""
        return TREES["folders in folders" if "folders in folders" in self.trees else "a file of many pieces"]


class Source(Protocol):
    """A store with a driver over it."""

    @property
    def driver(self) -> Storage[Any]:
        """What is checked."""

    async def put(self, name: str, tree: Tree) -> Any:
        """The reference of a tree that is in the store from now on; one as a node hears of it."""

    def nowhere(self) -> list[Any]:
        """References, well formed, to what is not there; below a file too, where that can be said."""

    def malformed(self) -> list[Any]:
        """References that no call takes."""


class CountedCache(InputCache):
    """Counts what is fetched."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 200_000_000, Threads())
        self.folder = folder
        self.fetches = 0

    def held(self, key, size, fetch):
        async def counted(path):
            self.fetches += 1
            await fetch(path)

        return super().held(key, size, counted)


class Steps(trio.abc.Instrument):
    """Cancels a scope before the task steps for the n-th time."""

    def __init__(self, scope, left):
        self.scope, self.left = scope, left

    def before_task_step(self, task):
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


class StorageContract:
    """Inherit and define ``can`` and ``source``; pytest collects the rest."""

    can: Can

    def source(self, tmp_path: Path, cache: CountedCache) -> AbstractAsyncContextManager[Source]:
        raise NotImplementedError

    def run(self, tmp_path, test):
        """``test(source, cache)`` in a world of its own."""

        async def main():
            cache = CountedCache(tmp_path / "cache")
            with trio.fail_after(GUARD_S):
                async with self.source(tmp_path, cache) as source:
                    await test(source, cache)

        trio.run(main)

    def test_what_is_prepared_is_what_was_put_and_all_calls_agree(self, tmp_path):
        async def check(source, cache):
            driver = source.driver
            for number, name in enumerate(sorted(self.can.trees)):
                tree = TREES[name]
                ref = await source.put(f"tree{number}", tree)
                size = sum(map(len, filter(None, tree.values())))
                known = await driver.size(ref)
                assert known == size or (known > size and not self.can.has_exact_sizes), name
                assert await driver.to_fetch(ref) == (known if self.can.fetches else 0), name
                assert await driver.list(ref) == entries(tree), name
                async with driver.prepared(ref, ORIGIN) as prepared:
                    assert prepared.source == driver.name
                    assert shown(prepared.path) == with_folders(tree), name
                assert await driver.to_fetch(ref) == 0, name
            assert cache.fetches == (len(self.can.trees) if self.can.fetches else 0)

        self.run(tmp_path, check)

    def test_what_a_run_could_write_to_is_not_the_only_copy(self, tmp_path):
        """A fetched file is read-only; what is shown as it lies is not touched by any call."""

        async def check(source, cache):
            ref = await source.put("tree", self.can.tree)
            async with source.driver.prepared(ref, ORIGIN) as prepared:
                before = {path: path.lstat() for path in every(prepared.path)}
                if self.can.fetches:
                    assert {found.st_mode & 0o222 for path, found in before.items() if path.is_file()} <= {0}
                await source.driver.to_fetch(ref)
                await source.driver.list(ref)
                async with source.driver.prepared(ref, ORIGIN) as again:
                    assert {path: path.lstat() for path in every(again.path)} == before

        self.run(tmp_path, check)

    def test_what_is_nowhere_is_not_prepared_and_the_reason_names_it(self, tmp_path):
        async def check(source, cache):
            for ref in source.nowhere():
                if self.can.knows_what_is_nowhere:
                    with pytest.raises(Absent, match=r"\w+ \w+"):
                        pytest.fail(f"{ref} has {await source.driver.to_fetch(ref)} bytes")
                else:
                    assert await source.driver.to_fetch(ref) == await source.driver.size(ref)
                with pytest.raises(StorageError, match=r"\w+ \w+"):
                    await prepare(source.driver, ref)
                assert left_in(cache) == []

        self.run(tmp_path, check)

    def test_a_malformed_reference_is_an_error_of_every_call(self, tmp_path):
        async def check(source, cache):
            driver = source.driver
            assert source.malformed()
            for ref in source.malformed():
                for call in (driver.size, driver.list, driver.to_fetch, partial(prepare, driver)):
                    with pytest.raises(StorageError) as caught:
                        pytest.fail(f"{call} of {ref} gave {await call(ref)}")
                    assert isinstance(caught.value, Absent) == self.can.is_asked_first, ref

        self.run(tmp_path, check)

    def test_a_cancel_at_any_moment_leaves_nothing_that_could_be_taken_for_whole(self, tmp_path):
        async def check(source, cache):
            ref = await source.put("tree", self.can.tree)
            count, cancelled = 1, True
            while cancelled:
                with trio.CancelScope() as scope:
                    steps = Steps(scope, count)
                    trio.lowlevel.add_instrument(steps)
                    await prepare(source.driver, ref)
                trio.lowlevel.remove_instrument(steps)
                cancelled = scope.cancelled_caught
                assert not [name for name in left_in(cache) if name.startswith(".")], count
                count += 1 + count // 8
            assert count > 3 or not self.can.fetches
            async with source.driver.prepared(ref, ORIGIN) as prepared:
                assert shown(prepared.path) == with_folders(self.can.tree)

        self.run(tmp_path, check)

    def test_many_at_once_share_one_fetch(self, tmp_path):
        async def check(source, cache):
            ref = await source.put("tree", self.can.tree)
            async with trio.open_nursery() as nursery:
                for _ in range(8):
                    nursery.start_soon(prepare, source.driver, ref)
            assert cache.fetches == (1 if self.can.fetches else 0)

        self.run(tmp_path, check)


class FilesOfThisMachine(StorageContract):
    """For drivers that read what lies here, each tree by its name in ``source.folder``."""

    def test_what_this_process_may_not_read_is_said(self, tmp_path):
        unprivileged(_forbidden, type(self), tmp_path)


def _forbidden(contract: type[StorageContract], tmp_path: Path) -> None:
    """A file, a folder of a tree, and what all lies in; each told, and none taken for absent."""

    async def check(source, cache):
        driver = source.driver
        file, tree = await source.put("file", {"": b"x"}), await source.put("tree", {"a": b"a", "b/c": b"c"})
        calls = [driver.size, driver.list, driver.to_fetch, partial(prepare, driver)]
        await _refuse(source.folder / "file", calls[2:], file)
        await _refuse(source.folder / "tree" / "b", calls[:2], tree)
        await _refuse(source.folder / "tree", calls, tree)
        await _refuse(source.folder, calls, tree)
        await prepare(driver, file)
        await driver.list(tree)

    contract().run(tmp_path, check)


async def _refuse(place: Path, calls: Sequence[Callable[[Any], Awaitable[object]]], ref: Any) -> None:
    with locked(place):
        for call in calls:
            with pytest.raises(StorageError, match=FORBIDDEN):
                await call(ref)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody may read it for that time."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(mode)


async def prepare(driver: Storage[Any], ref: Any) -> None:
    """As an execution that ends at once."""
    async with driver.prepared(ref, ORIGIN):
        pass


def put_on_disk(path: Path, tree: Tree) -> Path:
    """The tree as files and folders."""
    if "" not in tree:
        path.mkdir()
    for name, content in tree.items():
        at = path / name
        at.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            at.mkdir(exist_ok=True)
        else:
            at.write_bytes(content)
    return path


def with_folders(tree: Tree) -> dict[str, bytes | None]:
    """The tree, every folder of it named."""
    if "" in tree:
        return dict(tree)
    above = {name[:at] for name in tree for at, character in enumerate(name) if character == "/"}
    return {"": None} | dict.fromkeys(above) | dict(tree)


def entries(tree: Tree) -> tuple[Entry, ...]:
    """As ``list`` has them."""
    named = sorted(with_folders(tree).items())
    return tuple(Entry(name, len(content or b""), is_folder=content is None) for name, content in named)


def every(path: Path) -> list[Path]:
    """It, and all in it."""
    return [path, *path.rglob("*")] if path.is_dir() else [path]


def shown(path: Path) -> dict[str, bytes | None]:
    """What lies there, as a tree with every folder."""
    named = {str(each.relative_to(path)) if each != path else "": each for each in every(path)}
    return {name: None if each.is_dir() else each.read_bytes() for name, each in named.items()}


def left_in(cache: CountedCache) -> list[str]:
    """Names in its folder."""
    return sorted(path.name for path in cache.folder.iterdir())
