"""Hostile and unlucky workloads in real workers: each ends by its limit, with a reason, and the node goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from contract.executors import ROOMY
from contract.wasm_bombs import (
    DEEP_FOLDERS,
    MANY_BIG_FILES,
    MANY_FILES,
    MANY_FOLDERS,
    SLEEP,
    flood,
    one_large_file,
    sparse_file,
)
from contract.wasm_modules import LOOP, MEMORY_BOMB, TRAP, Text, Wasm, command, wat
from integration.wasm_runs import Engine, Run, ended, in_engine

from node.removal import remove


def test_a_loop_ends_by_its_cpu_time(tmp_path: Path) -> None:
    end = ended(tmp_path, Run(wasm=command(LOOP), limits=replace(ROOMY, cpu_s=0.3)))
    assert end.code == "cpu"
    assert "0.3 s of CPU time; raise --timeout" in end.detail


def test_a_loop_ends_by_the_wall_clock_when_that_comes_first(tmp_path: Path) -> None:
    end = ended(tmp_path, Run(wasm=command(LOOP), limits=replace(ROOMY, wall_s=0.5)))
    assert (end.code, end.detail) == ("time", "still running after 0.5 s; raise --timeout")


def test_a_sleep_ends_by_the_wall_clock(tmp_path: Path) -> None:
    run = Run(wasm=command(SLEEP), limits=replace(ROOMY, wall_s=0.5), profile="native")
    assert ended(tmp_path, run).code == "time"


def test_cpu_time_is_counted_for_each_run_alone(tmp_path: Path) -> None:
    busy = command(
        "(loop $again (local.set $n (i64.add (local.get $n) (i64.const 1)))"
        " (br_if $again (i64.lt_u (local.get $n) (i64.const 200000000))))"
    )

    async def body(engine: Engine) -> None:
        for _ in range(4):
            assert (await engine.run(Run(wasm=busy, limits=replace(ROOMY, cpu_s=20)))).exit_code == 0

    in_engine(tmp_path, body)


def test_a_program_that_gives_up_for_want_of_memory_says_which_flag_helps(tmp_path: Path) -> None:
    end = ended(tmp_path, Run(wasm=command(MEMORY_BOMB)))
    assert end.code == "memory"
    assert "raise --memory" in end.detail


def test_a_program_that_copes_with_a_failed_grow_goes_on(tmp_path: Path) -> None:
    body = "(call $proc_exit (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)))"
    assert ended(tmp_path, Run(wasm=command(body))).exit_code == 1


def test_memory_up_to_the_limit_can_be_used(tmp_path: Path) -> None:
    body = """(call $must (i32.eq (memory.grow (i32.const 1008)) (i32.const -1)))
      (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x4000000))"""
    assert ended(tmp_path, Run(wasm=command(body, pages=16))).exit_code == 0


def test_a_module_that_begins_over_the_limit_does_not_start(tmp_path: Path) -> None:
    end = ended(tmp_path, Run(wasm=command("", pages=2000)))
    assert end.code == "memory"
    assert "raise --memory" in end.detail


def test_a_table_cannot_be_used_as_memory(tmp_path: Path) -> None:
    module = wat("""(module (memory (export "memory") 1) (table $t 0 externref)
      (func (export "_start") (if (i32.ne (table.grow $t (ref.null extern) (i32.const 100000000)) (i32.const -1))
        (then unreachable))))""")
    assert ended(tmp_path, Run(wasm=module)).exit_code == 0


def large_file() -> Wasm:
    text = Text()
    return command(one_large_file(text), text)


@pytest.mark.parametrize(
    "bomb",
    [command(flood(1)), large_file(), command(MANY_BIG_FILES)],
    ids=["stdout", "one file", "many files"],
)
def test_an_output_bomb_ends_by_its_size(tmp_path: Path, bomb: Wasm) -> None:
    end = ended(tmp_path, Run(wasm=bomb, limits=replace(ROOMY, output_bytes=8 << 20, output_files=1_000_000)))
    assert end.code == "output"
    assert "8388608 bytes; raise --disk" in end.detail
    largest = max(path.stat().st_size for path in end.results.rglob("*") if path.is_file())
    assert largest <= (8 << 20) + 1


def test_a_sparse_file_counts_as_long_as_it_reads(tmp_path: Path) -> None:
    text = Text()
    body = sparse_file(text, 1 << 46)
    assert ended(tmp_path, Run(wasm=command(body, text))).code == "output"


@pytest.mark.parametrize("bomb", [MANY_FILES, MANY_FOLDERS], ids=["files", "folders"])
def test_a_bomb_of_names_ends_by_their_number(tmp_path: Path, bomb: str) -> None:
    end = ended(tmp_path, Run(wasm=command(bomb), limits=replace(ROOMY, output_files=1000)))
    assert end.code == "output"
    assert "1000 files" in end.detail


def test_folders_nested_without_end_end_the_run(tmp_path: Path) -> None:
    end = ended(tmp_path, Run(wasm=command(DEEP_FOLDERS), limits=replace(ROOMY, output_files=1_000_000)))
    assert end.code == "output"
    assert "nest" in end.detail
    remove(end.results)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (TRAP, "unreachable"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "divide by zero"),
        ("(drop (i32.load (i32.const 0x7ffffff0)))", "out of bounds"),
    ],
)
def test_a_trap_names_its_reason_and_nothing_of_this_machine(tmp_path: Path, body: str, reason: str) -> None:
    end = ended(tmp_path, Run(wasm=command(body)))
    assert end.code == "trap"
    assert reason in end.detail
    assert "/" not in end.detail
    assert "0x" not in end.detail


def test_recursion_without_end_is_a_trap(tmp_path: Path) -> None:
    module = wat('(module (memory (export "memory") 1) (func $f (export "_start") (call $f)))')
    end = ended(tmp_path, Run(wasm=module))
    assert (end.code, "stack" in end.detail) == ("trap", True)


def test_the_node_stays_responsive_while_five_bombs_run(tmp_path: Path) -> None:
    limits = replace(ROOMY, cpu_s=1)
    bombs = [Run(wasm=command(bomb), limits=limits) for bomb in (LOOP, MEMORY_BOMB, flood(1), MANY_FOLDERS)]
    bombs.append(Run(wasm=command(SLEEP), limits=replace(ROOMY, wall_s=1), profile="native"))
    codes: set[str | None] = set()
    ticks = 0

    async def body(engine: Engine) -> None:
        async def explode(bomb: Run) -> None:
            codes.add((await engine.run(bomb)).code)

        async def tick() -> None:
            nonlocal ticks
            while True:
                await trio.sleep(0.01)
                ticks += 1

        async with trio.open_nursery() as ticking:
            ticking.start_soon(tick)
            async with trio.open_nursery() as nursery:
                for bomb in bombs:
                    nursery.start_soon(explode, bomb)
            ticking.cancel_scope.cancel()

    in_engine(tmp_path, body)
    assert codes == {"cpu", "memory", "output", "time"}
    assert ticks > 20  # Of some 200; blocked for the length of one bomb it would be a handful.
