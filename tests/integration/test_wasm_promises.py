"""What ``docs/determinism.md`` says of modules as such, and of the profile ``native``, where none of the rest holds."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from contract.wasm_modules import command, wat
from integration.wasm_runs import Run, ended

START = '(func (export "_start"))'
MEMORY = '(memory (export "memory") 1)'


@pytest.mark.parametrize(
    ("what", "source"),
    [
        ("64-bit memory", f'(memory (export "memory") i64 1) {START}'),
        ("multiple memories", f"{MEMORY} (memory 1) {START}"),
        ("tail calls", f'{MEMORY} (func $f) (func (export "_start") (return_call $f))'),
        ("GC", f"{MEMORY} (type (struct)) {START}"),
        ("exceptions", f"{MEMORY} (tag) {START}"),
        ("relaxed SIMD", f"{MEMORY} (func (param v128) (drop (i32x4.relaxed_trunc_f32x4_s (local.get 0)))) {START}"),
        ("typed references", f"{MEMORY} (type $t (func)) (func (param (ref $t))) {START}"),
    ],
)
@pytest.mark.parametrize("profile", ["deterministic", "native"])
def test_what_came_after_webassembly_2_is_refused(tmp_path: Path, what: str, source: str, profile: str) -> None:
    end = ended(tmp_path, Run(wasm=wat(f"(module {source})"), profile=profile))
    assert (end.code, "does not compile" in end.detail) == ("module", True), what


def grown(tables: int, elements: int) -> str:
    """A program that makes tables grow to so many elements, and returns how many of them did."""
    grow = f"(i32.ne (i32.const -1) (table.grow $t{{}} (ref.null extern) (i32.const {elements})))"
    count = "".join(f"(global.set $n (i32.add (global.get $n) {grow.format(table)}))" for table in range(tables))
    return f"""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) {MEMORY}
      (global $n (mut i32) (i32.const 0)) {"".join(f"(table $t{table} 0 externref)" for table in range(tables))}
      (func (export "_start") {count} (call $exit (global.get $n))))"""


def test_four_tables_of_a_million_elements_are_the_most(tmp_path: Path) -> None:
    assert ended(tmp_path, Run(wasm=wat(grown(4, 1_000_000)))).exit_code == 4
    assert ended(tmp_path, Run(wasm=wat(grown(4, 1_000_001)))).exit_code == 0
    end = ended(tmp_path, Run(wasm=wat(grown(5, 1))))
    assert (end.code, "table" in end.detail) == ("trap", True)


def test_a_module_that_calls_wasi_before_its_start_traps_and_one_that_does_not_runs(tmp_path: Path) -> None:
    early = f"""(module (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
      {MEMORY} (func $early {{}}) (start $early) {START})"""
    assert ended(tmp_path, Run(wasm=wat(early.format("")))).exit_code == 0
    assert ended(tmp_path, Run(wasm=wat(early.format("(drop (call $yield))")))).code == "trap"


def test_a_native_program_sees_the_real_clock_and_real_randomness(tmp_path: Path) -> None:
    native = Run(
        wasm=command("""(call $must (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 0x20000)))
          (call $must (call $random_get (i32.const 0x20008) (i32.const 16)))
          (call $must (call $write (i32.const 1) (i32.const 0x20000) (i32.const 24)))"""),
        profile="native",
    )
    before = time.time_ns()
    one, other = (struct.unpack("<Q16s", ended(tmp_path, native).stdout) for _ in range(2))
    assert before <= one[0] <= other[0] <= time.time_ns()
    assert one[1] != other[1]
