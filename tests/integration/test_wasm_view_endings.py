"""What a view leaves when somebody is killed, whoever the node runs as, and what happens where mounts are forbidden."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from contract.executors import HANG_S
from contract.wasm_modules import command
from integration.walled_in import NO_RIGHT_TO_MOUNT
from integration.wasm_runs import Engine, Run, children, descendants, in_engine, until
from needs import Need

import node
from node.errors import DriverUnavailable
from node.executor.base import Mount
from node.executor.wasm import mounts

ROOT = Path(node.__file__).parent.parent
# Sleeps if it has an argument: compiled by a first run without, so that no compiler is taken for a worker.
SLEEPS = """(call $must (call $args_sizes_get (i32.const 16) (i32.const 20)))
    (if (i32.eq (i32.load (i32.const 16)) (i32.const 2)) (then (call $sleep (i64.const 3600000000000))))"""
SLEEPER = command(SLEEPS)

HEAD = """
    import json, logging, os, sys, trio
    sys.path[:0] = {path!r}
    from pathlib import Path
    from contract.wasm_modules import Text, command, copied_to_stdout
    from doubles.mountless import forbid_mounts
    from integration.wasm_runs import Run, children, descendants, in_engine
    from node.executor.base import Mount
    folder, far = Path(sys.argv[1]), Path(sys.argv[2])
    text = Text()
    reads = command(copied_to_stdout(text(b"x")), text)
    def bound(name):
        return Mount(far / name, "/in/x", None, is_bound=True)
    def sleeper(*args):
        return Run(wasm=command({sleeps!r}), args=args, inputs=(bound("data"),), profile="native")
"""


@pytest.fixture
def far(tmp_path: Path, need: Need) -> Iterator[Path]:
    """A folder on another file system, with a file in it, on a machine that allows what is tested."""
    if mounts.why_not() is not None:
        need.lacking("mounts in a namespace of one's own are not allowed here")
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == tmp_path.stat().st_dev:
        need.lacking("/dev/shm is no second file system that can be written to")
    with tempfile.TemporaryDirectory(dir=shared) as name:
        Path(name, "data").write_bytes(b"content")
        yield Path(name)


@pytest.fixture(params=["as it is", "without the right to mount"])
def started_by(request: pytest.FixtureRequest, need: Need) -> tuple[str, ...]:
    """What stands before a command."""
    if request.param == "as it is":
        return ()
    if os.geteuid() != 0:
        pytest.skip("nobody but root has the right to mount anyway")
    need("setpriv", "apt install util-linux")
    return NO_RIGHT_TO_MOUNT


def script(body: str, folder: Path, far: Path) -> list[str]:
    head = HEAD.format(path=[str(ROOT), str(ROOT / "tests")], sleeps=SLEEPS)
    return [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(body), str(folder), str(far)]


def said_by(command: list[str]) -> object:
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def is_clean(folder: Path) -> bool:
    left = list((folder / "cache" / "staging").iterdir())
    return not left and "staging" not in Path("/proc/self/mountinfo").read_text()


def running(pid: int | str = "self") -> set[int]:
    """Workers that have made their engine (more than one thread)."""
    found = set()
    for worker in descendants(pid) - children(pid):
        with contextlib.suppress(FileNotFoundError):
            if len(os.listdir(f"/proc/{worker}/task")) > 1:
                found.add(worker)
    return found


@pytest.mark.parametrize("victims", [running, children], ids=["worker", "zygote"])
def test_a_process_that_is_killed_in_a_run_leaves_nothing(
    tmp_path: Path, far: Path, victims: Callable[[], set[int]]
) -> None:
    async def body(engine: Engine) -> None:
        async def kill() -> None:
            await until(lambda: bool(running() - idle))
            for victim in victims() - idle:
                os.kill(victim, signal.SIGKILL)

        run = Run(wasm=SLEEPER, inputs=(Mount(far / "data", "/in/x", is_bound=True),), profile="native")
        assert (await engine.run(replace(run, inputs=()))).exit_code == 0  # Now it is compiled.
        idle = running()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill)
            with pytest.raises(DriverUnavailable):
                await engine.run(replace(run, args=("on",)))
        assert is_clean(tmp_path)

    in_engine(tmp_path, body)
    assert descendants() == set()
    assert far.joinpath("data").stat().st_nlink == 1


ASLEEP = """
    async def body(engine):
        await engine.run(sleeper())
        print("begun", flush=True)
        await engine.run(sleeper("on"))
    in_engine(folder, body)
"""


def test_a_node_that_is_killed_leaves_nothing(tmp_path: Path, far: Path, started_by: tuple[str, ...]) -> None:
    hang = time.monotonic() + HANG_S
    with subprocess.Popen([*started_by, *script(ASLEEP, tmp_path, far)], stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"begun\n"
        while not running(victim.pid) and time.monotonic() < hang:
            time.sleep(0.01)
        below = descendants(victim.pid)
        assert len(below) >= 2
        victim.kill()
    while any(alive(pid) for pid in below) and time.monotonic() < hang:
        time.sleep(0.01)
    assert not any(alive(pid) for pid in below)
    assert is_clean(tmp_path)


def alive(pid: int) -> bool:
    """Running, not a zombie that a slow init has yet to reap."""
    try:
        return "State:\tZ" not in Path("/proc", str(pid), "status").read_text()
    except FileNotFoundError:
        return False


CAPABILITIES = """
    async def body(engine):
        seen = []
        async def look():
            while not seen:
                await trio.sleep(0.01)
                for worker in descendants() - children():
                    lines = Path(f"/proc/{worker}/status").read_text().splitlines()
                    status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
                    if int(status["Threads"]) > 1:
                        seen.append([status[kind].strip() for kind in ("CapEff", "CapPrm", "NoNewPrivs")])
            nursery.cancel_scope.cancel()
        end = await engine.run(Run(wasm=reads, inputs=(bound("data"),)))
        await engine.run(sleeper())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run, sleeper("on"))
            nursery.start_soon(look)
        print(json.dumps([end.stdout.decode(), seen[0]]))
    in_engine(folder, body)
"""


def test_a_user_without_rights_gets_views_and_programs_run_without_what_was_gained_for_them(
    tmp_path: Path, far: Path, need: Need
) -> None:
    prefix = NO_RIGHT_TO_MOUNT if os.geteuid() == 0 else ()
    if prefix:
        need("setpriv", "apt install util-linux")
    none = "0" * 16
    assert said_by([*prefix, *script(CAPABILITIES, tmp_path, far)]) == ["content", [none, none, "1"]]
    assert is_clean(tmp_path)


FALLBACK = """
    (far / "large").touch()
    os.truncate(far / "large", 2 << 30)
    assert forbid_mounts()
    async def body(engine):
        said = []
        for name in ("data", "near", "large"):
            end = await engine.run(Run(wasm=reads, inputs=(bound(folder / name if name == "near" else name),)))
            said.append(end.detail if end.failure else end.stdout.decode())
        print(json.dumps([*said, [record.msg for record in heard]]))
    heard = []
    logging.getLogger("quorate.executor.wasm").addFilter(lambda record: heard.append(record) or True)
    in_engine(folder, body)
"""


def test_where_mounts_are_forbidden_files_are_linked_or_copied_and_a_large_one_is_refused_with_advice(
    tmp_path: Path, far: Path, need: Need
) -> None:
    (tmp_path / "near").write_bytes(b"near")
    try:
        copied, linked, refused, logged = said_by(script(FALLBACK, tmp_path, far))  # type: ignore[misc]
    except subprocess.CalledProcessError:
        need.lacking("a kernel with Landlock, to forbid mounts")
    assert (copied, linked) == ("content", "near")
    assert "2147483648 bytes" in refused
    assert "operator" in refused
    assert logged == ["inputs_cannot_be_mounted"]
    assert is_clean(tmp_path)


LATER = """
    import subprocess
    share = folder / "share"
    share.mkdir()
    async def body(engine):
        assert (await engine.run(Run(wasm=command("")))).exit_code == 0
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", share], check=True)
        (share / "x").write_bytes(b"shared")
        single = await engine.run(Run(wasm=reads, inputs=(Mount(share / "x", "/in/x", None, is_bound=True),)))
        whole = await engine.run(Run(wasm=reads, inputs=(Mount(share, "/in"),)))
        subprocess.run(["umount", share], check=True)
        print(json.dumps([single.stdout.decode(), whole.stdout.decode()]))
    in_engine(folder, body)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a share, in a namespace of its own")
def test_a_share_that_is_mounted_while_the_engine_runs_is_seen_and_can_be_unmounted(tmp_path: Path, far: Path) -> None:
    assert shutil.which("unshare"), "apt install util-linux"
    said = said_by(["unshare", "--mount", "--propagation", "private", *script(LATER, tmp_path, far)])
    assert said == ["shared", "shared"]
