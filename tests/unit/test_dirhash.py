"""Hashing what an execution left on disk, also when it left something nasty."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from node import limits
from node.errors import ExecutionFailed, StorageError
from node.verifier.dirhash import HashedTree, h1_of, hash_tree
from node.verifier.manifest import parse


def plant(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def hashed(root: Path, files_max: int = 1000, bytes_max: int = 2**40) -> HashedTree:
    return hash_tree(root, files_max=files_max, bytes_max=bytes_max)


@pytest.mark.parametrize(
    ("files", "h1"),
    [
        ({"stdout": "hello world 0"}, "h1:ri2aASQ1PskOnJLKeHLW43oBXXbnCJLus/BA4h4waQ4="),
        ({"stdout": "hello world 1"}, "h1:HQml4PwnP/HobhCC7jL6BaljTL5EVwh1LWcFIoISB54="),
        (
            {"exitCode": "0", "stdout": "hello\n", "stderr": ""},
            "h1:bRTnzpD0mJlXTJEHLW4NHet3SJuRyM1rjqNTphssKQM=",
        ),
        (
            {"exitCode": "0", "stdout": "hello\n", "stderr": "", "outputs/a.txt": "x"},
            "h1:78lhoRKhQlduqAV4r+1P+ZOhD/wQkkeO2Nw6mARd/Q4=",
        ),
        ({}, "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    ],
)
def test_the_hash_is_the_one_that_go_computes(tmp_path: Path, files: dict[str, str | bytes], h1: str) -> None:
    plant(tmp_path, files)
    assert h1_of(tmp_path) == h1
    assert hashed(tmp_path).manifest.h1() == h1


def test_empty_folders_modes_and_times_do_not_count(tmp_path: Path) -> None:
    plant(tmp_path, {"stdout": "hello world 0"})
    (tmp_path / "outputs" / "empty").mkdir(parents=True)
    (tmp_path / "stdout").chmod(0o777)
    os.utime(tmp_path / "stdout", (0, 0))
    assert h1_of(tmp_path) == "h1:ri2aASQ1PskOnJLKeHLW43oBXXbnCJLus/BA4h4waQ4="


def test_small_results_come_with_their_contents_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    tree = hashed(plant(tmp_path, {"b": "22", "a/z": "1", "a!": "", "c": "333"}))
    assert [line.name for line in tree.manifest.lines] == ["results/a!", "results/a/z", "results/b", "results/c"]
    assert tree.sizes == (0, 1, 2, 3)
    assert tree.contents == (b"", b"1", b"22", b"333")
    assert tree.total_bytes == 6


def test_a_small_file_besides_those_on_disk_is_part_of_the_result(tmp_path: Path) -> None:
    plant(tmp_path, {"b": "22"})
    tree = hash_tree(tmp_path, files_max=2, bytes_max=3, besides={"a": b"1"})
    plant(tmp_path, {"a": "1"})
    assert tree == hashed(tmp_path)
    with pytest.raises(ExecutionFailed, match="not the workload's"):
        hash_tree(tmp_path, files_max=9, bytes_max=9, besides={"a": b"1"})


@pytest.mark.parametrize(("files_max", "bytes_max"), [(1, 9), (9, 2)])
def test_what_is_besides_counts_as_well(tmp_path: Path, files_max: int, bytes_max: int) -> None:
    plant(tmp_path, {"b": "22"})
    with pytest.raises(ExecutionFailed, match="more than"):
        hash_tree(tmp_path, files_max=files_max, bytes_max=bytes_max, besides={"a": b"1"})


def test_contents_come_up_to_the_limit_and_not_beyond(tmp_path: Path) -> None:
    half = b"x" * (limits.INLINE_BYTES_MAX // 2)
    tree = hashed(plant(tmp_path, {"a": half, "b": half}))
    assert tree.contents == (half, half)
    tree = hashed(plant(tmp_path, {"c": "1"}))
    assert tree.contents is None
    assert tree.sizes == (len(half), len(half), 1)


@pytest.mark.parametrize("size", [0, 1, limits.INLINE_BYTES_MAX, limits.INLINE_BYTES_MAX + 1, 3 * limits.MiB + 7])
def test_a_file_of_any_size_has_its_own_hash(tmp_path: Path, size: int) -> None:
    content = bytes(index % 251 for index in range(1024)) * (size // 1024 + 1)
    tree = hashed(plant(tmp_path, {"a": content[:size]}))
    assert tree.manifest.lines[0].sha256 == hashlib.sha256(content[:size]).hexdigest()
    assert tree.sizes == (size,)


def test_what_is_hashed_is_what_a_requester_takes(tmp_path: Path) -> None:
    tree = hashed(plant(tmp_path, {"stdout": "1", "outputs/ü 😀/back\\slash": "2"}))
    assert parse(tree.manifest.render()) == tree.manifest


@pytest.mark.parametrize("target", ["stdout", "/etc/passwd", "nowhere", "folder", "."])
def test_a_symlink_is_an_error_wherever_it_leads(tmp_path: Path, target: str) -> None:
    plant(tmp_path, {"stdout": "1", "folder/x": "2"})
    (tmp_path / "folder" / "link").symlink_to(target)
    with pytest.raises(ExecutionFailed, match="'results/folder/link' is neither a file nor a folder") as failed:
        hashed(tmp_path)
    assert failed.value.code == "result"


def test_a_pipe_is_an_error_and_nobody_waits_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ExecutionFailed, match="results/pipe") as failed:
        hashed(tmp_path)
    assert failed.value.code == "result"


def test_a_socket_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # Socket paths are short.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(ExecutionFailed, match="results/socket") as failed:
            hashed(tmp_path)
    assert failed.value.code == "result"


@pytest.mark.parametrize("name", [b"a\nb", b"a\x1b[2J", b"\xff\xfe", "é".encode() * 40 + b"\xc3"])
def test_a_name_that_nobody_would_take_is_an_error(tmp_path: Path, name: bytes) -> None:
    with open(os.fsencode(tmp_path) + b"/" + name, "wb"):
        pass
    with pytest.raises(ExecutionFailed) as failed:
        hashed(tmp_path)
    assert failed.value.code == "result"
    assert str(failed.value).isprintable()


def test_a_name_is_the_same_in_every_locale(tmp_path: Path) -> None:
    plant(tmp_path, {"outputs/é 😀": "x"})
    code = "import sys, pathlib, node.verifier.dirhash as d; print(d.h1_of(pathlib.Path(sys.argv[1])))"
    for locale in ({}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        told = subprocess.run(
            [sys.executable, "-c", code, tmp_path], env=os.environ | locale, check=True, capture_output=True, timeout=60
        )
        assert told.stdout.decode().strip() == h1_of(tmp_path)


class Listed:
    """An entry that was a file when the folder was listed; what is there now is something else."""

    def __init__(self, name: str) -> None:
        self.name = name

    def is_file(self, *, follow_symlinks: bool) -> bool:
        return True


@pytest.mark.parametrize("now", ["pipe", "link", "folder", "gone"])
def test_what_is_swapped_while_it_is_hashed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(os, "scandir", lambda folder: contextlib.nullcontext([Listed(now)]))
    signal.alarm(60)  # Whoever waits for a writer of the pipe waits for ever.
    try:
        with pytest.raises(ExecutionFailed, match=f"results/{now}") as failed:
            hashed(tmp_path)
    finally:
        signal.alarm(0)
    assert failed.value.code == "result"


def test_folders_that_are_too_deep_are_an_error(tmp_path: Path) -> None:
    (tmp_path / ("d/" * limits.RESULT_DEPTH_MAX)).mkdir(parents=True)
    with pytest.raises(ExecutionFailed, match="deep") as failed:
        hashed(tmp_path)
    assert failed.value.code == "result"


def test_more_files_than_allowed_are_an_error(tmp_path: Path) -> None:
    plant(tmp_path, {"a": "", "b": ""})
    assert len(hashed(tmp_path, files_max=2).sizes) == 2
    with pytest.raises(ExecutionFailed, match="more than 1 files") as failed:
        hashed(tmp_path, files_max=1)
    assert failed.value.code == "output"


def test_more_folders_than_files_are_allowed_are_an_error(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / str(index)).mkdir()
    assert hashed(tmp_path, files_max=4).sizes == ()
    with pytest.raises(ExecutionFailed, match="more than 3 folders") as failed:
        hashed(tmp_path, files_max=3)
    assert failed.value.code == "output"


def test_more_bytes_than_allowed_are_an_error_before_they_are_read(tmp_path: Path) -> None:
    plant(tmp_path, {"a": "12345"})
    os.truncate(plant(tmp_path, {"b": ""}) / "b", 2**40)  # A hole that would take minutes to read.
    with pytest.raises(ExecutionFailed, match="more than 1000 bytes") as failed:
        hashed(tmp_path, bytes_max=1000)
    assert failed.value.code == "output"
    (tmp_path / "b").unlink()
    assert hashed(tmp_path, bytes_max=5).total_bytes == 5
    with pytest.raises(ExecutionFailed, match="more than 4 bytes"):
        hashed(tmp_path, bytes_max=4)
    plant(tmp_path, {"b": "12345"})
    with pytest.raises(ExecutionFailed, match="more than 9 bytes"):
        hashed(tmp_path, bytes_max=9)


@pytest.mark.parametrize(
    "pretender",
    [
        "/proc/sys/kernel/random",  # Its files say that they are empty and are not: as one that grows.
        "/sys/devices/system/cpu/vulnerabilities",  # They say 4096 bytes and have fewer: as one that shrinks.
    ],
)
def test_a_file_that_has_another_size_than_it_says_is_an_error(pretender: str) -> None:
    if not os.path.isdir(pretender):
        pytest.skip(f"this kernel has no {pretender}")
    with pytest.raises(ExecutionFailed, match="changed while it was read") as failed:
        hashed(Path(pretender))
    assert failed.value.code == "result"


def test_a_folder_that_is_not_there_is_this_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        h1_of(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="Not a directory"):
        h1_of(plant(tmp_path, {"file": ""}) / "file")


def test_no_folder_or_file_stays_open(tmp_path: Path) -> None:
    plant(tmp_path, {"a/b/c/d": "1", "a/b/e": "2", "big": b"x" * 100_000})
    before = sorted(os.listdir("/proc/self/fd"))
    hashed(tmp_path)
    (tmp_path / "a/b/link").symlink_to("d")
    with pytest.raises(ExecutionFailed):
        hashed(tmp_path)
    assert sorted(os.listdir("/proc/self/fd")) == before
