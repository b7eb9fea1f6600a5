"""A cache of inputs in a folder of the test's, and fetches that are counted and can be held up."""

from __future__ import annotations

import trio
import trio.testing

from node import limits
from node.ambient import inline
from node.storage.cache import InputCache

SLACK = 8 * limits.INPUT_ENTRY_BYTES
GUARD_S = 60


def cache_in(folder, bytes_max=1_000_000 + SLACK):
    return InputCache(folder / "inputs", bytes_max, inline)


def left_in(folder):
    """Names in the cache's folder, without sizes and numbers."""
    return sorted(path.name[:8] for path in (folder / "inputs").iterdir())


def partials(folder):
    return [path for path in (folder / "inputs").iterdir() if path.name.startswith(".")]


class Source:
    """Fetches that are counted, and can be held up."""

    def __init__(self, content=b"content", held_up=False):
        self.content = content
        self.fetches = 0
        self.gate = trio.Event()
        if not held_up:
            self.gate.set()

    async def __call__(self, path):
        self.fetches += 1
        path.write_bytes(self.content[:3])
        await self.gate.wait()
        path.write_bytes(self.content)


async def used(cache, key, fetch, size=100):
    async with cache.held(key, size, fetch) as path:
        return path.read_bytes()


def guarded(main, *args):
    async def run():
        with trio.fail_after(GUARD_S):
            return await main(*args)

    return trio.run(run)


async def settled():
    await trio.testing.wait_all_tasks_blocked()
