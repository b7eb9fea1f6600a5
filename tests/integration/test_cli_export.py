"""``job export`` over real sockets: the CAR file that it writes, and when it writes none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from doubles.blocks import HeldBlocks
from doubles.fakenode import FakeNode, fake_node, says
from doubles.trees import Tree, planted
from unit.receipts import FILES

from cli.main import run
from node.storage.ipfs.car import CarReader
from node.storage.ipfs.layout import V0_2015, V1_2025, Profile


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """A node with a verified job; the command line is pointed to it and works in ``tmp_path/work``."""
    with fake_node() as fake:
        monkeypatch.setenv("QUORATE_API", fake.url)
        monkeypatch.setenv("QUORATE_KEY", str(tmp_path / "client.key"))
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        yield fake


def export(node: FakeNode, *flags: str) -> int:
    return run(["job", "export", node.job.id[:8], *flags])


def holds_the_results(car: bytes, tmp_path: Path, profile: Profile = V1_2025) -> str:
    """Whether these bytes are a CAR file with exactly the job's results; its root."""
    tree: Tree = dict(FILES)
    held, reader = HeldBlocks(), CarReader()
    root = held.imported(planted(tmp_path / "expected", tree), profile)
    assert dict(reader.feed(car)) == held.blocks
    reader.end()
    assert reader.roots == (root,)
    return str(root)


def test_the_results_are_in_the_file_and_its_root_is_data(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(node, "--car", "results.car") == 0

    root = holds_the_results(Path("results.car").read_bytes(), tmp_path)
    out, err = capsys.readouterr()
    assert out == f"{root}\n"
    assert node.manifest.hash in err
    assert "next: `ipfs dag import results.car`" in err
    assert os.listdir() == ["results.car"]


def test_another_profile_makes_other_blocks(node: FakeNode, tmp_path: Path) -> None:
    assert export(node, "--car", "results.car", "--profile", "unixfs-v0-2015") == 0

    assert holds_the_results(Path("results.car").read_bytes(), tmp_path, V0_2015).startswith("Qm")


def test_json_says_what_it_is(node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(node, "--car", "results.car", "--json") == 0

    assert msgspec.json.decode(capsys.readouterr().out) == {
        "car": "results.car",
        "root": holds_the_results(Path("results.car").read_bytes(), tmp_path),
        "hash": node.manifest.hash,
        "files": len(FILES),
    }


def test_standard_output_takes_the_file_and_nothing_else(
    node: FakeNode, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert export(node, "--car", "-") == 0

    out, err = capfdbinary.readouterr()
    assert holds_the_results(out, tmp_path).encode() in err
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--car", "there.car"), "is there already"),
        (("--car", "."), "is a folder"),
        (("--car", "nowhere/results.car"), "there is no folder nowhere"),
        (("--car", "-", "--json"), "both want standard output"),
    ],
)
def test_a_file_that_cannot_be_written_is_a_usage_error_before_anything_is_asked(
    node: FakeNode, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], why: str
) -> None:
    Path("there.car").write_bytes(b"precious")

    assert export(node, *flags) == 2

    assert why in capsys.readouterr().err
    assert Path("there.car").read_bytes() == b"precious"


def test_a_terminal_is_spared(
    node: FakeNode, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    assert export(node, "--car", "-") == 2

    assert "nothing for a terminal" in capsys.readouterr().err


def test_force_replaces_the_file(node: FakeNode, tmp_path: Path) -> None:
    Path("there.car").write_bytes(b"old")

    assert export(node, "--car", "there.car", "--force") == 0

    holds_the_results(Path("there.car").read_bytes(), tmp_path)


def test_results_that_did_not_win_leave_no_file_and_what_was_there(node: FakeNode) -> None:
    Path("there.car").write_bytes(b"old")
    node.misbehaves[node.path("/results/stdout")].append(says(b"x" * len(FILES["stdout"])))

    assert export(node, "--car", "there.car", "--force") == 1

    assert Path("there.car").read_bytes() == b"old"
    assert os.listdir() == ["there.car"]


def test_a_job_that_runs_has_nothing_to_export(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.job = msgspec.structs.replace(node.job, state="running", results=None)

    assert export(node, "--car", "results.car") == 1

    assert "has not ended" in capsys.readouterr().err
    assert os.listdir() == []
