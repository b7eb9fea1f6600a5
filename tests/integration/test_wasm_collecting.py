"""A worker while the results of its run are collected: whether it is there then, and what becomes of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from contract.executors import HANG_S, serving
from contract.wasm_modules import command
from doubles.collecting import goes, stays
from integration.wasm_runs import Engine, Run, in_engine, until, workers

from node.ambient import Threads
from node.executor.base import Collect, GiveBack
from node.executor.wasm.executor import WasmExecutor

QUICK = Run(wasm=command("(call $proc_exit (i32.const 3))"))


def places(folder: Path) -> list[str]:
    """What there is of workers."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".worker")]


def test_a_run_that_is_cancelled_while_it_is_collected_leaves_no_worker_and_the_next_one_runs(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        with trio.CancelScope() as scope:

            async def cancelled(_: int, __: GiveBack) -> None:
                assert len(workers()) == 1
                scope.cancel()
                await trio.sleep_forever()

            await engine.run(QUICK, cancelled)
        assert scope.cancelled_caught
        assert workers() == set()
        assert places(tmp_path) == []
        assert (await engine.run(QUICK)).exit_code == 3

    in_engine(tmp_path, body)


@pytest.mark.parametrize("collect", [stays, goes])
def test_a_worker_that_dies_while_its_run_is_collected_changes_nothing_and_has_no_further_run(
    tmp_path: Path, collect: Collect
) -> None:
    async def body(engine: Engine) -> None:
        async def killed(exit_code: int, give_back: GiveBack) -> None:
            (worker,) = workers()
            os.kill(worker, signal.SIGKILL)
            await until(lambda: not workers())
            await collect(exit_code, give_back)

        for _ in range(2):
            assert (await engine.run(QUICK, killed)).exit_code == 3

    in_engine(tmp_path, body)


def test_a_worker_that_serves_one_run_alone_has_ended_before_it_is_collected(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        async def alone(exit_code: int, give_back: GiveBack) -> None:
            assert workers() == set()
            assert places(tmp_path) == []
            await goes(exit_code, give_back)

        ended = await engine.run(replace(QUICK, isolation="process"), alone)
        assert ended.exit_code == 3
        assert not ended.results.exists()

    in_engine(tmp_path, body)


def test_what_an_idle_worker_left_is_removed_once_it_has_ended_and_not_by_the_event_loop(tmp_path: Path) -> None:
    """One that has broken out of its engine can fill its folder while it has nothing to do."""
    threads, alive = Threads(), dict[str, set[int]]()

    async def watched(call: Callable[..., Any], *args: Any) -> Any:
        alive[getattr(call, "__name__", "")] = workers()
        return await threads(call, *args)

    async def main() -> None:
        executor = WasmExecutor(tmp_path / "cache", watched, idle_s=0.1)
        with trio.fail_after(HANG_S):
            async with serving(executor):
                await trio.testing.wait_all_tasks_blocked()
                await Engine(tmp_path, executor).run(QUICK)
                (place,) = places(tmp_path)
                (tmp_path / place / "deep").mkdir()
                (tmp_path / place / "deep" / "file").touch()
                await until(lambda: not places(tmp_path))

    trio.run(main)
    assert alive["_cleared"] == set()
