"""The demo's data: what is copied, and that its name is the CID of the list of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cli.demo.data import cid_of, copied, standard_library
from cli.errors import UsageProblem


def tree(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return folder


def test_a_cid_is_the_one_that_ipfs_gives_the_same_block() -> None:
    # printf hello | ipfs block put --cid-codec raw
    assert cid_of(b"hello") == "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"


def test_python_files_alone_are_copied_and_the_copy_is_read_only(tmp_path: Path) -> None:
    source = tree(tmp_path / "lib", "b.py", "a/c.py", "a.txt", "site-packages/x.py", "__pycache__/y.py")
    (source / "link.py").symlink_to("b.py")

    sample = copied(source, tmp_path / "unsealed")

    copy = sample.root / sample.cid
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()) == ["a/c.py", "b.py"]
    assert (sample.files, sample.bytes) == (2, len("# b.py\n# a/c.py\n"))
    assert (copy / "b.py").stat().st_mode & 0o777 == 0o444


def test_the_name_says_what_is_in_it(tmp_path: Path) -> None:
    source = tree(tmp_path / "lib", "b.py", "a.py")

    sample = copied(source, tmp_path / "one")

    hashes = {name: hashlib.sha256((source / name).read_bytes()).hexdigest() for name in ("a.py", "b.py")}
    lines = [f"{sha256}  {name}\n" for name, sha256 in hashes.items()]
    assert sample.listing == "".join(lines).encode()
    assert sample.cid == cid_of(sample.listing)
    assert copied(source, tmp_path / "two").cid == sample.cid
    (source / "a.py").write_text("# another\n")
    assert copied(source, tmp_path / "three").cid != sample.cid


def test_a_folder_without_python_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no Python files there"):
        copied(tree(tmp_path / "lib", "a.txt"), tmp_path / "unsealed")


def test_the_standard_library_is_the_running_pythons(tmp_path: Path) -> None:
    assert (standard_library() / "sysconfig.py").exists() or (standard_library() / "sysconfig").is_dir()
