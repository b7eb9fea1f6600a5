"""`quorate demo` as a user sees it: real processes, real network; what it says, how it ends, what it leaves."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.traces import Watched, clean_environment, command_line

ROOT = Path(__file__).parents[2]
QUORATE = Path(sys.executable).with_name("quorate")
PATIENCE_S = 180


@dataclass(frozen=True)
class Ended:
    """A demo that is over."""

    exit_code: int
    out: str
    said: str
    left: list[str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def demo(home: Path, *flags: str) -> Ended:
    """Run it to its end."""
    with Watched([QUORATE, "demo", *flags], home) as watched:
        watched.until(None)
        exit_code, out = watched.end()
        return Ended(exit_code, out, watched.said, watched.left())


def test_five_nodes_agree_about_the_standard_library(home: Path) -> None:
    ended = demo(home, "--json")

    assert ended.exit_code == 0, ended.said
    shown = json.loads(ended.out)
    assert (shown["verdict"], shown["agreed"], shown["disagreed"]) == ("verified", 5, [])
    assert shown["receipt_holds"] is True
    results = Path(shown["results"])
    assert (results / "outputs" / "imports.csv").read_text().startswith("module,files,imports\n")
    assert (results / "stdout").read_text().startswith(f"{shown['files']} Python files, {shown['bytes']} bytes")
    assert Path(shown["receipt"]).is_file()
    assert ended.left == []


def test_one_liar_of_five_is_outvoted_and_named(home: Path) -> None:
    ended = demo(home, "--liars", "1", "--data", str(ROOT / "node"))

    assert ended.exit_code == 0, ended.said
    assert "VERIFIED: 4 of 5 nodes agree" in ended.said
    assert "node-5 (liar)" in ended.said
    assert "DISAGREED: node-5" in ended.said
    assert ended.out.startswith("module,files,imports\n")
    assert ended.left == []


def test_two_liars_of_five_leave_no_result(home: Path) -> None:
    ended = demo(home, "--liars", "2", "--data", str(ROOT / "node"))

    assert ended.exit_code == 3, ended.said
    assert "NOT VERIFIED" in ended.said
    assert "group 1: 3 of 5: node-1, node-2, node-3" in ended.said
    assert "group 2: 2 of 5: node-4 (liar), node-5 (liar)" in ended.said
    assert ended.out == ""
    assert ended.left == []


@pytest.fixture
def begun(home: Path) -> Iterator[Watched]:
    """A demo whose nodes are at work."""
    with Watched([QUORATE, "demo"], home) as watched:
        watched.until("  started")
        watched.until("  started")
        yield watched


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_interrupted_ends_what_it_started(
    begun: Watched, home: Path, number: int, exit_code: int
) -> None:
    begun.process.send_signal(number)

    assert begun.end()[0] == exit_code
    assert begun.left() == []
    assert list((home / "tmp").iterdir()) == []


def test_nodes_do_not_outlive_a_demo_that_is_killed(begun: Watched) -> None:
    begun.process.kill()

    begun.process.wait()
    assert begun.left() == []


def refused(home: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """A demo that ends before it has begun."""
    environment = clean_environment(home)
    return subprocess.run(
        [QUORATE, "demo", *flags], env=environment, cwd=home, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_demo_that_cannot_begin_says_why_and_leaves_nothing(home: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()

    done = refused(home, "--data", str(nothing))

    assert done.returncode == 2
    assert "no Python files there" in done.stderr
    assert list((home / "tmp").iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")

    done = refused(home, "--dir", str(tmp_path))

    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("flags", [("--liars", "6"), ("--liars", "-1"), ("--nodes", "1")])
def test_impossible_numbers_are_usage_errors(home: Path, flags: tuple[str, ...]) -> None:
    assert refused(home, *flags).returncode == 2


@pytest.fixture
def devnet(home: Path) -> Iterator[Watched]:
    """Two nodes that stay."""
    with Watched([QUORATE, "devnet", "--nodes", "2"], home) as watched:
        watched.until("Ctrl-C ends")
        yield watched


def test_a_devnet_runs_the_command_that_it_suggests(devnet: Watched, home: Path) -> None:
    api, command = re.findall(r"^  export (QUORATE_API=\S+)\n  (.+)$", devnet.said, re.MULTILINE)[0]
    name, url = api.split("=")

    done = subprocess.run(
        [QUORATE, *shlex.split(command)[1:]],
        env={**clean_environment(home), name: url},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )

    assert done.returncode == 0, done.stderr
    assert "2 of 2 nodes agree" in done.stderr
    assert len(list(home.glob("*/outputs/imports.csv"))) == 1


def test_a_devnet_goes_on_without_a_node_and_ends_with_ctrl_c(devnet: Watched, home: Path) -> None:
    (killed,) = [pid for pid in devnet.children() if "nodes/node-2" in command_line(pid)]
    os.kill(killed, signal.SIGKILL)
    devnet.until("node-2 has ended, 1 are left")

    devnet.process.send_signal(signal.SIGINT)

    assert devnet.end()[0] == 0
    assert devnet.left() == []
    assert list((home / "tmp").iterdir()) == []
