"""Output that no walk over the results meets: open files without a name, and no descriptor left to look with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from contract.executors import ROOMY
from contract.wasm_modules import CREATE, OPENED, WRITE, Text, command
from integration.wasm_runs import Engine, Run, in_engine

LIMITS = replace(ROOMY, output_bytes=1 << 20, output_files=10_000, wall_s=20)

# Each file stays open when its name goes; what is in it stays on the disk.
UNLINKED = """(local.set $i (i32.const 0))
  (loop $again
    (call $must (call $open (i32.const 3) {name} {create} {write}))
    (call $must (call $write {opened} (i32.const 0x10000) (i32.const 0x80000)))
    (call $must (call $path_unlink_file (i32.const 3) {name}))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $i) (i32.const 128))))
  (call $sleep (i64.const 60000000000))"""

# Opens one file again and again until it may open no more, then writes past the limit, a file's worth in each.
NO_DESCRIPTOR_LEFT = """(local.set $n (i64.const 0x3030303030303030))
  (block $full (loop $more
    (local.set $n (i64.add (local.get $n) (i64.const 1)))
    (if (i64.eq (i64.and (local.get $n) (i64.const 0xff)) (i64.const 0x7f)) (then
      (local.set $n (i64.add (local.get $n) (i64.const 0xb1)))))
    (i64.store (i32.const 512) (local.get $n))
    (br_if $full (call $open (i32.const 3) (i32.const 512) (i32.const 8) {create} {write}))
    (local.set $i {opened})
    (br $more)))
  (call $sleep (i64.const 1500000000))
  (loop $again
    (drop (call $write (local.get $i) (i32.const 0x10000) (i32.const 0x80000)))
    (local.set $i (i32.sub (local.get $i) (i32.const 1)))
    (br_if $again (i32.gt_u (local.get $i) (i32.const 10))))
  (call $sleep (i64.const 60000000000))"""


def _ended_by(tmp_path: Path, body: str) -> tuple[str | None, str]:
    text = Text()
    name = text(b"gone")
    wasm = command(body.format(name=name, create=CREATE, write=WRITE, opened=OPENED), text)
    seen: list[tuple[str | None, str]] = []

    async def run(engine: Engine) -> None:
        end = await engine.run(Run(wasm=wasm, limits=LIMITS, profile="native"))
        seen.append((end.code, end.detail))

    in_engine(tmp_path, run)
    return seen[0]


def test_a_file_without_a_name_counts_while_it_is_open(tmp_path: Path) -> None:
    assert _ended_by(tmp_path, UNLINKED) == ("output", "wrote more than 1048576 bytes; raise --disk")


def test_a_program_that_leaves_no_descriptor_to_look_with_is_ended(tmp_path: Path) -> None:
    code, detail = _ended_by(tmp_path, NO_DESCRIPTOR_LEFT)
    assert code == "output", detail
