"""What a worker with a view could still do if a module broke out of wasmtime: its view is all it reaches of inputs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.wasm_modules import COUNT, command
from integration.walled_in import NO_RIGHT_TO_MOUNT, tried
from integration.wasm_runs import Run, ended
from needs import Need

from node.executor.base import Mount
from node.executor.wasm import landlock, mounts, seccomp

# As a worker begins, and the calls that are tried then, by name.
_INSIDE = """
    from node.executor.wasm import staging, view, worker
    from node.executor.wasm.confine import confine_worker
    from node.executor.wasm.protocol import Input, WorkerSpec
    from node.executor.wasm.settings import Settings

    near, far = (name.encode() for name in sys.argv[1:3])
    inputs = [
        Input(far + b"/a", "/in/a", "/in"),
        Input(far + b"/sub", "/in/sub", "/in"),
        Input(far + b"/single", "/one/single"),
        Input(near + b"/whole", "/whole"),
    ]
    own = near + b"/staging/7"
    spec = WorkerSpec((), Settings("x86_64", True), 1 << 30, (far, near + b"/whole"), own, has_view=True)
    writes = os.open(near + b"/results", os.O_PATH)
    shown = view.made(inputs, [], os.path.dirname(own))
    place = dict((guest, host.encode()) for host, guest in shown)
    confine_worker(1 << 30, worker.reachable(spec, writes, shown))

    def read(path):
        with open(path) as file:
            file.read()

    tries = {
        "read a part": lambda: read(place["/in"] + b"/a"),
        "read in a folder that is a part": lambda: read(place["/in"] + b"/sub/b"),
        "read a single file": lambda: read(place["/one"] + b"/single"),
        "read a whole input": lambda: read(place["/whole"] + b"/c"),
        "list the view": lambda: os.listdir(place["/in"]),
        "write a result": lambda: write(near + b"/results/file"),
        "write a part": lambda: open(place["/in"] + b"/a", "r+b").close(),
        "write beside a part": lambda: write(place["/in"] + b"/new"),
        "link a part to the results": lambda: os.link(place["/in"] + b"/a", near + b"/results/link"),
        "read a part where it lies": lambda: read(far + b"/a"),
        "read what is beside it": lambda: read(far + b"/secret"),
        "list what all views lie in": lambda: os.listdir(os.path.dirname(own)),
        "stage": lambda: staging.make(own),
        "mount": lambda: raw(165, b"tmpfs", near, b"tmpfs", 0, None),
        "unmount": lambda: raw(166, os.path.dirname(own), 2),
        "mount anew": lambda: raw(428, -100, b"/", 0),
        "change its namespace": lambda: raw(272, 0x00020000),
        "make a user namespace": lambda: raw(272, 0x10000000),
    }
"""
_BY_CALLS = {"mount", "unmount", "mount anew", "change its namespace", "make a user namespace"}
_READ_ONLY = {"write a part", "write beside a part"}
_ALLOWED = {
    "read a part",
    "read in a folder that is a part",
    "read a single file",
    "read a whole input",
    "list the view",
    "write a result",
}


@pytest.fixture
def far(tmp_path: Path, need: Need) -> Iterator[Path]:
    """Data on another file system than ``tmp_path``, on a machine that allows what is tested."""
    if mounts.why_not() is not None:
        need.lacking("mounts in a namespace of one's own are not allowed here")
    if not landlock.is_here() or not seccomp.is_here():
        need.lacking("a kernel with Landlock and seccomp")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        (Path(name) / "sub").mkdir()
        for file in ("a", "single", "secret", "sub/b"):
            (Path(name) / file).write_bytes(b"x")
        yield Path(name)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="tries system calls by their numbers on x86-64")
@pytest.mark.parametrize("may_mount", [True, False], ids=["as it is", "without the right to mount"])
def test_a_worker_with_a_view_reaches_what_it_shows_and_mounts_nothing_more(
    tmp_path: Path, far: Path, need: Need, may_mount: bool
) -> None:
    if not may_mount:
        need("setpriv", "apt install util-linux")
    for name in ("whole", "results", "staging"):
        (tmp_path / name).mkdir()
    (tmp_path / "whole" / "c").write_bytes(b"x")
    prefix = () if may_mount or os.geteuid() != 0 else NO_RIGHT_TO_MOUNT
    ends = tried(_INSIDE, tmp_path, far, prefix=prefix)
    assert {name for name, how in ends.items() if how == "allowed"} == _ALLOWED
    assert {name for name, how in ends.items() if how == "Operation not permitted"} == _BY_CALLS
    assert {ends[name] for name in _READ_ONLY} <= {"Read-only file system", "Permission denied"}
    assert list((tmp_path / "staging").iterdir()) == []


def test_standard_input_may_be_a_file_of_a_view(tmp_path: Path, far: Path) -> None:
    (far / "a").write_bytes(b"from far\n")
    echo = command(f"""(call $must (call $read (i32.const 0) (i32.const 0x20000) (i32.const 100)))
      (call $must (call $write (i32.const 1) (i32.const 0x20000) {COUNT}))""")
    part = Mount(far / "a", "/in/a", "/in", far, is_bound=True)
    end = ended(tmp_path, Run(wasm=echo, inputs=(part,), stdin="/in/a"))
    assert (end.exit_code, end.stdout) == (0, b"from far\n")
    end = ended(tmp_path, Run(wasm=echo, inputs=(part,), stdin="/in/secret"))
    assert (end.code, "/in/secret" in end.detail) == ("data", True)
