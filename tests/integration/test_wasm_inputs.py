"""What a WASI program sees of this machine: its inputs, read-only, its outputs, and nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from contract.executors import ROOMY
from contract.wasm_modules import CREATE, LOOP, OPENED, READ, WRITE, Text, Wasm, command, copied_to_stdout, printed, put
from integration.wasm_runs import Ended, Engine, Run, ended, in_engine, workers

from node.executor.base import Mount

_PERM, _LOOP = 63, 32  # errno


def reading(name: bytes) -> Wasm:
    """Copies a file of its first folder to stdout, or ends with the errno."""
    text = Text()
    return command(copied_to_stdout(text(name)), text)


def an_input(folder: Path) -> Path:
    tree = folder / "data"
    (tree / "sub").mkdir(parents=True)
    (tree / "a.txt").write_bytes(b"content\n")
    (tree / "sub" / "b.txt").write_bytes(b"deeper\n")
    return tree


def test_a_folder_is_read_where_it_is_mounted(tmp_path: Path) -> None:
    end = ended(tmp_path, Run(wasm=reading(b"sub/b.txt"), inputs=(Mount(an_input(tmp_path), "/inputs"),)))
    assert (end.exit_code, end.stdout) == (0, b"deeper\n")


@pytest.mark.parametrize("rights", [WRITE, "(i64.const 0x42)"])
@pytest.mark.parametrize(("name", "flags"), [(b"a.txt", "(i32.const 0)"), (b"new", CREATE), (b"a.txt", CREATE)])
def test_an_input_cannot_be_written(tmp_path: Path, name: bytes, flags: str, rights: str) -> None:
    tree = an_input(tmp_path)
    text = Text()
    body = f"(call $must (call $open (i32.const 3) {text(name)} {flags} {rights})) {put(OPENED, text(b'x'))}"
    end = ended(tmp_path, Run(wasm=command(body, text), inputs=(Mount(tree, "/inputs"),)))
    assert end.exit_code not in (0, None)
    assert sorted(path.name for path in tree.rglob("*")) == ["a.txt", "b.txt", "sub"]
    assert (tree / "a.txt").read_bytes() == b"content\n"


def test_an_input_cannot_be_deleted_or_added_to(tmp_path: Path) -> None:
    tree = an_input(tmp_path)
    text = Text()
    old, new = text(b"a.txt"), text(b"new")
    body = f"""(call $proc_exit (i32.and
      (i32.ne (call $path_unlink_file (i32.const 3) {old}) (i32.const 0))
      (i32.and (i32.ne (call $path_create_directory (i32.const 3) {new}) (i32.const 0))
      (i32.ne (call $path_symlink {old} (i32.const 3) {new}) (i32.const 0)))))"""
    assert ended(tmp_path, Run(wasm=command(body, text), inputs=(Mount(tree, "/inputs"),))).exit_code == 1
    assert sorted(path.name for path in tree.rglob("*")) == ["a.txt", "b.txt", "sub"]


@pytest.mark.parametrize(
    ("name", "errno"),
    [
        (b"../secret", _PERM),
        (b"sub/../../secret", _PERM),
        (b"/etc/passwd", _PERM),
        (b"absolute", _PERM),
        (b"relative", _PERM),
        (b"loop", _LOOP),
    ],
)
def test_there_is_no_way_out_of_an_input(tmp_path: Path, name: bytes, errno: int) -> None:
    tree = an_input(tmp_path)
    (tmp_path / "secret").write_bytes(b"secret")
    (tree / "absolute").symlink_to(tmp_path / "secret")
    (tree / "relative").symlink_to("../secret")
    (tree / "loop").symlink_to("loop")
    end = ended(tmp_path, Run(wasm=reading(name), inputs=(Mount(tree, "/inputs"),)))
    assert (end.exit_code, end.stdout) == (errno, b"")


def test_a_link_that_a_program_makes_in_its_output_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    text = Text()
    link = text(b"link")
    body = f"(drop (call $path_symlink {text(b'../../secret')} (i32.const 3) {link})) {copied_to_stdout(link)}"
    end = ended(tmp_path, Run(wasm=command(body, text)))
    assert end.exit_code not in (0, None)
    assert end.stdout == b""


def test_a_link_inside_an_input_is_followed(tmp_path: Path) -> None:
    tree = an_input(tmp_path)
    (tree / "inside").symlink_to("sub/b.txt")
    assert ended(tmp_path, Run(wasm=reading(b"inside"), inputs=(Mount(tree, "/inputs"),))).stdout == b"deeper\n"


def test_folders_inside_each_other_are_two_mounts(tmp_path: Path) -> None:
    outer, inner = an_input(tmp_path), tmp_path / "inner"
    inner.mkdir()
    (inner / "c.txt").write_bytes(b"inner\n")
    text = Text()
    body = f"""{copied_to_stdout(text(b"a.txt"))}
      (call $must (call $open (i32.const 4) {text(b"c.txt")} (i32.const 0) {READ}))
      (call $must (call $read {OPENED} (i32.const 0x20000) (i32.const 100)))
      (call $must (call $write (i32.const 1) (i32.const 0x20000) (i32.load (i32.const 8))))"""
    mounts = (Mount(outer, "/inputs"), Mount(inner, "/inputs/b"))
    assert ended(tmp_path, Run(wasm=command(body, text), inputs=mounts)).stdout == b"content\ninner\n"


def test_a_single_file_is_shown_under_the_name_it_is_mounted_at(tmp_path: Path) -> None:
    file = an_input(tmp_path) / "a.txt"
    end = ended(tmp_path, Run(wasm=reading(b"renamed.txt"), inputs=(Mount(file, "/inputs/renamed.txt"),)))
    assert end.stdout == b"content\n"
    assert list((tmp_path / "cache" / "staging").iterdir()) == []
    assert file.stat().st_nlink == 1


def test_a_single_file_cannot_be_written_either(tmp_path: Path) -> None:
    file = an_input(tmp_path) / "a.txt"
    text = Text()
    body = f"(call $must (call $open (i32.const 3) {text(b'a.txt')} (i32.const 8) {WRITE}))"
    end = ended(tmp_path, Run(wasm=command(body, text), inputs=(Mount(file, "/inputs/a.txt"),)))
    assert end.exit_code not in (0, None)
    assert file.read_bytes() == b"content\n"


def test_several_single_files_share_a_folder(tmp_path: Path) -> None:
    tree = an_input(tmp_path)
    mounts = (Mount(tree / "a.txt", "/in/x"), Mount(tree / "sub" / "b.txt", "/in/y"))
    assert ended(tmp_path, Run(wasm=reading(b"y"), inputs=mounts)).stdout == b"deeper\n"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second filesystem")
def test_a_single_file_of_another_filesystem_or_behind_a_link_is_copied(tmp_path: Path) -> None:
    far = Path("/dev/shm") / f"quorate-{os.getpid()}"
    far.write_bytes(b"from afar\n")
    (tmp_path / "link").symlink_to(far)
    try:
        for host in (far, tmp_path / "link"):
            assert ended(tmp_path, Run(wasm=reading(b"x"), inputs=(Mount(host, "/in/x"),))).stdout == b"from afar\n"
    finally:
        far.unlink()


def test_what_was_staged_for_a_run_that_is_killed_goes_too(tmp_path: Path) -> None:
    file = an_input(tmp_path) / "a.txt"
    slow = command(LOOP)
    limits = replace(ROOMY, wall_s=0.5)
    assert ended(tmp_path, Run(wasm=slow, inputs=(Mount(file, "/in/x"),), limits=limits)).code == "time"
    assert list((tmp_path / "cache" / "staging").iterdir()) == []


def unusable(folder: Path, *mounts: Mount) -> Ended:
    return ended(folder, Run(wasm=command(""), inputs=mounts))


def test_an_input_that_cannot_be_shown_is_a_failure_called_data_that_names_the_guest_path(tmp_path: Path) -> None:
    tree = an_input(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    not_utf8 = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    not_utf8.mkdir()
    for mounts in (
        (Mount(tmp_path / "missing", "/inputs"),),
        (Mount(tmp_path / "fifo", "/inputs"),),
        (Mount(Path("/dev/zero"), "/inputs"),),
        (Mount(not_utf8, "/inputs"),),
        (Mount(tree, "/inputs"), Mount(tree / "a.txt", "/inputs/a.txt")),
    ):
        end = unusable(tmp_path, *mounts)
        assert end.code == "data"
        assert "/inputs" in end.detail
        assert str(tmp_path) not in end.detail


def test_inputs_that_could_not_be_shown_leave_nothing_in_the_way_of_the_next_run(tmp_path: Path) -> None:
    tree = an_input(tmp_path)
    file = Mount(tree / "a.txt", "/in/x")

    async def body(engine: Engine) -> None:
        for guest, code in (("/in", "data"), ("/other", None)):
            end = await engine.run(Run(wasm=reading(b"x"), inputs=(file, Mount(tree, guest))))
            assert end.code == code
        assert len(workers()) == 1

    in_engine(tmp_path, body)


def test_arguments_and_environment_are_the_jobs_and_nothing_of_the_nodes(tmp_path: Path) -> None:
    run = Run(
        wasm=command(printed("args") + printed("environ")), args=("--x", "", "ü y"), env=(("B", "2"), ("A", "1=1"))
    )
    assert ended(tmp_path, run).stdout == "module.wasm\0--x\0\0ü y\0A=1=1\0B=2\0".encode()


def test_a_job_of_the_largest_size_reaches_its_worker(tmp_path: Path) -> None:
    args = tuple(str(number) * 16_000 for number in range(16))
    end = ended(
        tmp_path, Run(wasm=command("(call $must (call $args_sizes_get (i32.const 16) (i32.const 20)))"), args=args)
    )
    assert end.exit_code == 0


def test_standard_input_is_empty(tmp_path: Path) -> None:
    body = """(call $must (call $read (i32.const 0) (i32.const 0x20000) (i32.const 100)))
      (call $proc_exit (i32.add (i32.const 10) (i32.load (i32.const 8))))"""
    assert ended(tmp_path, Run(wasm=command(body))).exit_code == 10


def test_no_stream_is_a_terminal(tmp_path: Path) -> None:
    """A terminal is a character device (2) without the right to seek or tell."""
    for stream in (0, 1, 2):
        body = f"""(call $must (call $fd_fdstat_get (i32.const {stream}) (i32.const 16)))
          (call $proc_exit (i32.and (i32.eq (i32.load8_u (i32.const 16)) (i32.const 2))
            (i64.eqz (i64.and (i64.load (i32.const 24)) (i64.const 0x24)))))"""
        assert ended(tmp_path, Run(wasm=command(body))).exit_code == 0
