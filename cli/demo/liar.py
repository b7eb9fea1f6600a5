"""A test double: a node that runs every job honestly and falsifies what it returns. No option of ``node serve`` is it.

``demo --liars N`` starts it in place of ``serve``, with the same flags: ``python -m cli.demo.liar FLAGS...``. All but
the falsified number is the real node, so it bids, runs, signs and hands over like any other. Two of them falsify in the
same way: they collude, which is the hardest case for a vote.
"""

from __future__ import annotations

import re
from pathlib import Path

from cli import flags
from cli.capacity import Limit
from cli.docker_host import Containers
from cli.exits import Exit
from cli.selection import Selection
from cli.serve import Data, Network, Place, config_of, run
from node.executor.base import Capabilities, Collect, Executor, GiveBack, Task
from node.model import STDOUT, EngineSpec

_NUMBER = re.compile(rb"\d{1,18}")


class Liar:
    """An engine whose results are changed before they are collected: the first number on stdout is one more."""

    def __init__(self, honest: Executor) -> None:
        self._honest = honest

    @property
    def name(self) -> str:
        """As the honest one."""
        return self._honest.name

    @property
    def capabilities(self) -> Capabilities:
        """As the honest one."""
        return self._honest.capabilities

    @property
    def is_ready(self) -> bool:
        """As the honest one."""
        return self._honest.is_ready

    async def serve(self) -> None:
        """As the honest one."""
        await self._honest.serve()

    async def probe(self) -> None:
        """As the honest one."""
        await self._honest.probe()

    def refusal(self, engine: EngineSpec) -> str | None:
        """As the honest one."""
        return self._honest.refusal(engine)

    def identity(self, engine: EngineSpec) -> str | None:
        """As the honest one."""
        return self._honest.identity(engine)

    async def looked_up(self, engine: EngineSpec) -> str:
        """As the honest one."""
        return await self._honest.looked_up(engine)

    async def resolved(self, engine: EngineSpec) -> EngineSpec:
        """As the honest one."""
        return await self._honest.resolved(engine)

    async def run(self, task: Task, results: Path, collect: Collect) -> int:
        """See Executor."""

        async def lie(exit_code: int, give_back: GiveBack) -> None:
            _falsify(results / STDOUT)
            await collect(exit_code, give_back)

        return await self._honest.run(task, results, lie)


def _falsify(stdout: Path) -> None:
    stdout.write_bytes(falsified(stdout.read_bytes()))


def falsified(output: bytes) -> bytes:
    """The same lie each time, and never the truth."""
    changed, count = _NUMBER.subn(lambda found: str(int(found[0]) + 1).encode(), output, count=1)
    return changed if count else output + b"1"


@flags.flat
def lie(place: Place, network: Network, data: Data, containers: Containers, limit: Limit, selection: Selection) -> Exit:
    """A node that falsifies results, with the flags of ``serve``."""
    return run(config_of(place, network, data, containers, limit, selection), wrap=Liar)


if __name__ == "__main__":
    app = flags.app("A test double.")
    app.command()(lie)
    app()
