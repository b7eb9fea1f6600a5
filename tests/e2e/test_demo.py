"""`quorate demo` as a user sees it: real processes, real network; what it says, how it ends, what it leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.traces import clean_environment, listening, marked, processes, processes_after_a_while

ROOT = Path(__file__).parents[2]
QUORATE = Path(sys.executable).with_name("quorate")
PATIENCE_S = 180


@dataclass(frozen=True)
class Ended:
    """A demo that is over."""

    exit_code: int
    out: str
    said: str
    mark: str


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def demo(home: Path, *flags: str) -> Ended:
    """Run it to its end."""
    mark, environment = marked(clean_environment(home))
    done = subprocess.run(
        [QUORATE, "demo", *flags],
        env=environment,
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    return Ended(done.returncode, done.stdout, done.stderr, mark)


def leaves_nothing(ended: Ended) -> bool:
    """No process, and nobody at any of the ports that were named."""
    return not processes(ended.mark) and not listening(ended.said)


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
    assert leaves_nothing(ended)


def test_one_liar_of_five_is_outvoted_and_named(home: Path) -> None:
    ended = demo(home, "--liars", "1", "--data", str(ROOT / "node"))

    assert ended.exit_code == 0, ended.said
    assert "VERIFIED: 4 of 5 nodes agree" in ended.said
    assert "node-5 (liar)" in ended.said
    assert "DISAGREED: node-5" in ended.said
    assert ended.out.startswith("module,files,imports\n")
    assert leaves_nothing(ended)


def test_two_liars_of_five_leave_no_result(home: Path) -> None:
    ended = demo(home, "--liars", "2", "--data", str(ROOT / "node"))

    assert ended.exit_code == 3, ended.said
    assert "NOT VERIFIED" in ended.said
    assert "group A: 3 of 5: node-1, node-2, node-3" in ended.said
    assert "group B: 2 of 5: node-4 (liar), node-5 (liar)" in ended.said
    assert ended.out == ""
    assert leaves_nothing(ended)


@pytest.fixture
def begun(home: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A demo whose nodes are at work, its mark, and what it has said so far."""
    mark, environment = marked(clean_environment(home))
    with subprocess.Popen(
        [QUORATE, "demo"], env=environment, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if "  started" in line:
                break
        try:
            yield process, mark, said
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_interrupted_ends_what_it_started(
    begun: tuple[subprocess.Popen[str], str, str], number: int, exit_code: int
) -> None:
    process, mark, said = begun

    process.send_signal(number)

    assert process.wait(PATIENCE_S) == exit_code
    assert processes(mark) == []
    assert listening(said) == []


def test_nodes_do_not_outlive_a_demo_that_is_killed(begun: tuple[subprocess.Popen[str], str, str]) -> None:
    process, mark, said = begun

    process.kill()

    process.wait(PATIENCE_S)
    assert processes_after_a_while(mark) == []
    assert listening(said) == []


def test_a_demo_that_cannot_begin_says_why(home: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()

    ended = demo(home, "--data", str(nothing))

    assert ended.exit_code == 2
    assert "no Python files there" in ended.said


@pytest.mark.parametrize("flags", [("--liars", "6"), ("--liars", "-1"), ("--nodes", "0")])
def test_impossible_numbers_are_usage_errors(home: Path, flags: tuple[str, ...]) -> None:
    assert demo(home, *flags).exit_code == 2
