"""Fuel: counted alike everywhere, so that running out of it is a result. And who asks for a process gets one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from contract.executors import ROOMY
from contract.wasm_modules import CREATE, LOOP, OPENED, WRITE, Text, command, put
from integration.wasm_runs import Ended, Engine, Run, descendants, ended, in_engine, workers

from node.executor.base import Mount
from node.executor.wasm.worker import OUT_OF_FUEL

PLENTY = 1_000_000
COUNTED = """(loop $again (local.set $n (i64.add (local.get $n) (i64.const 1)))
  (br_if $again (i64.lt_u (local.get $n) (i64.const 1000))))"""


def said(end: Ended) -> bytes:
    return (end.results / "stderr").read_bytes()


def test_a_run_out_of_fuel_completes_with_what_it_had_written_and_says_so(tmp_path: Path) -> None:
    text = Text()
    body = f"""(call $must (call $open (i32.const 3) {text(b"file")} {CREATE} {WRITE})) {put(OPENED, text(b"kept"))}
      {put("(i32.const 1)", text(b"out"))} {put("(i32.const 2)", text(b"err "))} {LOOP}"""
    end = ended(tmp_path, Run(wasm=command(body, text), fuel=PLENTY))
    assert end.exit_code == OUT_OF_FUEL
    assert (end.stdout, (end.results / "outputs" / "file").read_bytes()) == (b"out", b"kept")
    assert said(end) == b"err quorate: out of fuel: the run was given 1000000\n"


def test_fuel_is_counted_to_the_unit(tmp_path: Path) -> None:
    wasm = command(COUNTED)

    async def body(engine: Engine) -> None:
        async def suffices(fuel: int) -> bool:
            return (await engine.run(Run(wasm=wasm, fuel=fuel))).exit_code == 0

        low, high = 1, PLENTY
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if await suffices(middle) else (middle, high)
        assert 3_000 < high < 30_000
        for _ in range(3):
            assert not await suffices(high - 1)
            assert await suffices(high)

    in_engine(tmp_path, body)


def test_a_worker_is_usable_after_a_run_out_of_fuel(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        await engine.run(Run(wasm=command(COUNTED), fuel=PLENTY))
        before = descendants()
        assert (await engine.run(Run(wasm=command(COUNTED), fuel=1))).exit_code == OUT_OF_FUEL
        assert (await engine.run(Run(wasm=command(COUNTED), fuel=PLENTY))).exit_code == 0
        assert descendants() == before

    in_engine(tmp_path, body)


def test_code_that_counts_fuel_is_kept_apart_from_code_that_does_not(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        for run in (Run(wasm=command("")), Run(wasm=command(""), fuel=PLENTY), Run(wasm=command(""), profile="native")):
            assert (await engine.run(run)).exit_code == 0

    in_engine(tmp_path, body)
    kept = [path.name for path in (tmp_path / "cache").glob(f"{command('').sha256}.*")]
    assert len(kept) == 3


def test_the_wall_clock_ends_a_run_that_has_fuel_left_and_that_is_no_result(tmp_path: Path) -> None:
    run = Run(wasm=command(LOOP), fuel=2**62, limits=replace(ROOMY, wall_s=0.5))
    assert ended(tmp_path, run).code == "time"


def test_who_asks_for_a_process_of_its_own_gets_one_that_nobody_else_has(tmp_path: Path) -> None:
    alone = Run(wasm=command(""), isolation="process")

    async def body(engine: Engine) -> None:
        assert (await engine.run(Run(wasm=command("")))).exit_code == 0
        shared = workers()
        for _ in range(2):
            assert (await engine.run(alone)).exit_code == 0
            assert workers() == shared

    in_engine(tmp_path, body)


def test_standard_input_is_the_file_of_an_input(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(b"given")
    body = """(call $must (call $read (i32.const 0) (i32.const 0x20000) (i32.const 100)))
      (call $must (call $write (i32.const 1) (i32.const 0x20000) (i32.load (i32.const 8))))"""
    whole, single = Mount(folder, "/in"), Mount(folder / "sub" / "file", "/in/x/single")
    for mount, stdin in ((whole, "/in/sub/file"), (single, "/in/x/single")):
        assert ended(tmp_path, Run(wasm=command(body), inputs=(mount,), stdin=stdin)).stdout == b"given"


def test_a_standard_input_of_a_mebibyte_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(os.urandom(1 << 20))
    body = """(loop $more (call $must (call $read (i32.const 0) (i32.const 0x20000) (i32.const 0x8000)))
      (call $must (call $write (i32.const 1) (i32.const 0x20000) (i32.load (i32.const 8))))
      (br_if $more (i32.load (i32.const 8))))"""
    run = Run(wasm=command(body), inputs=(Mount(tmp_path / "data", "/in/data"),), stdin="/in/data")
    assert ended(tmp_path, run).stdout == (tmp_path / "data").read_bytes()


@pytest.mark.parametrize(
    "stdin", ["/in/none", "/in/sub", "/in/link", "/in/inside", "/in/out/passwd", "/elsewhere/file", "/in"]
)
def test_a_standard_input_that_is_no_file_of_an_input_is_refused(tmp_path: Path, stdin: str) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "file").touch()
    (folder / "inside").symlink_to("file")
    (folder / "out").symlink_to("/etc")
    end = ended(tmp_path, Run(wasm=command("unreachable"), inputs=(Mount(folder, "/in"),), stdin=stdin))
    assert end.code == "data"
    assert stdin in end.detail
    assert ("is a folder" in end.detail) == (stdin == "/in")
