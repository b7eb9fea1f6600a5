"""What `make` needs of a machine: a Python that fits, nothing when nothing has changed, and to say what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with nothing on it but what the script itself calls."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname", "mkdir"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    return programs


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of one as the bootstrap looks at."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("uv.lock", "pyproject.toml"):
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def put(folder: Path, name: str, script: str) -> None:
    """A program."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def bootstrap(checkout: Path, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in an empty home folder."""
    home = checkout.parent / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [checkout / "scripts" / "bootstrap.sh"],
        env={"PATH": str(path), "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_a_python_that_fits_it_says_what_to_install(checkout: Path, path: Path) -> None:
    put(path, "python3", "exit 1  # too old")

    done = bootstrap(checkout, path)

    assert done.returncode == 1
    assert "apt install python3" in done.stderr


def test_a_python_that_was_named_and_does_not_fit_is_not_replaced_by_another(checkout: Path, path: Path) -> None:
    (path / "python3").symlink_to(sys.executable)

    done = bootstrap(checkout, path, PYTHON="python9")

    assert done.returncode == 1
    assert "PYTHON=python9" in done.stderr


def test_the_packages_come_by_uv_for_that_python_and_once(checkout: Path, path: Path) -> None:
    put(path, "python3", f'exec {sys.executable} "$@"')
    put(
        path,
        "uv",
        'case $1 in --version) echo uv 0.9.1;; *) mkdir .venv; echo "$@" $UV_PYTHON_DOWNLOADS >>calls;; esac',
    )

    first, second = bootstrap(checkout, path, VIRTUAL_ENV="/other"), bootstrap(checkout, path)

    assert (first.returncode, second.returncode, second.stderr) == (0, 0, "")
    python = os.path.realpath(sys._base_executable)  # type: ignore[attr-defined]
    assert (checkout / "calls").read_text() == f"sync --frozen --quiet --python {python} never\n"


def test_another_lock_file_is_another_environment(checkout: Path, path: Path) -> None:
    put(path, "python3", f'exec {sys.executable} "$@"')
    put(path, "uv", "case $1 in --version) echo uv 0.9.1;; *) mkdir -p .venv; echo >>calls;; esac")
    bootstrap(checkout, path)

    (checkout / "uv.lock").write_text("version = 1\n")
    bootstrap(checkout, path)

    assert (checkout / "calls").read_text() == "\n\n"


def test_a_failed_installation_is_tried_again(checkout: Path, path: Path) -> None:
    put(path, "python3", f'exec {sys.executable} "$@"')
    put(path, "uv", "case $1 in --version) echo uv 0.9.1;; *) mkdir -p .venv; echo >>calls; exit 2;; esac")

    done = [bootstrap(checkout, path) for _ in range(2)]

    assert [each.returncode for each in done] == [1, 1]
    assert "is there a network?" in done[0].stderr
    assert (checkout / "calls").read_text() == "\n\n"


def test_stubs_that_hide_the_types_of_trio_are_removed(checkout: Path, path: Path) -> None:
    put(path, "python3", f'exec {sys.executable} "$@"')
    stubs = ".venv/lib/python3.11/site-packages/trio-stubs"
    put(
        path,
        "uv",
        f"case $1 in --version) echo uv 0.9.1;; *) mkdir -p {stubs} .venv/lib/python3.11/site-packages/trio;; esac",
    )

    bootstrap(checkout, path)

    assert not (checkout / stubs).exists()
    assert (checkout / stubs).with_name("trio").exists()


def test_the_demo_and_the_tests_say_no_when_make_cannot_bootstrap(path: Path) -> None:
    (path / "make").symlink_to(shutil.which("make") or "")

    done = subprocess.run(
        ["make", "-C", ROOT, "demo"],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode != 0
    assert "Python 3.11, 3.12 or 3.13 is needed" in done.stderr
