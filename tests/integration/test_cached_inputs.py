"""A cached input that a run is shown stays what it is: no call of WASI reaches the inode that others will read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from contract.wasm_modules import OPENED, READ, WRITE, Text, Wasm, command
from doubles.inputcaches import Source, cache_in
from integration.wasm_runs import Engine, Run, in_engine

from node.executor.base import Mount

IN, OUT = "(i32.const 3)", "(i32.const 4)"
TIMES = "(i64.const 1) (i64.const 1) (i32.const 5)"  # both, as given


def attempts(text: Text) -> dict[str, str]:
    """Calls by what they try; each gives an errno."""
    name, new = text(b"x"), text(b"new")
    opened = f"(call $must (call $open {IN} {name} (i32.const 0) {READ}))"
    return {
        "open it for writing": f"(call $open {IN} {name} (i32.const 0) {WRITE})",
        "truncate it": f"(call $open {IN} {name} (i32.const 8) {READ})",
        "replace it": f"(call $open {IN} {name} (i32.const 9) {WRITE})",
        "link it into the output": f"(call $path_link {IN} (i32.const 0) {name} {OUT} {new})",
        "link something over it": f"(call $path_link {OUT} (i32.const 0) {new} {IN} {name})",
        "move it into the output": f"(call $path_rename {IN} {name} {OUT} {new})",
        "rename it": f"(call $path_rename {IN} {name} {IN} {new})",
        "unlink it": f"(call $path_unlink_file {IN} {name})",
        "set its times": f"(call $path_filestat_set_times {IN} (i32.const 0) {name} {TIMES})",
        "write where it is open to be read": f"{opened} (call $write {OPENED} {new})",
        "cut it where it is open to be read": f"{opened} (call $fd_filestat_set_size {OPENED} (i64.const 0))",
        "set its times where it is open": f"{opened} (call $fd_filestat_set_times {OPENED} {TIMES})",
    }


def trying(what: str) -> Wasm:
    """Ends with 0 if it was possible."""
    text = Text()
    *before, call = attempts(text)[what].rpartition("(call ")
    setup = before[0]
    return command(f"{setup} (call $proc_exit (call {call})", text)


@pytest.mark.parametrize("what", attempts(Text()))
def test_a_single_file_from_the_cache_is_linked_into_a_run_and_cannot_be_changed_there(
    tmp_path: Path, what: str
) -> None:
    async def body(engine: Engine) -> None:
        cache = cache_in(tmp_path)
        async with cache.held("k", 100, Source()) as path:
            before = path.stat()
            end = await engine.run(Run(wasm=trying(what), inputs=(Mount(path, "/in/x"),)))
            assert end.exit_code not in (0, None), end
            after = path.stat()
            assert path.read_bytes() == b"content"
            assert (after.st_mtime_ns, after.st_mode, after.st_nlink) == (before.st_mtime_ns, before.st_mode, 1)

    in_engine(tmp_path, body)


def test_the_mode_is_a_second_line_for_a_node_that_is_not_root(tmp_path: Path) -> None:
    async def main() -> None:
        async with cache_in(tmp_path).held("k", 100, Source()) as path:
            assert not path.stat().st_mode & 0o222
            if os.geteuid():
                with pytest.raises(PermissionError):
                    path.open("r+b")

    trio.run(main)


def test_reading_it_is_possible_the_same_way(tmp_path: Path) -> None:
    """Else none of the attempts above would say anything."""
    text = Text()
    reads = command(f"(call $proc_exit (call $open {IN} {text(b'x')} (i32.const 0) {READ}))", text)

    async def body(engine: Engine) -> None:
        async with cache_in(tmp_path).held("k", 100, Source()) as path:
            assert (await engine.run(Run(wasm=reads, inputs=(Mount(path, "/in/x"),)))).exit_code == 0

    in_engine(tmp_path, body)
