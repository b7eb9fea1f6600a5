"""``job receipt`` over real sockets: a receipt is had, and checked, with the results and after they were deleted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from doubles.fakenode import FakeNode, asked_from, fake_node, problem
from unit.receipts import WRONG

from cli.main import run


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """A node with a verified job; the command line is pointed to it and works in ``tmp_path``."""
    with fake_node() as fake:
        asked_from(tmp_path, fake, monkeypatch)
        yield fake


def receipt(node: FakeNode, *flags: str) -> int:
    return run(["job", "receipt", node.job.id[:8], "--output", "r.json", *flags])


def deleted(node: FakeNode) -> None:
    """What ``DELETE …/results`` leaves of a job."""
    node.job = msgspec.structs.replace(node.job, results=None)


def test_a_receipt_comes_byte_for_byte(node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert receipt(node) == 0

    assert (tmp_path / "r.json").read_bytes() == node.receipt
    assert "nothing to compare" not in capsys.readouterr().err


def test_a_receipt_can_be_had_when_the_results_were_deleted_and_that_is_said(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deleted(node)

    assert receipt(node) == 0

    assert (tmp_path / "r.json").read_bytes() == node.receipt
    err = capsys.readouterr().err
    assert "the receipt holds" in err
    assert "no results of this job any more" in err
    assert run(["verify", "r.json"]) == 0


def test_a_receipt_of_deleted_results_is_checked_all_the_same(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deleted(node)
    honest, node.receipt = node.receipt, node.receipt.replace(b'"payload":"ey', b'"payload":"fy')

    assert receipt(node) == 1
    assert "receipt does not hold" in capsys.readouterr().err

    node.receipt, node.job = honest, msgspec.structs.replace(node.job, id="fe" * 16)
    assert receipt(node) == 1
    assert "another job" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["client.key"]


def test_a_receipt_of_other_results_is_refused(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node.job = msgspec.structs.replace(node.job, results=msgspec.structs.replace(node.job.results, hash=WRONG))

    assert receipt(node) == 1

    assert "other results" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["client.key"]


def test_a_receipt_goes_to_standard_output(
    node: FakeNode, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert receipt(node, "--output", "-") == 0

    out, err = capfdbinary.readouterr()
    assert out == node.receipt
    assert b"the receipt holds" in err
    assert os.listdir(tmp_path) == ["client.key"]


def test_a_job_that_has_no_receipt_says_where_it_is_told_why(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.job = msgspec.structs.replace(node.job, state="failed", results=None)
    node.misbehaves[node.path("/receipt")].append(problem(404, "not_found", "job x has no receipt (failed)"))

    assert receipt(node) == 1

    err = capsys.readouterr().err
    assert "has no receipt (failed)" in err
    assert f"`quorate job describe {node.job.id[:8]}` says how it ended" in err
