"""nvidia-smi as a command: a recorded answer from a stand-in, every way to fail, and the real one if there is one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio
from doubles.realnode import real_node

from node.compute.gpus import QUERY, found

RECORDED = (
    "GPU-6f0f3f6b-94ba-5d62-8a5c-4d8c2a3b9e01, NVIDIA L4, 23034\n"
    "GPU-0a1b2c3d-94ba-5d62-8a5c-4d8c2a3b9e02, Tesla T4, 15360\n"
)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts an ``nvidia-smi`` of these lines of shell in front of everything."""

    def put(script: str) -> None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


def names(wanted: int | None = None) -> list[str]:
    return [gpu.name for gpu in trio.run(found, wanted)]


def test_a_recorded_answer_gives_the_gpus(stand_in) -> None:
    stand_in(f'[ "$*" = "{" ".join(QUERY[1:])}" ] && printf %s \'{RECORDED}\'')
    assert names() == ["NVIDIA L4", "Tesla T4"]
    assert names(1) == ["NVIDIA L4"]
    assert names(3) == ["NVIDIA L4", "Tesla T4"]


def test_nobody_is_asked_for_what_nobody_wants(stand_in, tmp_path: Path) -> None:
    stand_in(f"touch {tmp_path}/asked")
    assert names(0) == []
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9", "failed"),
        ("echo nonsense", "not understood"),
        ("yes GPU", "does not answer"),
        ("head -c 100000 /dev/zero", "ended with 0"),
        ("sleep 1000", "does not answer"),
        ("kill -9 $$", "ended with -9"),
    ],
)
def test_whatever_goes_wrong_there_are_none_and_it_is_said(stand_in, script, why, caplog) -> None:
    stand_in(script)
    assert trio.run(found, None, 0.5 if why == "does not answer" else 20.0) == ()
    assert any(why in str(getattr(record, "why", "")) for record in caplog.records)


def test_without_the_tool_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert names() == []


def test_a_node_tells_people_and_programs_what_gpus_jobs_may_have(stand_in, tmp_path: Path) -> None:
    stand_in(f"printf %s '{RECORDED}'")
    with real_node(tmp_path / "node", "--limit-total-gpu", "1") as node, node.client() as client:
        assert node.ready["gpus"] == ["NVIDIA L4 (GPU-6f0f3f6b-94ba-5d62-8a5c-4d8c2a3b9e01)"]
        assert client.get("/v1/node").json()["gpus"] == ["NVIDIA L4"]


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no NVIDIA GPU here; install its driver to run this")
def test_the_real_tool_is_understood() -> None:
    assert all(gpu.memory_bytes > 0 for gpu in trio.run(found, None))
