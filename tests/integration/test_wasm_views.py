"""Single files and parts of data on another file system: shown as they lie, at any size, and nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.wasm_modules import OPENED, Text, Wasm, command, copied_to_stdout
from integration.wasm_runs import Engine, Run, ended, in_engine, workers
from needs import Need

import node
from node.executor.base import Mount
from node.executor.wasm import mounts

ROOT = Path(node.__file__).parent.parent
LARGE = 2 << 30
NO_NAMESPACES = (
    "mounts in a namespace of one's own are not allowed here (user.max_user_namespaces, AppArmor, a container)"
)


@pytest.fixture
def far(tmp_path: Path, need: Need) -> Iterator[Path]:
    """A folder on another file system than ``tmp_path``, on a machine that allows what is tested."""
    if mounts.why_not() is not None:
        need.lacking(NO_NAMESPACES)
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == tmp_path.stat().st_dev:
        need.lacking("/dev/shm is no second file system that can be written to")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


def large_file(path: Path) -> Path:
    """Sparse; its last bytes are known."""
    with path.open("wb") as file:
        file.truncate(LARGE)
        file.seek(LARGE - 4)
        file.write(b"last")
    return path


def last_bytes(name: bytes) -> Wasm:
    text = Text()
    seek = f"(call $must (call $fd_seek {OPENED} (i64.const {LARGE - 4}) (i32.const 0) (i32.const 0x20000)))"
    body = f"""(call $must (call $open (i32.const 3) {text(name)} (i32.const 0) (i64.const 0x6)))
      {seek}
      (call $must (call $read {OPENED} (i32.const 0x20000) (i32.const 100)))
      (call $must (call $write (i32.const 1) (i32.const 0x20000) (i32.load (i32.const 8))))"""
    return command(body, text)


def reading(name: bytes) -> Wasm:
    text = Text()
    return command(copied_to_stdout(text(name)), text)


def bound(host: Path, guest: str, within: str | None = None) -> Mount:
    return Mount(host, guest, within, is_bound=True)


def nothing_is_left(folder: Path) -> bool:
    """Of staging, on the disk and in this process's namespace of mounts."""
    left = list((folder / "cache" / "staging").iterdir())
    return not left and "staging" not in Path("/proc/self/mountinfo").read_text()


def test_a_single_file_of_any_size_is_shown_across_file_systems(tmp_path: Path, far: Path) -> None:
    file = large_file(far / "data")
    before = file.stat()
    end = ended(tmp_path, Run(wasm=last_bytes(b"x"), inputs=(bound(file, "/in/x"),)))
    assert (end.exit_code, end.stdout) == (0, b"last")
    after = file.stat()
    assert (after.st_ctime_ns, after.st_nlink, after.st_blocks) == (before.st_ctime_ns, 1, before.st_blocks)
    assert nothing_is_left(tmp_path)


def test_a_shard_with_it_sees_it_too(tmp_path: Path, far: Path) -> None:
    large_file(far / "large")
    (far / "sub").mkdir()
    (far / "sub" / "b.txt").write_bytes(b"deep\n")
    parts = (bound(far / "large", "/in/large", "/in"), bound(far / "sub" / "b.txt", "/in/sub/b.txt", "/in"))
    assert ended(tmp_path, Run(wasm=last_bytes(b"large"), inputs=parts)).stdout == b"last"
    assert ended(tmp_path, Run(wasm=reading(b"sub/b.txt"), inputs=parts)).stdout == b"deep\n"
    assert ended(tmp_path, Run(wasm=reading(b"sub/../../etc/passwd"), inputs=parts)).exit_code not in (0, None)


def test_many_parts_do_not_have_to_fit_in_a_packet(tmp_path: Path, far: Path) -> None:
    parts = []
    for number in range(5000):
        (far / f"{number:060}").write_bytes(b"%d" % number)
        parts.append(bound(far / f"{number:060}", f"/in/{number:060}", "/in"))
    assert ended(tmp_path, Run(wasm=reading(b"%060d" % 4999), inputs=tuple(parts))).stdout == b"4999"


def test_an_input_that_cannot_be_shown_is_a_failure_called_data(tmp_path: Path, far: Path) -> None:
    os.mkfifo(far / "pipe")
    (far / "link").symlink_to("/etc/passwd")
    (far / "way").symlink_to("/etc")
    for mount in (
        bound(far / "missing", "/in/x"),
        bound(far / "pipe", "/in/pipe", "/in"),
        bound(far / "link", "/in/x"),
        bound(far / "link", "/in/link", "/in"),
        bound(far / "way", "/in/x"),
        bound(far / "way" / "passwd", "/in/way/passwd", "/in"),
        bound(Path("/dev/zero"), "/in/x"),
    ):
        end = ended(tmp_path, Run(wasm=reading(b"x"), inputs=(mount,)))
        assert end.code == "data"
        assert "/in" in end.detail
        assert str(far) not in end.detail
    assert nothing_is_left(tmp_path)


def test_nothing_of_a_view_is_there_for_the_next_run(tmp_path: Path, far: Path) -> None:
    (far / "a").write_bytes(b"a")
    (far / "b").write_bytes(b"b")

    async def body(engine: Engine) -> None:
        for name in (b"a", b"b"):
            run = Run(wasm=reading(name), inputs=(bound(far / name.decode(), f"/in/{name.decode()}"),))
            assert (await engine.run(run)).stdout == name
        other = Run(wasm=reading(b"a"), inputs=(bound(far / "b", "/in/b"),))
        assert (await engine.run(other)).exit_code not in (0, None)

    in_engine(tmp_path, body)


def test_a_worker_that_had_a_view_is_not_warm_for_other_parts_of_the_same_input(tmp_path: Path, far: Path) -> None:
    for name in ("a", "b"):
        (far / name).write_text(name)

    async def body(engine: Engine) -> None:
        for name in ("a", "b"):
            part = Mount(far / name, f"/in/{name}", "/in", far, is_bound=True)
            assert (await engine.run(Run(wasm=reading(name.encode()), inputs=(part,)))).stdout == name.encode()
            assert workers() == set()

    in_engine(tmp_path, body, mounts_max=1)


def test_no_more_is_mounted_at_once_than_is_allowed_and_what_ended_counts_no_more(tmp_path: Path, far: Path) -> None:
    large_file(far / "x")
    (far / "y").touch()
    one = (bound(far / "x", "/in/x", "/in"),)
    two = (*one, bound(far / "y", "/in/y", "/in"))

    async def body(engine: Engine) -> None:
        for _ in range(3):
            assert (await engine.run(Run(wasm=last_bytes(b"x"), inputs=one))).stdout == b"last"
            refused = await engine.run(Run(wasm=last_bytes(b"x"), inputs=two))
            assert (refused.code, "can be neither mounted nor linked" in refused.detail) == ("data", True)

    in_engine(tmp_path, body, mounts_max=1)
    assert nothing_is_left(tmp_path)


VIEW = """
    import json, os, sys
    sys.path[:0] = [{root!r}]
    from node.executor.wasm import view
    from node.executor.wasm.protocol import Input
    folder, inputs = os.fsencode(sys.argv[1]), [Input(os.fsencode(h), g, w) for h, g, w in json.loads(sys.argv[2])]
    ((place, guest),) = view.made(inputs, [], folder)
    seen, kept = {{}}, []
    for top, folders, files in os.walk(place):
        for name in files:
            path = os.path.join(top, name)
            seen[os.path.relpath(path, place)] = open(path).read()
    for attempt in (lambda: open(os.path.join(place, "new"), "w"), lambda: open(path, "r+"), lambda: os.unlink(path)):
        try:
            attempt()
        except OSError as error:
            kept.append(error.errno)
    print(json.dumps([guest, seen, kept]))
"""


def viewed(folder: Path, inputs: list[Any]) -> Any:
    """What a process sees in a view of its own: guest folder, files and contents, errnos of attempts to write."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", textwrap.dedent(VIEW.format(root=str(ROOT))), str(folder), json.dumps(inputs)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def test_a_view_has_what_it_is_of_and_cannot_be_written_by_anybody(tmp_path: Path, far: Path) -> None:
    (far / "sub" / "deep").mkdir(parents=True)
    for name in ("a", "b", "sub/c", "sub/d", "sub/deep/e"):
        (far / name).write_text(name)
    parts = [[str(far / name), f"/in/{name}", "/in"] for name in ("a", "sub/c", "sub/deep")]
    guest, seen, errnos = viewed(tmp_path / "staging", parts)
    assert (guest, seen) == ("/in", {name: name for name in ("a", "sub/c", "sub/deep/e")})
    assert errnos == [30, 30, 30]  # EROFS
    assert os.listdir(tmp_path / "staging") == []
