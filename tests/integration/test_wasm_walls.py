"""What a worker could still do if a module broke out of wasmtime: tried from inside, in a process confined as one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.wasm_modules import CREATE, WRITE, Text, command, copied_to_stdout
from integration.walled_in import tried
from integration.wasm_runs import Engine, Run, in_engine, workers

from node.executor.base import Mount
from node.executor.wasm import landlock, seccomp

needs_walls = pytest.mark.skipif(
    not landlock.is_here() or not seccomp.is_here(), reason="needs a kernel with Landlock and seccomp"
)

# The calls that are tried once it is confined, by name.
_INSIDE = """
    import socket, threading
    from node.executor.wasm import landlock, staging
    from node.executor.wasm.confine import confine_worker
    from node.executor.wasm.landlock import Rule

    folder, parent = sys.argv[1].encode(), os.getppid()

    def path(name):
        return os.path.join(folder, name)

    def linked():
        os.link(path(b"input/file"), path(b"staging/places/linked"))
        with open(path(b"staging/places/linked"), "r+b"):
            pass

    def thread():
        done = threading.Thread(target=lambda: None)
        done.start()
        done.join()

    held = os.open(path(b"results/moved"), os.O_RDONLY)
    os.rename(path(b"results/moved"), path(b"moved"))
    staging.make(path(b"staging"))
    confine_worker(1 << 30, [
        Rule(path(b"input"), landlock.LINKED_FROM),
        Rule(path(b"staging/places"), landlock.ARRANGE),
        Rule(path(b"staging/copies"), landlock.WRITE),
        Rule(path(b"results"), landlock.WRITE),
        Rule(path(b"none"), landlock.WRITE),
    ])
    tries = {
        "read an input": lambda: open(path(b"input/file")).close(),
        "link an input": lambda: os.link(path(b"input/file"), path(b"staging/places/link")),
        "write a result": lambda: write(path(b"results/file")),
        "start a thread": thread,
        "signal itself": lambda: os.kill(os.getpid(), 0),
        "limit itself": lambda: __import__("resource").setrlimit(1, (1 << 40, 1 << 40)),
        "write an input": lambda: write(path(b"input/file")),
        "write what is linked": linked,
        "read what is beside": lambda: open(path(b"secret")).close(),
        "read through a link": lambda: open(path(b"input/link")).close(),
        "write in what was moved away": lambda: os.mkdir(b"new", dir_fd=held),
        "list the folder above": lambda: os.listdir(folder),
        "read /etc/passwd": lambda: open("/etc/passwd").close(),
        "make a pipe": lambda: os.mkfifo(path(b"results/pipe")),
        "make a socket": lambda: socket.socket(),
        "make a pair of sockets": lambda: socket.socketpair(),
        "fork": os.fork,
        "run a program": lambda: os.execv("/bin/true", ["true"]),
        "signal its parent": lambda: os.kill(parent, 0),
        "limit its parent": lambda: __import__("resource").prlimit(parent, 7),
        "trace its parent": lambda: raw(101, 16, parent, 0, 0),
        "get its parent": lambda: os.pidfd_open(parent),
        "read its parent's memory": lambda: open(f"/proc/{parent}/mem").close(),
        "use io_uring": lambda: raw(425, 1, None),
        "make a namespace": lambda: raw(272, 0x10000000),
        "call as x32": lambda: raw(0x40000000 + 41, 2, 1, 0),
    }
"""
_OF_FILES = {  # Denied by Landlock; all the rest by seccomp, which comes first.
    "write an input",
    "write what is linked",
    "read what is beside",
    "read through a link",
    "write in what was moved away",
    "list the folder above",
    "read /etc/passwd",
    "make a pipe",
    "read its parent's memory",
}
_ALLOWED = {"read an input", "link an input", "write a result", "start a thread", "signal itself", "limit itself"}


@needs_walls
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="tries system calls by their numbers on x86-64")
def test_a_confined_process_reaches_its_files_and_nothing_else(tmp_path: Path) -> None:
    for name in ("input", "results/moved"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("secret", "input/file"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "input" / "link").symlink_to("../secret")
    ended = tried(_INSIDE, tmp_path)
    assert {name for name, how in ended.items() if how == "allowed"} == _ALLOWED
    by_files = {name for name, how in ended.items() if how in ("Permission denied", "Invalid cross-device link")}
    by_calls = {name for name, how in ended.items() if how == "Operation not permitted"}
    assert (by_files, by_calls) == (_OF_FILES, set(ended) - _ALLOWED - _OF_FILES)


def status_of(pid: int) -> Iterator[tuple[str, str]]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        yield name, value.strip()


@needs_walls
def test_workers_are_confined_so(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()

    async def body(engine: Engine) -> None:
        await engine.run(Run(wasm=command(""), inputs=(Mount(tmp_path / "data", "/in"),)))
        (worker,) = workers()
        status = dict(status_of(worker))
        assert (status["Seccomp"], status["NoNewPrivs"], status["Seccomp_filters"]) == ("2", "1", "1")

    in_engine(tmp_path, body)


def desks(folder: Path) -> list[Path]:
    return list(folder.glob(".worker-*"))


def test_a_worker_that_stays_can_write_to_no_results_but_those_of_its_run(tmp_path: Path) -> None:
    """Its one writable folder is the results folder of a run for as long as that lasts, and is never seen after."""
    text = Text()
    run = Run(wasm=command(f"(call $must (call $open (i32.const 3) {text(b'file')} {CREATE} {WRITE}))", text))

    async def body(engine: Engine) -> None:
        ends = [await engine.run(run) for _ in range(3)]
        (desk,) = desks(tmp_path)
        folders = {desk.stat().st_ino} | {end.results.stat().st_ino for end in ends}
        assert len(folders) == 4
        assert not any(desk.iterdir())
        assert all((end.results / "outputs" / "file").exists() for end in ends)
        assert len(workers()) == 1

    in_engine(tmp_path, body)
    assert desks(tmp_path) == []


def test_other_inputs_of_the_same_tenant_are_another_process(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()

    async def body(engine: Engine) -> None:
        for number, name in enumerate(("one", "two", "one"), start=1):
            await engine.run(Run(wasm=command(""), inputs=(Mount(tmp_path / name, "/in"),)))
            assert len(workers()) == min(number, 2)

    in_engine(tmp_path, body)


def test_an_input_that_was_put_anew_in_its_place_is_read(tmp_path: Path) -> None:
    text = Text()
    run = Run(wasm=command(copied_to_stdout(text(b"file")), text), inputs=(Mount(tmp_path / "data", "/in"),))

    async def body(engine: Engine) -> None:
        for number in range(2):
            (tmp_path / "data").mkdir()
            (tmp_path / "data" / "file").write_text(str(number))
            assert (await engine.run(run)).stdout == str(number).encode()
            (tmp_path / "data").rename(tmp_path / f"was-{number}")

    in_engine(tmp_path, body)


def test_shards_of_an_input_have_their_process_in_common(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for name in ("a", "b"):
        (root / name).write_text(name)

    async def body(engine: Engine) -> None:
        for name in ("a", "b"):
            part = Mount(root / name, f"/in/{name}", "/in", root)
            assert (await engine.run(Run(wasm=command(""), inputs=(part,)))).exit_code == 0
        assert len(workers()) == 1

    in_engine(tmp_path, body)


def test_a_dismissed_worker_leaves_no_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()

    async def body(engine: Engine) -> None:
        await engine.run(Run(wasm=command(""), inputs=(Mount(tmp_path / "data", "/in"),), isolation="process"))
        assert list((tmp_path / "cache" / "staging").iterdir()) == []
        await engine.run(Run(wasm=command(""), inputs=(Mount(tmp_path / "data", "/in"),)))

    in_engine(tmp_path, body)
    assert list((tmp_path / "cache" / "staging").iterdir()) == []
