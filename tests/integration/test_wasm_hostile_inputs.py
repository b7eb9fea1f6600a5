"""An unsealed copy that means harm, as a program inside sees it: nothing outside of it, whatever lies in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from contract.wasm_modules import COUNT, Text, Wasm, command, copied_to_stdout
from integration.wasm_runs import Ended, Run, ended

from node.executor.base import Mount


def reading(name: bytes) -> Wasm:
    text = Text()
    return command(copied_to_stdout(text(name)), text)


LISTING = command(f"""(call $must (call $fd_readdir (i32.const 3) (i32.const 0x20000) (i32.const 0x10000) (i64.const 0)
      (i32.const 8)))
    (call $must (call $write (i32.const 1) (i32.const 0x20000) {COUNT}))""")


def run_over(copy: Path, wasm: Wasm) -> Ended:
    return ended(copy.parent, Run(wasm=wasm, inputs=(Mount(copy, "/inputs"),)))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"content\n")
    return folder


@pytest.mark.parametrize(
    ("link", "target", "name"),
    [
        ("passwd", "/etc/passwd", b"passwd"),
        ("etc", "/etc", b"etc/passwd"),
        ("sub/etc", "/etc", b"sub/etc/passwd"),
        ("root", "/", b"root/etc/passwd"),
        ("up", "../../../../../../../../..", b"up/etc/passwd"),
        ("self", "/proc/self", b"self/environ"),
        ("fd", "/proc/self/fd", b"fd/0"),
        ("around", "sub/../../secret", b"around"),
    ],
)
def test_a_link_out_of_a_copy_leads_nowhere(copy: Path, link: str, target: str, name: bytes) -> None:
    (copy.parent / "secret").write_bytes(b"secret")
    (copy / link).symlink_to(target)
    end = run_over(copy, reading(name))
    assert end.exit_code not in (0, None)
    assert end.stdout == b""


def test_links_of_links_that_lead_out_in_the_end_lead_nowhere(copy: Path) -> None:
    for number in range(5):
        (copy / str(number)).symlink_to(str(number + 1))
    (copy / "5").symlink_to("/etc/passwd")
    assert run_over(copy, reading(b"0")).exit_code not in (0, None)


def test_a_shard_lists_its_own_files_and_nothing_else(copy: Path) -> None:
    (copy / "b.txt").write_bytes(b"not its own\n")
    (copy / "sub" / "c.txt").write_bytes(b"deeper\n")
    parts = tuple(Mount(copy / name, f"/inputs/{name}", "/inputs") for name in ("a.txt", "sub/c.txt"))
    listed = ended(copy.parent, Run(wasm=LISTING, inputs=parts)).stdout
    assert b"a.txt" in listed
    assert b"sub" in listed
    assert b"b.txt" not in listed
    assert ended(copy.parent, Run(wasm=reading(b"sub/c.txt"), inputs=parts)).stdout == b"deeper\n"
    assert ended(copy.parent, Run(wasm=reading(b"b.txt"), inputs=parts)).exit_code not in (0, None)
