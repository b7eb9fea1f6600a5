"""How a program runs, as somebody at a terminal asks for it."""

from __future__ import annotations

import json
from pathlib import Path

from contract.wasm_modules import COUNT, LOOP, Wasm, command
from doubles.realnode import real_node
from e2e.users import User

ECHO = command(f"""(call $must (call $read (i32.const 0) (i32.const 0x20000) (i32.const 100)))
    (call $must (call $write (i32.const 1) (i32.const 0x20000) {COUNT}))""")
ECHO_AND_LOOP = command(f"""(call $must (call $read (i32.const 0) (i32.const 0x20000) (i32.const 100)))
    (call $must (call $write (i32.const 1) (i32.const 0x20000) {COUNT}))
    {LOOP}""")


def written(user: User, wasm: Wasm) -> str:
    path = user.home / "program.wasm"
    path.write_bytes(wasm.data)
    return str(path)


def test_a_program_reads_an_input_as_its_standard_input_and_ends_when_its_fuel_is_used_up(
    user: User, tmp_path: Path
) -> None:
    (user.home / "given.txt").write_text("given\n")
    given = ("--input-file", "given.txt", "--stdin", "/inputs/given.txt")
    results = user.home / "results"
    with real_node(tmp_path / "node") as node:
        for wasm, flags, code, said in (
            (ECHO, ("--isolation", "process"), "0", ""),
            (ECHO, ("--profile", "native"), "0", ""),
            (ECHO_AND_LOOP, ("--fuel", "1000000"), "152", "quorate: out of fuel: the run was given 1000000\n"),
        ):
            wanted = (*given, *flags, "--download", "--force", "--output-dir", str(results))
            ran = user.asks(node, "wasm", "run", written(user, wasm), *wanted)
            assert ran.returncode == 0, ran.stderr
            names = ("stdout", "stderr", "exitCode")
            assert [(results / name).read_text() for name in names] == ["given\n", said, code]
        (newest, *_) = json.loads(user.asks(node, "job", "list", "--json").stdout)["jobs"]
        described = user.asks(node, "job", "describe", newest["id"])
    assert "1000000" in described.stdout + described.stderr
    assert "/inputs/given.txt" in described.stdout + described.stderr
