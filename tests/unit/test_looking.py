"""Files on a mount that hangs: who looks is told in time, and nothing else waits."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from node.errors import StorageError
from node.model import CidInput
from node.storage.filecoin_unsealed import FilecoinUnsealed
from node.storage.looking import THREADS_MAX, Looking

SHORT_S = 0.2
HANG_S = 60.0


async def many(call: Callable[[], Awaitable[None]], count: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(call)


@contextmanager
def hanging(folder: Path) -> Iterator[Path]:
    """Something that hangs who opens it, until the end of the context."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    try:
        yield pipe
    finally:
        os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
        while True:  # Until nobody reads any more.
            try:
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                return


def test_who_looks_is_told_that_nothing_answers(tmp_path: Path) -> None:
    async def main() -> None:
        with trio.fail_after(HANG_S):
            await Looking(SHORT_S)(pipe.read_bytes)

    with hanging(tmp_path) as pipe, pytest.raises(StorageError, match=r"does not answer within 0\.2 s"):
        trio.run(main)


def test_cancelling_does_not_wait(tmp_path: Path) -> None:
    async def main() -> None:
        with trio.fail_after(HANG_S), trio.move_on_after(SHORT_S) as scope:
            await Looking(10 * HANG_S)(pipe.read_bytes)
        assert scope.cancelled_caught

    with hanging(tmp_path) as pipe:
        trio.run(main)


def test_when_all_threads_are_lost_the_next_who_looks_is_told_too(tmp_path: Path) -> None:
    async def main() -> None:
        looking, told = Looking(SHORT_S), []

        async def look() -> None:
            with pytest.raises(StorageError):
                await looking(pipe.read_bytes)
            told.append(None)

        with trio.fail_after(HANG_S):
            for _ in range(2):
                await many(look, THREADS_MAX)
        assert len(told) == 2 * THREADS_MAX

    with hanging(tmp_path) as pipe:
        trio.run(main)


def test_what_answers_is_answered_and_what_it_raises_is_raised(tmp_path: Path) -> None:
    async def main() -> None:
        assert await Looking(HANG_S)(sorted, [2, 1]) == [1, 2]
        with pytest.raises(FileNotFoundError):
            await Looking(HANG_S)((tmp_path / "missing").read_bytes)

    trio.run(main)


def test_the_reason_names_the_copy(tmp_path: Path) -> None:
    class Hung(Looking):
        async def __call__(self, call, *args):
            return await super().__call__(pipe.read_bytes)

    storage = FilecoinUnsealed(f"{tmp_path}/{{{{ cid }}}}", Hung(SHORT_S))
    with hanging(tmp_path) as pipe, pytest.raises(StorageError, match="the unsealed copy of apples cannot be read"):
        trio.run(storage.has, CidInput(cid="apples", path="/inputs"))
