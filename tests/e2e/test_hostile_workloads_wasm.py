"""WASM programs that mean harm, on a real node: each ends with its reason, and the node answers and goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.wasm_bombs import (
    DEEP_FOLDERS,
    MANY_FILES,
    SLEEP,
    files,
    flood,
    many_functions,
    one_large_file,
    slow_to_compile,
    sparse_file,
)
from contract.wasm_modules import CREATE, LOOP, MEMORY_BOMB, OPENED, READ, WRITE, Text, Wasm, command, wat
from doubles.pulse import Pulse
from e2e.proving_ground import HEALTH_S_MAX, Ground, proving_ground
from e2e.traces import clean_environment
from e2e.users import QUORATE

from node import limits
from node.varint import encode
from node.vault.modules import HOW_TO_SHRINK

MEMORY = '(memory (export "memory") 1)'
LARGER_BYTES = 200_000_000
SMALL = ("--disk", "50MB")
SHORT = ("--timeout", "3s")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("hostile")
    honest = folder / "honest.wasm"
    honest.write_bytes(command("").data)
    with proving_ground(folder, "wasm", (str(honest),), lambda _: [], "--docker-host", "") as made:
        yield made


def written(ground: Ground, wasm: Wasm) -> str:
    path = ground.user.home / "hostile.wasm"
    path.write_bytes(wasm.data)
    return str(path)


def spelled(body: str, *names: bytes) -> Wasm:
    """A program with these names in place of {0}, {1}, …"""
    text = Text()
    return command(body.format(*map(text, names)), text)


def large_file() -> Wasm:
    text = Text()
    return command(one_large_file(text), text)


def terabyte() -> Wasm:
    text = Text()
    return command(sparse_file(text, 1 << 40), text)


CREATED = f"(call $must (call $open (i32.const 3) {{0}} {CREATE} {WRITE}))"


@pytest.mark.parametrize(
    ("wasm", "flags", "code", "words"),
    [
        pytest.param(command(MEMORY_BOMB), (), "memory", "raise --memory", id="memory"),
        pytest.param(large_file(), SMALL, "output", "raise --disk", id="one large file"),
        pytest.param(command(MANY_FILES), (), "output", "100000 files", id="very many files"),
        pytest.param(command(DEEP_FOLDERS), (), "output", "nest them less", id="deep folders"),
        pytest.param(command(flood(1)), SMALL, "output", "raise --disk", id="stdout"),
        pytest.param(command(flood(2)), SMALL, "output", "raise --disk", id="stderr"),
        pytest.param(terabyte(), (), "output", "raise --disk", id="sparse file"),
        pytest.param(command(SLEEP), (*SHORT, "--profile", "native"), "time", "raise --timeout", id="sleep"),
        pytest.param(slow_to_compile(), SHORT, "time", "still being compiled", id="slow to compile"),
        pytest.param(Wasm(b"\0asm\x01\0\0\0\xff\xff"), (), "module", "does not compile", id="no module"),
        pytest.param(
            wat(f'(module (import "wasi_snapshot_preview1" "sock_open" (func)) {MEMORY} (func (export "_start")))'),
            (),
            "module",
            "sock_open",
            id="network",
        ),
        pytest.param(spelled(CREATED, b"new\nline"), (), "result", "new\\nline", id="newline"),
        pytest.param(
            spelled("(call $must (call $path_symlink {0} (i32.const 3) {1}))", b"../../../node.key", b"link"),
            (),
            "result",
            "neither a file nor a folder",
            id="link",
        ),
    ],
)
def test_it_ends_with_its_reason(ground: Ground, wasm: Wasm, flags: tuple[str, ...], code: str, words: str) -> None:
    ground.endures(written(ground, wasm), *flags).is_told(code, words)


def test_very_many_files_within_the_limit_are_a_result(ground: Ground) -> None:
    """Which is hashed, handed over, listed and synced to disk while the node goes on."""
    ending = ground.endures(written(ground, command(files(20_000))))
    assert ending.job["results"]["files"] == 20_000 + len(("stdout", "stderr", "exitCode"))


def test_an_endless_loop_ends_by_one_of_the_two_clocks(ground: Ground) -> None:
    ending = ground.endures(written(ground, command(LOOP)), *SHORT)
    assert ending.code in ("time", "cpu")
    ending.is_told(ending.code, "raise --timeout")


def test_sleeping_for_ever_takes_no_time_where_time_is_virtual(ground: Ground) -> None:
    ending = ground.endures(
        written(ground, command("(loop $again (call $sleep (i64.const 0x7000000000000000)) (br $again))"))
    )
    ending.is_told("trap", "time")


def test_a_name_that_is_not_utf8_is_an_error_of_the_program(ground: Ground) -> None:
    assert ground.endures(written(ground, spelled(CREATED, b"\xff"))).exit_code != 0


def test_nothing_of_the_host_the_node_or_another_execution_is_in_reach(ground: Ground) -> None:
    secret = f"{CREATED} (call $must (call $write {OPENED} {{1}})) {SLEEP}"
    with ground.running(written(ground, spelled(secret, b"secret", b"secret")), "--profile", "native") as folder:
        paths = [Path("/etc/passwd"), Path("/proc/self/environ"), ground.folder / "node.key", folder / "outputs/secret"]
        assert all(path.exists() for path in paths)
        names = [str(path) for path in paths] + ["../" * 12 + str(path)[1:] for path in paths]
        names += [f"../../{folder.name}/outputs/secret", "../stdout"]
        wasm = spelled(CREATED + "".join(map(tried, range(1, len(names) + 1))), b"own", *map(str.encode, names))
        assert ground.ended(written(ground, wasm)).exit_code == 0


def tried(number: int) -> str:
    """Open what has that number among the names, and end there if that works."""
    opened = f"(call $open (i32.const 3) {{{number}}} (i32.const 0) {READ})"
    return f"(if (i32.eqz {opened}) (then (call $proc_exit (i32.const 66))))"


def test_a_module_of_a_hundred_thousand_functions_runs(ground: Ground) -> None:
    assert ground.endures(written(ground, many_functions())).exit_code == 0


def test_a_module_of_the_largest_size_runs(ground: Ground) -> None:
    """Of data, which is carried along; as much code would be over what compiling may take."""
    half = limits.MODULE_BYTES_MAX // 2
    wasm = wat(f'(module {MEMORY} (data "{"a" * half}") (func (export "_start")))').data
    padding = limits.MODULE_BYTES_MAX - len(wasm) - 1 - len(encode(half))
    custom = b"\0" + encode(padding) + encode(1) + b"x" + bytes(padding - 2)
    assert len(wasm + custom) == limits.MODULE_BYTES_MAX
    assert ground.endures(written(ground, Wasm(wasm + custom))).exit_code == 0


@pytest.fixture
def larger(ground: Ground) -> Path:
    """A module of 200 MB."""
    path = ground.user.home / "larger.wasm"
    path.write_bytes(command("").data)
    os.truncate(path, LARGER_BYTES)
    return path


def test_who_sends_a_larger_module_is_told_before_it_is_read(ground: Ground, larger: Path) -> None:
    code, said, most_bytes = measured(ground, "wasm", "run", str(larger))
    assert code == 2
    for words in ("200.0 MB", "67.1 MB", HOW_TO_SHRINK):
        assert words in said
    assert most_bytes - measured(ground, "wasm", "run", "none.wasm")[2] < LARGER_BYTES / 10


@pytest.mark.parametrize("is_declared", [True, False], ids=["declared", "streamed"])
def test_who_receives_a_larger_module_refuses_it_without_keeping_it(
    ground: Ground, larger: Path, is_declared: bool
) -> None:
    before_bytes = most_from_now(ground.node.process.pid)
    with ground.node.client() as client, larger.open("rb") as file, Pulse(ground.node.ready["api_url"]) as pulse:
        answer = client.post("/v1/modules", content=file if is_declared else iter(lambda: file.read(1 << 20), b""))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert HOW_TO_SHRINK in answer.json()["detail"]
    assert most_bytes(ground.node.process.pid) - before_bytes < LARGER_BYTES / 10
    assert pulse.worst_s < HEALTH_S_MAX
    assert ground.ended(*ground.honest).exit_code == 0


def measured(ground: Ground, *arguments: str) -> tuple[int, str, int]:
    """A command's exit code, what it says in one line, and the most memory that it had, in bytes."""
    environment = {**clean_environment(ground.user.home), "QUORATE_API": ground.node.ready["api_url"]}
    with subprocess.Popen([QUORATE, *arguments], env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = " ".join(process.stderr.read().split())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, said, usage.ru_maxrss * 1024


def most_from_now(pid: int) -> int:
    """Forget the most memory that a process had; what it has now, in bytes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return most_bytes(pid)


def most_bytes(pid: int) -> int:
    """The most memory that a process had."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
