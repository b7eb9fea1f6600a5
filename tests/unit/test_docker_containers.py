"""How a container ended: what the engine says of it, and what was found out beside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node import limits
from node.errors import DriverUnavailable, ExecutionFailed
from node.executor.docker.containers import Containers, Watch
from node.executor.docker.engine import Engine, Event
from node.executor.docker.executor import exit_code_of


def code(*happened: Callable[[Watch], None]) -> int:
    watch = Watch("a")
    for each in happened:
        each(watch)
    return trio.run(exit_code_of, watch, clock=MockClock(autojump_threshold=0))


def died(exit_code: int) -> Callable[[Watch], None]:
    def event(watch: Watch) -> None:
        watch.exit_code = exit_code
        watch.over.set()

    return event


def failed(watch: Watch) -> None:
    watch.fail(ExecutionFailed("output", "too much"))


def starved(watch: Watch) -> None:
    watch.out_of_memory.set()


def killed(watch: Watch) -> None:
    watch.is_killed = True


@pytest.mark.parametrize("exit_code", [0, 1, 136, 137, 138, 255])
def test_an_exit_code_is_a_result(exit_code: int) -> None:
    assert code(died(exit_code)) == exit_code


def test_what_was_too_much_is_too_much_also_after_its_end() -> None:
    """What it printed can be behind the news of its end."""
    with pytest.raises(ExecutionFailed, match="too much"):
        code(died(0), failed)


def test_the_first_reason_is_the_one() -> None:
    def gone(watch: Watch) -> None:
        watch.fail(DriverUnavailable("gone"))

    with pytest.raises(ExecutionFailed, match="too much"):
        code(failed, gone)


@pytest.mark.parametrize("exit_code", [0, 1, 137])
def test_running_out_of_memory_is_no_result_whatever_it_made_of_it(exit_code: int) -> None:
    with pytest.raises(ExecutionFailed, match="--memory"):
        code(starved, died(exit_code))


@pytest.mark.parametrize("happened", [(killed, died(137)), (killed, died(0)), (killed, died(143))])
def test_what_somebody_else_ended_is_no_result(happened: tuple[Callable[[Watch], None], ...]) -> None:
    with pytest.raises(DriverUnavailable, match="somebody else"):
        code(*happened)


def test_news_of_memory_that_comes_soon_after_the_end_is_waited_for() -> None:
    async def main() -> None:
        watch = Watch("a")
        died(137)(watch)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(late, watch)
            with pytest.raises(ExecutionFailed, match="--memory"):
                await exit_code_of(watch)

    async def late(watch: Watch) -> None:
        await trio.sleep(limits.DOCKER_OOM_S / 2)
        starved(watch)

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_nobody_runs_anything_where_there_is_no_engine(tmp_path: Path) -> None:
    containers = Containers(Engine(tmp_path / "nothing"), "me")
    with pytest.raises(DriverUnavailable, match=r"no docker engine answers$"), containers.watched("a"):
        pass


def test_an_event_of_a_container_that_nobody_watches_means_nothing(tmp_path: Path) -> None:
    Containers(Engine(tmp_path / "nothing"), "me")._heard(Event("a", "die", 0))
