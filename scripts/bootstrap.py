"""Makes .venv what uv.lock says, with the Python that runs this file; at once when it already is.

Needs the standard library alone. uv comes from PATH, or from .tools, where it is put when there is none: nothing is
installed outside of the checkout. Does not live here: which Python (bootstrap.sh), what else tests need (system.sh).
"""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "synced"
TOOLS = ROOT / ".tools"

UV_VERSION = "0.13.9"
UV_OLDEST = (0, 6)  # reads the lock file and the settings of pyproject.toml
FILES = "https://files.pythonhosted.org/packages"
WHEELS = {  # machine, libc: where (PyPI's files never change), sha256
    ("x86_64", "glibc"): (
        "3d/aa/26d64642d808de4a652579ef950d7cd2d37f080a8babf9c67c6b75fc4c3f/"
        "uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    ),
    ("aarch64", "glibc"): (
        "fe/2f/51a5de367c602592c018a42a23d57fba5f2689fe6c3bf025dcf043b39c61/"
        "uv-0.13.9-py3-none-manylinux_2_28_aarch64.whl",
        "ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375",
    ),
}
DOWNLOAD_S = 120


def main() -> None:
    """Exit code 1, and what to do, when it cannot be done."""
    os.chdir(ROOT)
    python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()  # never one in a virtual environment
    wanted = _fingerprint(python)
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    STAMP.unlink(missing_ok=True)
    uv = _uv_on_path() or _uv_in_tools()
    _say(f"installing into .venv what uv.lock names, for {python} ({platform.python_version()})")
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_PROJECT_ENVIRONMENT": str(VENV)}
    environment.pop("VIRTUAL_ENV", None)
    if not os.access(os.path.expanduser("~"), os.W_OK):
        environment["UV_CACHE_DIR"] = str(ROOT / ".cache" / "uv")
    done = subprocess.run([uv, "sync", "--frozen", "--quiet", "--python", python], env=environment, check=False)
    if done.returncode != 0:
        sys.exit("The packages could not be installed (see above). They come from PyPI: is there a network?")
    _remove_trio_stubs()
    STAMP.write_text(wanted)


def _fingerprint(python: Path) -> str:
    """Changes when there is something to do."""
    digest = hashlib.sha256(f"{python} {sys.version}".encode())
    for name in ("uv.lock", "pyproject.toml", "scripts/bootstrap.py"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _uv_on_path() -> str | None:
    found = shutil.which("uv")
    if found is None:
        return None
    answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"uv (\d+)\.(\d+)", answer)
    return found if version and tuple(map(int, version.groups())) >= UV_OLDEST else None


def _uv_in_tools() -> str:
    """Two ways, because a Debian without python3-pip and python3-venv has no pip at all."""
    uv = TOOLS / f"uv-{UV_VERSION}" / "bin" / "uv"
    if uv.exists():
        return str(uv)
    _say(f"no uv on PATH: getting uv {UV_VERSION} into {TOOLS.name}")
    problem = _fetched(uv)
    if problem:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", uv.parent.parent, f"uv=={UV_VERSION}"]
        if subprocess.run(pip, check=False).returncode != 0:
            sys.exit(f"uv cannot be had from PyPI ({problem}), nor with pip. Get it: https://docs.astral.sh/uv/")
    return str(uv)


def _fetched(target: Path) -> str:
    """Puts the wheel's program at ``target``. Returns why it could not, or nothing."""
    where, sha256 = WHEELS.get((platform.machine(), platform.libc_ver()[0]), ("", ""))
    if not where:
        return f"no wheel known for {platform.system()} on {platform.machine()}"
    try:
        with urllib.request.urlopen(f"{FILES}/{where}", timeout=DOWNLOAD_S) as answer:  # noqa: S310  (https)
            wheel = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    if hashlib.sha256(wheel).hexdigest() != sha256:
        return f"{where} is not the file it was"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        part.write_bytes(archive.read(f"uv-{UV_VERSION}.data/scripts/uv"))
    part.chmod(0o755)
    part.replace(target)
    return ""


def _remove_trio_stubs() -> None:
    """libp2p imports trio-typing as it runs, whose trio-stubs are older than trio and hide its own types from mypy."""
    for stubs in VENV.glob("lib/python*/site-packages/trio-stubs"):
        shutil.rmtree(stubs)


def _say(line: str) -> None:
    sys.stderr.write(f"bootstrap: {line}\n")


if __name__ == "__main__":
    main()
