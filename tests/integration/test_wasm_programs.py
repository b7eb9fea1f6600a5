"""Real programs of three languages see the same wherever they run: equal bytes in surroundings that differ."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from contract.executors import ROOMY
from contract.wasm_modules import Wasm
from doubles.trees import files_in
from integration.wasm_runs import Run, ended
from needs import TOOLS, Need

from node.executor.base import Mount

NPM = "CPython for WASI comes from npm: install Node.js 20 or later, with npm"
GO = "the Go program needs Go 1.21 or later"
RUST = "on Debian 12: apt-get install --no-install-recommends rustc libstd-rust-dev-wasm32 lld"
LIMITS = replace(ROOMY, memory_bytes=256 << 20, output_bytes=16 << 20)
# Names that a file system may return in an order of its own.
FILES = {f"{name}.txt": name.encode() for name in ("b", "a", "z", "ü", "C", "c", "0", "10", "9")}
DEEPER = {f"sub/{number}": b"x" * number for number in (7, 3, 1000, 65_537)}


@dataclass(frozen=True)
class Surroundings:
    """What a program should not see."""

    filesystem: str | None  # a folder on it; None: where temporary files lie
    is_reversed: bool
    age_s: int
    umask: int
    zone: str


HERE = Surroundings(None, is_reversed=False, age_s=0, umask=0o022, zone="UTC")
THERE = Surroundings("/dev/shm", is_reversed=True, age_s=100_000_000, umask=0o077, zone="Asia/Tokyo")


@contextmanager
def place(around: Surroundings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in these surroundings, with ``inputs`` in it."""
    folder = Path(tempfile.mkdtemp(dir=around.filesystem))
    before = os.umask(around.umask)
    monkeypatch.setenv("TZ", around.zone)
    monkeypatch.setenv("SEEN", around.zone)
    try:
        (folder / "inputs" / "sub").mkdir(parents=True)
        names = sorted({**FILES, **DEEPER}, reverse=around.is_reversed)
        for name in names:
            path = folder / "inputs" / name
            path.write_bytes({**FILES, **DEEPER}[name])
            os.utime(path, (time.time() - around.age_s,) * 2)
        (folder / "inputs" / "link").symlink_to("sub/7")
        shutil.copy(TOOLS / "wasip1" / "seen.py", folder / "inputs")
        yield folder
    finally:
        os.umask(before)
        shutil.rmtree(folder)


def left_behind(run: Run, folder: Path, cache: Path) -> dict[str, bytes]:
    """All files of the results."""
    end = ended(folder, replace(run, inputs=(Mount(folder / "inputs", "/inputs"),)), cache)
    assert end.exit_code == 0, (end.failure, (end.results / "stderr").read_bytes())
    return files_in(end.results)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(
    params=[
        ("python_wasi.sh", NPM, ("/inputs/seen.py", "argument")),
        ("wasip1_go.sh", GO, ("argument",)),
        ("wasip1_rust.sh", RUST, ("argument",)),
    ],
    ids=["CPython", "Go", "Rust"],
)
def run(request: pytest.FixtureRequest, need: Need) -> Run:
    """One of the programs, with all that a job can give it."""
    script, how, args = request.param
    wasm = Wasm(Path(need.built(script, how)).read_bytes())
    return Run(wasm=wasm, args=args, env=(("KEY", "value"),), limits=LIMITS, stdin="/inputs/sub/65537")


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second filesystem")
@pytest.mark.parametrize("fuel", [None, 2**62], ids=["no fuel", "fuel"])
def test_a_program_sees_the_same_wherever_it_runs(
    run: Run, fuel: int | None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replace(run, fuel=fuel)
    seen = []
    for around in (HERE, THERE):
        with place(around, monkeypatch) as folder:
            seen.append(left_behind(run, folder, cache))
    assert seen[0] == seen[1]
    assert len(seen[0]["stdout"]) > 1000
    with place(HERE, monkeypatch) as folder:
        assert left_behind(replace(run, seed="another"), folder, cache) != seen[0]
