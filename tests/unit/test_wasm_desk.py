"""The folder that a worker may write to, in the place of results and back."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from node.executor.wasm.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path / ".worker-1")
    os.close(made.made())
    return made


def results_of(folder: Path, name: str) -> Path:
    results = folder / name
    results.mkdir()
    return results


def test_what_was_written_stays_in_a_folder_that_is_not_the_workers(desk: Desk, tmp_path: Path) -> None:
    own = desk.folder.stat().st_ino
    for run in ("one", "two"):
        results = results_of(tmp_path, run)
        desk.lend(results)
        assert results.stat().st_ino == own
        (results / "outputs").mkdir()
        (results / "outputs" / "file").write_text(run)
        desk.take_back(results, ["stdout", "outputs"])
        assert results.stat().st_ino != own
        assert (results / "outputs" / "file").read_text() == run
    assert desk.folder.stat().st_ino == own
    desk.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_what_nobody_needs_is_gone_and_the_folder_is_lent_again(desk: Desk, tmp_path: Path) -> None:
    own, results = desk.folder.stat().st_ino, tmp_path / "results"
    for _ in range(2):
        desk.lend(results)
        assert results.stat().st_ino == own
        (results / "outputs" / "deep").mkdir(parents=True)
        (results / "outputs" / "deep" / "file").touch()
        (results / "stdout").write_text("ok")
        desk.empty(results, ["stdout", "stderr", "outputs"])
        assert not results.exists()
        assert not any(desk.folder.iterdir())


def test_emptying_follows_no_link_and_takes_nothing_that_was_not_asked_for(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "file").touch()
    results = tmp_path / "results"
    desk.lend(results)
    (results / "outputs").symlink_to(tmp_path / "others")
    (results / "more").touch()
    with pytest.raises(FileExistsError):
        desk.empty(results, ["stdout", "outputs"])
    assert (tmp_path / "others" / "file").exists()


# Swaps each folder for a link and back, and again, as fast as it can.
SWAPS = """
import ctypes, itertools, os, sys
swap, place = ctypes.CDLL(None).renameat2, os.open(sys.argv[1], os.O_PATH)
print(flush=True)
for number in itertools.cycle(range(int(sys.argv[2]))):
    swap(place, b"%d" % number, place, b"outputs/%d" % number, 2)
"""


def test_emptying_follows_no_link_that_takes_the_place_of_a_folder_meanwhile(desk: Desk, tmp_path: Path) -> None:
    """A worker that has broken out of its engine may write to its folder until the moment it is ended."""
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "file").touch()
    results = tmp_path / "results"
    desk.lend(results)
    for number in map(str, range(100)):
        (results / "outputs" / number).mkdir(parents=True)
        (results / number).symlink_to(tmp_path / "others")
    with subprocess.Popen([sys.executable, "-c", SWAPS, results, "100"], stdout=subprocess.PIPE) as hostile:
        try:
            assert hostile.stdout is not None
            hostile.stdout.readline()
            with contextlib.suppress(OSError):
                desk.empty(results, ["outputs"])
        finally:
            hostile.kill()
    assert (tmp_path / "others" / "file").exists()


def test_what_nobody_asked_for_is_not_taken_for_a_result(desk: Desk, tmp_path: Path) -> None:
    results = results_of(tmp_path, "one")
    desk.lend(results)
    (results / "more").touch()
    with pytest.raises(FileExistsError):
        desk.take_back(results, ["stdout"])
    desk.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_folder_that_cannot_be_opened_is_not_there(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="open files"):
            Desk(tmp_path / ".worker-1").made()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not any(tmp_path.iterdir())


def test_results_that_are_not_empty_are_an_error(desk: Desk, tmp_path: Path) -> None:
    (results_of(tmp_path, "one") / "file").touch()
    with pytest.raises(OSError, match="not empty"):
        desk.lend(tmp_path / "one")
