"""Which processes there are, whose they are, and that none outlives its reason."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
from contract.executors import HANG_S, ROOMY
from contract.wasm_modules import LOOP, TRAP, command
from integration.wasm_runs import Engine, Run, children, descendants, in_engine, until, workers

import node
from node.ambient import Threads
from node.errors import DriverUnavailable
from node.executor.wasm.executor import WasmExecutor

ROOT = Path(node.__file__).parent.parent
SLEEP = "(call $sleep (i64.const 3600000000000))"
QUICK = Run(wasm=command(""))


def test_an_idle_executor_has_no_process(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        await engine.executor.probe()
        assert descendants() == set()

    in_engine(tmp_path, body)


def test_the_node_never_imports_the_engine_itself() -> None:
    program = "import sys, node.executor.wasm.executor; sys.exit('wasmtime' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_runs_of_one_tenant_share_a_worker_and_a_trap_leaves_it_usable(tmp_path: Path) -> None:
    trap_or_not = Run(
        wasm=command(
            f"(call $must (call $args_sizes_get (i32.const 16) (i32.const 20)))"
            f"(if (i32.eq (i32.load (i32.const 16)) (i32.const 2)) (then {TRAP}))"
        )
    )

    async def body(engine: Engine) -> None:
        assert (await engine.run(trap_or_not)).exit_code == 0
        first = workers()
        assert len(first) == 1
        assert (await engine.run(replace(trap_or_not, args=("now",)))).code == "trap"
        assert (await engine.run(trap_or_not)).exit_code == 0
        assert workers() == first

    in_engine(tmp_path, body)


def test_another_tenant_module_or_memory_limit_gets_another_worker(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        await engine.run(QUICK)
        for number, other in enumerate(
            (
                replace(QUICK, tenant="somebody else"),
                replace(QUICK, wasm=command("nop")),
                replace(QUICK, limits=replace(ROOMY, memory_bytes=32 << 20)),
            ),
            start=2,
        ):
            await engine.run(other)
            assert len(workers()) == number

    in_engine(tmp_path, body)


def test_nothing_of_a_run_is_there_in_the_next_one_of_the_same_worker(tmp_path: Path) -> None:
    """A fresh store: memory is as the module says, and descriptors begin at 3 again."""
    module = command(
        "(if (i32.load (i32.const 600)) (then unreachable)) (i32.store (i32.const 600) (i32.const 1))"
        "(call $proc_exit (call $fd_close (i32.const 3)))"
    )

    async def body(engine: Engine) -> None:
        for _ in range(3):
            assert (await engine.run(Run(wasm=module))).exit_code == 0
        assert len(workers()) == 1

    in_engine(tmp_path, body)


@pytest.mark.parametrize("limits", [replace(ROOMY, wall_s=0.3), replace(ROOMY, cpu_s=0.2)], ids=["wall", "cpu"])
def test_a_run_past_its_limit_ends_its_worker_and_the_next_gets_a_new_one(tmp_path: Path, limits: object) -> None:
    run = Run(wasm=command(LOOP), limits=limits)  # type: ignore[arg-type]

    async def body(engine: Engine) -> None:
        for _ in range(2):
            assert (await engine.run(run)).code in ("time", "cpu")
            assert workers() == set()

    in_engine(tmp_path, body)


def test_idle_workers_are_few(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        for number in range(12):
            await engine.run(replace(QUICK, tenant=str(number)))
        await until(lambda: len(workers()) == 8)

    in_engine(tmp_path, body)


def test_when_nobody_has_run_anything_for_a_while_no_process_is_left(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        for _ in range(2):
            assert (await engine.run(QUICK)).exit_code == 0
            await until(lambda: not descendants())

    in_engine(tmp_path, body, idle_s=0.1)


def test_a_worker_that_dies_while_idle_is_replaced(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        await engine.run(QUICK)
        (worker,) = workers()
        os.kill(worker, signal.SIGKILL)
        await until(lambda: not workers())
        assert (await engine.run(QUICK)).exit_code == 0

    in_engine(tmp_path, body)


def test_a_worker_that_is_killed_in_a_run_is_this_machines_fault(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        async def kill() -> None:
            while True:
                await until(lambda: bool(workers()))
                for worker in workers():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill)
            with pytest.raises(DriverUnavailable, match="out of memory"):
                await engine.run(Run(wasm=command(SLEEP), profile="native"))
            nursery.cancel_scope.cancel()

    in_engine(tmp_path, body)


def workers_sleep() -> bool:
    """Whether a worker, or a compiler, has made its engine (more than one thread)."""
    with contextlib.suppress(FileNotFoundError):  # It has ended meanwhile.
        return any(len(os.listdir(f"/proc/{worker}/task")) > 1 for worker in workers())
    return False


def test_when_the_zygote_dies_its_workers_do_and_the_next_run_starts_another(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        async def kill() -> None:
            while True:
                await until(workers_sleep)
                for zygote in children():
                    os.kill(zygote, signal.SIGKILL)
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill)
            with pytest.raises(DriverUnavailable):
                await engine.run(Run(wasm=command(SLEEP), profile="native"))
            nursery.cancel_scope.cancel()
        await until(lambda: not descendants())
        await trio.testing.wait_all_tasks_blocked()
        assert (await engine.run(QUICK)).exit_code == 0

    in_engine(tmp_path, body)


def test_when_serve_is_cancelled_every_process_ends_and_runs_are_told(tmp_path: Path) -> None:
    async def main() -> None:
        executor = WasmExecutor(tmp_path / "cache", Threads())
        engine = Engine(tmp_path, executor)
        with trio.fail_after(HANG_S):
            async with trio.open_nursery() as nursery:

                async def run() -> None:
                    with pytest.raises(DriverUnavailable):
                        await engine.run(Run(wasm=command(SLEEP), profile="native"))

                async with trio.open_nursery() as serving:
                    serving.start_soon(executor.serve)
                    nursery.start_soon(run)
                    await until(workers_sleep)
                    serving.cancel_scope.cancel()
                assert descendants() == set()
            with pytest.raises(DriverUnavailable):
                await engine.run(QUICK)
            with pytest.raises(DriverUnavailable):
                await executor.probe()

    trio.run(main)


def test_an_engine_that_does_not_start_is_unavailable_and_says_so_to_the_next_probe(tmp_path: Path) -> None:
    """In a process of its own, whose interpreter is not there for the zygote."""
    source = f"""
        import sys
        sys.path[:0] = {[str(ROOT), str(ROOT / "tests")]!r}
        sys.executable = "/bin/false"
        from pathlib import Path
        from contract.wasm_modules import command
        from integration.wasm_runs import Run, in_engine
        from node.errors import DriverUnavailable
        async def body(engine):
            for attempt in (engine.executor.probe(), engine.run(Run(wasm=command(""))), engine.executor.probe()):
                try:
                    await attempt
                    print("ready")
                except DriverUnavailable as error:
                    print(error)
        in_engine(Path({str(tmp_path)!r}), body)
        """
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], check=True, capture_output=True, text=True)
    first, *others = said.stdout.splitlines()
    assert first == "ready"
    assert len(others) == 2
    assert all("does not start" in line for line in others)


NODE = """
    import sys, trio
    sys.path[:0] = [{root!r}, {tests!r}]
    from pathlib import Path
    from contract.wasm_modules import LOOP, command
    from integration.wasm_runs import Engine, Run, in_engine
    async def body(engine):
        async with trio.open_nursery() as nursery:
            for tenant in ("a", "b"):
                nursery.start_soon(engine.run, Run(wasm=command({program!r}), tenant=tenant))
    in_engine(Path({folder!r}), body)
"""


@pytest.mark.parametrize("program", [LOOP, SLEEP], ids=["loop", "sleep"])
def test_a_node_that_is_killed_leaves_no_process(tmp_path: Path, program: str) -> None:
    source = NODE.format(root=str(ROOT), tests=str(ROOT / "tests"), folder=str(tmp_path), program=program)
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(source)]) as victim:
        hang = time.monotonic() + HANG_S
        while len(below := descendants(victim.pid)) < 3 and time.monotonic() < hang:
            time.sleep(0.01)
        assert len(below) == 3  # A zygote and two workers.
        victim.kill()
    while any(alive(pid) for pid in below) and time.monotonic() < hang:
        time.sleep(0.01)
    assert not any(alive(pid) for pid in below)


def alive(pid: int) -> bool:
    """Running, not a zombie that a slow init has yet to reap."""
    try:
        return "State:\tZ" not in Path("/proc", str(pid), "status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="workers hide this from anybody but root")
def test_a_worker_has_nothing_of_the_nodes(tmp_path: Path) -> None:
    """Files, environment, session, privileges, limits: as the kernel sees them."""
    os.environ["SECRET_OF_THE_NODE"] = "1"
    secret = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:

        async def body(engine: Engine) -> None:
            await engine.run(QUICK)
            (worker,) = workers()
            place = Path("/proc", str(worker))
            files = {os.readlink(file) for file in (place / "fd").iterdir()}
            paths = {file for file in files if file.startswith("/") and not file.endswith(".cwasm")}
            assert paths == {"/dev/null"}
            assert sum(file.startswith("socket:") for file in files) == 1
            status = (place / "status").read_text()
            assert "NoNewPrivs:\t1" in status
            assert os.getsid(worker) == worker
            assert b"SECRET_OF_THE_NODE" not in (place / "environ").read_bytes()
            limits = {line[:26].strip(): line[26:].split()[:2] for line in (place / "limits").read_text().splitlines()}
            assert limits["Max core file size"] == ["0", "0"]
            assert limits["Max open files"] == ["1024", "1024"]
            assert int(limits["Max data size"][1]) < 600 << 20
            assert os.readlink(place / "cwd").endswith(" (deleted)")  # So it is empty, and stays so.

        in_engine(tmp_path, body)
    finally:
        os.close(secret)
        del os.environ["SECRET_OF_THE_NODE"]


def test_a_run_that_begins_just_when_the_engine_goes_to_rest_is_run_by_the_next_one(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        for _ in range(10):
            assert (await engine.run(QUICK)).exit_code is not None

    in_engine(tmp_path, body, idle_s=0.0005)
