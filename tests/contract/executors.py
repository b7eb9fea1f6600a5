"""What every Executor must do. Each executor's test class inherits this and says how to make its world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import pytest
import trio
import trio.testing
from doubles.collecting import goes, stays
from doubles.trees import files_in

from node.errors import ExecutionFailed
from node.executor.base import Executor, GiveBack, RunLimits, Task

HANG_S = 100.0  # virtual or real; only a test that hangs gets there
AGES_S = 50.0
SHORT_S = 0.5
OUTPUTS = (("outputs", "/outputs"), ("more", "/more"))
ROOMY = RunLimits(wall_s=60, cpu_s=60, memory_bytes=64 << 20, output_bytes=1 << 20, output_files=100)


@dataclass(frozen=True, kw_only=True)
class Program:
    """What a workload does, in order: write, sleep, end."""

    stdout: bytes = b""
    stderr: bytes = b""
    files: dict[str, bytes] = field(default_factory=dict)  # by name, in the first output
    sleeps_s: float = 0.0
    exit_code: int = 0
    traps: bool = False


class World(Protocol):
    """One executor and what the tests must know about it."""

    executor: Executor

    def task(self, program: Program, number: int) -> Task:
        """A task that runs ``program``, with OUTPUTS and ROOMY limits."""

    def still_running(self) -> int:
        """Workloads under way, looked at from outside."""


@asynccontextmanager
async def serving(executor: Executor) -> AsyncIterator[None]:
    """``serve`` around the body."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(executor.serve)
        yield
        nursery.cancel_scope.cancel()


class ExecutorContract:
    """Inherit, define ``world`` and ``run``; pytest collects the rest."""

    engine = "wasm"

    def world(self, folder: Path) -> World:
        raise NotImplementedError

    def run(self, main: Callable[[], Any]) -> None:
        """``trio.run`` with the clock of this world."""
        raise NotImplementedError

    def play(self, folder: Path, body: Callable[[World], Awaitable[None]]) -> None:
        """``body`` in a world that serves."""

        async def main() -> None:
            world = self.world(folder)
            with trio.fail_after(HANG_S):
                async with serving(world.executor):
                    await body(world)

        self.run(main)

    def outcome(self, folder: Path, program: Program, limits: RunLimits = ROOMY) -> int | ExecutionFailed:
        """One run in ``folder/results``."""
        seen: list[int | ExecutionFailed] = []

        async def body(world: World) -> None:
            results = folder / "results"
            results.mkdir()
            try:
                seen.append(await world.executor.run(replace(world.task(program, 1), limits=limits), results, stays))
            except ExecutionFailed as failure:
                seen.append(failure)

        self.play(folder, body)
        return seen[0]

    def failure(self, folder: Path, program: Program, limits: RunLimits = ROOMY) -> ExecutionFailed:
        """The same, of a run that must fail."""
        outcome = self.outcome(folder, program, limits)
        assert isinstance(outcome, ExecutionFailed)
        return outcome

    @pytest.mark.parametrize("exit_code", [0, 1, 7, 125, 126, 255])
    def test_the_exit_code_is_returned(self, tmp_path: Path, exit_code: int) -> None:
        assert self.outcome(tmp_path, Program(exit_code=exit_code)) == exit_code

    def test_results_of_a_silent_run_hold_empty_streams_and_a_folder_per_output(self, tmp_path: Path) -> None:
        self.outcome(tmp_path, Program())
        results = tmp_path / "results"
        assert sorted(path.name for path in results.rglob("*")) == ["more", "outputs", "stderr", "stdout"]
        assert (results / "stdout").read_bytes() == (results / "stderr").read_bytes() == b""

    def test_what_is_written_is_kept_where_it_belongs(self, tmp_path: Path) -> None:
        program = Program(stdout=b"out\n", stderr=b"err\xff", files={"a": b"1", "b.csv": b"x,y\n"}, exit_code=3)
        assert self.outcome(tmp_path, program) == 3
        results = tmp_path / "results"
        found = files_in(results)
        assert found == {"stdout": b"out\n", "stderr": b"err\xff", "outputs/a": b"1", "outputs/b.csv": b"x,y\n"}

    def test_streams_grow_as_the_workload_writes(self, tmp_path: Path) -> None:
        results, ended = tmp_path / "results", []
        written = {"stdout": b"out\n", "stderr": b"err\n"}
        program = Program(stdout=written["stdout"], stderr=written["stderr"], sleeps_s=AGES_S)

        async def body(world: World) -> None:
            async def run() -> None:
                ended.append(await world.executor.run(world.task(program, 1), results, stays))

            results.mkdir()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)
                while files_in(results) != written:  # noqa: ASYNC110  (a file has no event)
                    await trio.sleep(0.01)
                assert not ended
                nursery.cancel_scope.cancel()

        self.play(tmp_path, body)

    def test_a_trap_is_a_failure_called_trap(self, tmp_path: Path) -> None:
        assert self.failure(tmp_path, Program(traps=True)).code == "trap"

    def test_a_run_past_its_wall_clock_is_ended_and_says_which_flag_helps(self, tmp_path: Path) -> None:
        failure = self.failure(tmp_path, Program(sleeps_s=AGES_S), replace(ROOMY, wall_s=SHORT_S))
        assert failure.code == "time"
        assert "0.5 s" in failure.detail
        assert "--timeout" in failure.detail

    def test_exactly_the_bytes_allowed_may_be_written(self, tmp_path: Path) -> None:
        program = Program(stdout=b"o" * 400, stderr=b"e" * 300, files={"f": b"f" * 300})
        assert self.outcome(tmp_path, program, replace(ROOMY, output_bytes=1000)) == 0

    @pytest.mark.parametrize(
        "program",
        [
            Program(stdout=b"o" * 1001),
            Program(files={"f": b"f" * 1001}),
            Program(stdout=b"o" * 400, stderr=b"e" * 300, files={"f": b"f" * 301}),
        ],
        ids=["stdout", "one file", "together"],
    )
    def test_a_byte_more_than_allowed_is_a_failure_called_output(self, tmp_path: Path, program: Program) -> None:
        failure = self.failure(tmp_path, program, replace(ROOMY, output_bytes=1000))
        assert failure.code == "output"
        assert "1000 bytes; raise --disk" in failure.detail

    def test_exactly_the_files_allowed_may_be_written(self, tmp_path: Path) -> None:
        program = Program(files={"a": b"", "b": b""})
        assert self.outcome(tmp_path, program, replace(ROOMY, output_files=2)) == 0

    def test_a_file_more_than_allowed_is_a_failure_called_output(self, tmp_path: Path) -> None:
        program = Program(files={"a": b"", "b": b"", "c": b""})
        failure = self.failure(tmp_path, program, replace(ROOMY, output_files=2))
        assert (failure.code, "2 files" in failure.detail) == ("output", True)

    def test_nothing_runs_after_cancellation(self, tmp_path: Path) -> None:
        async def body(world: World) -> None:
            results = tmp_path / "results"
            results.mkdir()
            with trio.move_on_after(SHORT_S) as scope:
                await world.executor.run(world.task(Program(sleeps_s=AGES_S), 1), results, stays)
            assert scope.cancelled_caught
            assert world.still_running() == 0

        self.play(tmp_path, body)

    def test_a_run_cancelled_before_it_starts_leaves_nothing(self, tmp_path: Path) -> None:
        async def body(world: World) -> None:
            with trio.CancelScope() as scope:
                scope.cancel()
                await world.executor.run(world.task(Program(sleeps_s=AGES_S), 1), tmp_path, stays)
            assert scope.cancelled_caught
            assert world.still_running() == 0

        self.play(tmp_path, body)

    def test_runs_at_once_and_one_after_another_do_not_see_each_other(self, tmp_path: Path) -> None:
        async def body(world: World) -> None:
            async def one(number: int) -> None:
                results = tmp_path / str(number)
                results.mkdir()
                program = Program(stdout=str(number).encode(), files={f"f{number}": b""}, exit_code=number)
                assert await world.executor.run(world.task(program, number), results, stays) == number
                assert (results / "stdout").read_bytes() == str(number).encode()
                assert [path.name for path in (results / "outputs").iterdir()] == [f"f{number}"]

            for first in (0, 4):
                async with trio.open_nursery() as nursery:
                    for number in range(first, first + 4):
                        nursery.start_soon(one, number)

        self.play(tmp_path, body)

    def test_results_that_are_not_to_stay_leave_nothing_and_the_next_run_is_like_the_first(
        self, tmp_path: Path
    ) -> None:
        program = Program(stdout=b"out\n", files={"f": b"1"}, exit_code=4)
        results, found = tmp_path / "results", list[dict[str, bytes]]()

        async def looks(exit_code: int, give_back: GiveBack) -> None:
            found.append(files_in(results) | {"code": str(exit_code).encode()})
            await goes(exit_code, give_back)
            assert not results.exists()

        async def body(world: World) -> None:
            for number in range(2):
                assert await world.executor.run(world.task(program, number), results, looks) == 4
            assert not results.exists()

        self.play(tmp_path, body)
        assert found == [{"stdout": b"out\n", "stderr": b"", "outputs/f": b"1", "code": b"4"}] * 2

    def test_a_run_whose_results_cannot_be_collected_ends_so_and_the_next_one_runs(self, tmp_path: Path) -> None:
        async def fails(_: int, __: GiveBack) -> None:
            raise ExecutionFailed("result", "a link")

        async def body(world: World) -> None:
            with pytest.raises(ExecutionFailed, match="a link"):
                await world.executor.run(world.task(Program(), 1), tmp_path / "first", fails)
            assert await world.executor.run(world.task(Program(exit_code=1), 2), tmp_path / "second", stays) == 1

        self.play(tmp_path, body)

    def test_nothing_is_collected_of_a_run_that_fails(self, tmp_path: Path) -> None:
        async def collects(exit_code: int, _: GiveBack) -> None:
            pytest.fail(f"it ended with {exit_code}")

        async def body(world: World) -> None:
            task = replace(world.task(Program(sleeps_s=AGES_S), 1), limits=replace(ROOMY, wall_s=SHORT_S))
            with pytest.raises(ExecutionFailed):
                await world.executor.run(task, tmp_path / "results", collects)

        self.play(tmp_path, body)

    def test_it_says_that_it_is_ready_and_what_it_can_do(self, tmp_path: Path) -> None:
        async def body(world: World) -> None:
            await trio.testing.wait_all_tasks_blocked()
            await world.executor.probe()
            assert world.executor.name == self.engine
            assert world.executor.is_ready
            assert world.executor.capabilities.deterministic == (self.engine == "wasm")

        self.play(tmp_path, body)
