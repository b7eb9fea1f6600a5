"""The wheel: what is in it, and that it works where there is no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from e2e.traces import Watched
from needs import Need

ROOT = Path(__file__).parents[2]
UV = "https://docs.astral.sh/uv/, or `make sync`, which puts it into .tools"


@pytest.fixture(scope="module")
def uv() -> str:
    """PATH's, or the one that the bootstrap fetched."""
    own = sorted(ROOT.glob(".tools/uv-*/bin/uv"))
    return str(own[-1]) if own else Need()("uv", UV)


@pytest.fixture(scope="module")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True, timeout=300)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(uv: str, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a clean virtual environment that has the wheel and what it depends on, in the locked versions."""
    folder = tmp_path_factory.mktemp("installed")
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    environment.pop("VIRTUAL_ENV", None)
    locked = folder / "locked.txt"

    def run(*arguments: str | Path) -> None:
        subprocess.run([uv, "--quiet", *arguments], check=True, timeout=300, cwd=ROOT, env=environment)

    run("export", "--frozen", "--no-dev", "--no-emit-project", "--output-file", locked)
    (folder / "overrides.txt").write_text("fastecdsa>=3\n")
    run("venv", "--python", sys.executable, folder / "venv")
    python = folder / "venv" / "bin" / "python"
    constraints = ["--constraints", locked, "--overrides", folder / "overrides.txt"]
    run("pip", "install", "--python", python, *constraints, wheel)
    return python.parent


def test_it_holds_the_packages_and_the_example_program_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        program = archive.read("cli/demo/census.wasm")

    assert program == (ROOT / "examples" / "census" / "census.wasm").read_bytes()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"node", "cli"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_node_and_quorate_are_the_same_program(installed: Path) -> None:
    shown = [
        subprocess.run([installed / name, "version", "--json"], capture_output=True, text=True, check=True).stdout
        for name in ("node", "quorate")
    ]

    assert shown[0] == shown[1] != ""
    assert (installed / "node").read_text() == (installed / "quorate").read_text()


def test_the_demo_works_in_an_empty_home_with_a_liar(installed: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copyfile(__file__, data / "one.py")

    with Watched([installed / "quorate", "demo", "--liars", "1", "--data", data], tmp_path / "home") as watched:
        watched.until(None)
        exit_code, out = watched.end()

        assert exit_code == 0, watched.said
        assert "VERIFIED: 4 of 5 nodes agree" in watched.said
        assert "DISAGREED: node-5 (liar)" in watched.said
        assert "__future__,1,1" in out
        assert watched.left() == []
