"""Modules that do not compile, should not, or take too long; and the cache of those that do."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from contract.executors import HANG_S, ROOMY, serving
from contract.wasm_bombs import many_functions, slow_to_compile
from contract.wasm_modules import Wasm, command, wat
from integration.wasm_runs import Engine, Run, descendants, ended, in_engine

from node.ambient import Threads
from node.errors import OperatorError
from node.executor.wasm.confine import COMPILE_CPU_S, COMPILE_MEMORY_BYTES, COMPILED_BYTES_MAX
from node.executor.wasm.executor import WasmExecutor
from node.executor.wasm.protocol import PARTS


def modules_of(folder: Path) -> list[Path]:
    """Compiled ones, without the parts of the profile."""
    return sorted(path for path in (folder / "cache").glob("*.cwasm") if path.name.partition(".")[0] not in PARTS)


@pytest.mark.parametrize(
    ("wasm", "said"),
    [
        (Wasm(b""), "no WASM binary"),
        (Wasm(b"#!/bin/sh\necho hello\n"), "no WASM binary"),
        (Wasm(b'(module (memory (export "memory") 1) (func (export "_start")))'), "no WASM binary"),
        (Wasm(b"\0asm\x01\0\0\0\xff\xff"), "does not compile"),
        (Wasm(b"\0asm\x0d\0\x01\0"), "component"),
        (wat('(module (memory (export "memory") 1 2 shared) (func (export "_start")))'), "threads"),
        (wat('(module (memory (export "memory") 1) (func (export "run")))'), "`_start`"),
        (wat('(module (memory (export "memory") 1) (func (export "_start") (param i32)))'), "`_start`"),
        (wat('(module (func (export "_start")))'), "`memory`"),
        (wat('(module (import "env" "now" (func)) (memory (export "memory") 1) (func (export "_start")))'), "env::now"),
        (
            wat(
                '(module (import "wasi_snapshot_preview1" "fork" (func))'
                ' (memory (export "memory") 1) (func (export "_start")))'
            ),
            "wasi_snapshot_preview1::fork",
        ),
        (
            wat(
                '(module (import "wasi_snapshot_preview1" "fd_close" (func (param i64)))'
                ' (memory (export "memory") 1) (func (export "_start")))'
            ),
            "fd_close",
        ),
    ],
)
def test_what_is_no_command_module_is_refused_with_what_to_do(tmp_path: Path, wasm: Wasm, said: str) -> None:
    end = ended(tmp_path, Run(wasm=wasm))
    assert end.code == "module"
    assert said in end.detail
    assert "wasm32-wasi" in end.detail
    assert str(tmp_path) not in end.detail
    assert modules_of(tmp_path) == []


def test_a_file_that_is_not_what_its_name_says_is_not_compiled_under_that_name(tmp_path: Path) -> None:
    class Mislabelled(Wasm):
        @property
        def sha256(self) -> str:
            return "ab" * 32

    end = ended(tmp_path, Run(wasm=Mislabelled(command("").data)))
    assert end.code == "module"
    assert modules_of(tmp_path) == []


def test_a_module_that_was_refused_is_refused_again_without_a_process(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        bad = Run(wasm=Wasm(b"nonsense"))
        first = await engine.run(bad)
        before = descendants()
        second = await engine.run(bad)
        assert second.detail == first.detail
        assert descendants() == before

    in_engine(tmp_path, body)


def test_five_who_ask_at_once_have_it_compiled_once(tmp_path: Path) -> None:
    wasm = command("")
    inodes: list[int] = []

    async def body(engine: Engine) -> None:
        async def one(tenant: str) -> None:
            assert (await engine.run(Run(wasm=wasm, tenant=tenant))).exit_code == 0
            inodes.extend(path.stat().st_ino for path in modules_of(tmp_path))

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(one, str(number))

    in_engine(tmp_path, body)
    assert len(inodes) == 5
    assert len(set(inodes)) == 1
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")]


def test_the_next_executor_finds_it_compiled(tmp_path: Path) -> None:
    wasm = command("")
    ended(tmp_path, Run(wasm=wasm))
    (path,) = modules_of(tmp_path)
    with path.open("rb") as before:  # Held open, so that its number is not given to another file.
        assert ended(tmp_path, Run(wasm=wasm)).exit_code == 0
        assert os.path.samestat(path.stat(), os.fstat(before.fileno()))


@pytest.mark.parametrize("damage", [b"", b"\x7fELF of something else", b"text"])
def test_a_compiled_module_that_cannot_be_loaded_is_compiled_anew(tmp_path: Path, damage: bytes) -> None:
    wasm = command("(call $proc_exit (i32.const 5))")
    ended(tmp_path, Run(wasm=wasm))
    (path,) = modules_of(tmp_path)
    path.write_bytes(damage)
    assert ended(tmp_path, Run(wasm=wasm)).exit_code == 5


def test_waiting_for_the_compiler_is_part_of_the_wall_time_and_ends_it(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        end = await engine.run(Run(wasm=slow_to_compile(), limits=replace(ROOMY, wall_s=1)))
        assert end.code == "time"
        assert "compiled" in end.detail
        assert "--timeout" in end.detail
        assert len(descendants()) == 1  # The zygote.
        assert (await engine.run(Run(wasm=command("")))).exit_code == 0

    in_engine(tmp_path, body)
    assert len(modules_of(tmp_path)) == 1
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")]


def test_a_compiler_is_limited_in_time_and_space(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run, Run(wasm=slow_to_compile()))
            (limits,) = await compilers_limits()
            nursery.cancel_scope.cancel()
        assert limits["Max cpu time"] == str(COMPILE_CPU_S)
        assert COMPILE_MEMORY_BYTES < int(limits["Max data size"]) < 2 * COMPILE_MEMORY_BYTES
        assert limits["Max file size"] == str(COMPILED_BYTES_MAX)

    in_engine(tmp_path, body)


async def compilers_limits() -> list[dict[str, str]]:
    """Of every process that has a limit of CPU time, when there is one."""
    while not (  # noqa: ASYNC110
        found := [limits for pid in descendants() if (limits := hard_limits(pid))["Max cpu time"] != "unlimited"]
    ):
        await trio.sleep(0.01)
    return found


def hard_limits(pid: int) -> dict[str, str]:
    lines = Path("/proc", str(pid), "limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:].split()[1] for line in lines}


def test_a_module_of_a_hundred_thousand_functions_runs(tmp_path: Path) -> None:
    assert ended(tmp_path, Run(wasm=many_functions())).exit_code == 0


def test_a_waiter_takes_over_when_the_one_who_leads_is_cancelled(tmp_path: Path) -> None:
    wasm = command("")

    async def body(engine: Engine) -> None:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as impatient:

                async def leave() -> None:
                    await trio.lowlevel.checkpoint()
                    impatient.cancel()

                nursery.start_soon(leave)
                nursery.start_soon(engine.run, Run(wasm=wasm, tenant="patient"))
                await engine.run(Run(wasm=wasm, tenant="impatient"))
            assert impatient.cancelled_caught

    in_engine(tmp_path, body)
    assert len(modules_of(tmp_path)) == 1


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_a_cache_that_others_can_write_to_stops_the_executor(tmp_path: Path, mode: int) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)

    async def main() -> None:
        with trio.fail_after(HANG_S):
            async with serving(WasmExecutor(cache, Threads())):
                await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        trio.run(main)
    assert caught.group_contains(OperatorError, match="chmod it 0700")


def test_the_cache_is_for_the_nodes_user_alone_and_is_swept_at_the_start(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "staging" / "7" / "0").mkdir(parents=True)
    cache.chmod(0o700)
    (cache / ".compiling-left").write_bytes(b"half")
    old = os.umask(0)
    try:
        ended(tmp_path, Run(wasm=command("")))
    finally:
        os.umask(old)
    assert {path.name for path in cache.iterdir() if path.suffix != ".cwasm"} == {"staging"}
    assert list((cache / "staging").iterdir()) == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in cache.iterdir())
