"""The cache of inputs under many cancels, and under a kill in the middle of a fetch."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial

import pytest
import trio
from doubles.inputcaches import Source, cache_in, guarded, left_in, partials, used

from node.errors import NoRoom, StorageError

KILLED = """
import os, signal, sys
from pathlib import Path
import trio
from node.ambient import inline
from node.storage.cache import InputCache

async def fetch(path):
    path.mkdir()
    for number in range(10):
        if str(number) == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)
        (path / str(number)).write_bytes(b"x")

async def main():
    async with InputCache(Path(sys.argv[1]), 1_000_000, inline).held("k", 10, fetch):
        os.kill(os.getpid(), signal.SIGKILL)

trio.run(main)
"""

KILLED_WHILE_EVICTING = """
import os, signal, sys
from pathlib import Path
import trio
from node.ambient import inline
from node.storage.cache import InputCache

async def tree(path):
    path.mkdir()
    for number in range(10):
        (path / str(number)).write_bytes(b"x")

unlink, left = os.unlink, [5]

def kills(path):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    unlink(path)

async def main():
    cache = InputCache(Path(sys.argv[1]), 100_000, inline)
    async with cache.held("k", 10, tree):
        pass
    os.unlink = kills
    async with cache.held("other", 90_000, tree):
        pass

trio.run(main)
"""


@pytest.mark.parametrize(("at", "whole"), [("0", False), ("5", False), ("never", True)])
def test_a_kill_leaves_a_whole_input_or_none(tmp_path, at, whole):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "inputs"), at]
    assert (
        subprocess.run(command, check=False, env=os.environ | {"PYTHONPATH": os.getcwd()}).returncode == -signal.SIGKILL
    )
    again = cache_in(tmp_path)
    assert again.has("k") is whole
    assert len(left_in(tmp_path)) == whole
    assert guarded(used, again, "other", Source()) == b"content"


def test_a_kill_in_the_middle_of_an_eviction_leaves_no_part_that_looks_whole(tmp_path):
    command = [sys.executable, "-c", KILLED_WHILE_EVICTING, str(tmp_path / "inputs")]
    assert (
        subprocess.run(command, check=False, env=os.environ | {"PYTHONPATH": os.getcwd()}).returncode == -signal.SIGKILL
    )
    again = cache_in(tmp_path)
    assert not again.has("k")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("seed", range(20))
def test_no_storm_of_cancels_leaves_half_an_input_or_loses_a_byte_of_the_books(tmp_path, seed):
    """Forty executions over six inputs in a cache that takes three, each cancelled at any moment or never."""
    chance = random.Random(seed)
    content = {key: key.encode() * 300_000 for key in "abcdef"}

    async def fetch(key, fails, path):
        with path.open("wb") as file:
            for start in range(0, 300_000, 60_000):
                file.write(content[key][start : start + 60_000])
                file.flush()
                await trio.sleep(chance.random() / 200)
        if fails:
            raise StorageError("nobody has it")

    async def execution(cache):
        key = chance.choice("abcdef")
        await trio.sleep(chance.random() / 50)
        with trio.move_on_after(chance.choice([0.001, 0.01, 0.02, 60])):
            with suppress(StorageError, NoRoom):
                async with cache.held(key, 300_000, partial(fetch, key, chance.random() < 0.1)) as path:
                    await trio.sleep(chance.random() / 100)
                    assert path.read_bytes() == content[key]

    async def main():
        cache = cache_in(tmp_path)
        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(execution, cache)
        assert partials(tmp_path) == []
        await cache.need_room(1_000_000)  # Nothing is in use, nothing reserved.
        for key in "abcdef":
            assert await used(cache, key, partial(fetch, key, False), 300_000) == content[key]
        assert sum(cache_in(tmp_path).has(key) for key in "abcdef") == sum(cache.has(key) for key in "abcdef") == 3

    guarded(main)
