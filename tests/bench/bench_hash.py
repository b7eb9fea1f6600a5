"""Hashing a result tree against a bare hashlib loop over the same files: ratios in one run, never a timed test.

``python -m tests.bench.bench_hash [FOLDER]``: FOLDER is where the trees are made (default: the temporary folder).
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
if str(ROOT) not in sys.path:  # Also when started by path.
    sys.path.insert(0, str(ROOT))

from node import limits  # noqa: E402
from node.verifier.dirhash import hash_tree  # noqa: E402

ROUNDS = 5
RATIO_MAX = 1.5


def bare(paths: list[str]) -> None:
    """What any hashing must do: open each file, read it through one window, hash it."""
    window = memoryview(bytearray(256 * limits.KiB))
    for path in paths:
        digest = hashlib.sha256()
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(window):
                digest.update(window[:count])
        digest.hexdigest()


def best_s(call: Callable[[], object]) -> float:
    """Seconds of the fastest of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        rounds.append(time.perf_counter() - start)
    return min(rounds)


def small_files(folder: Path) -> list[Path]:
    """10,000 files of 1 KiB in 100 folders."""
    paths = [folder / f"{index % 100:02}" / f"{index:05}" for index in range(10_000)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(limits.KiB))
    return paths


def large_file(folder: Path) -> list[Path]:
    """One file of 1 GiB."""
    folder.mkdir()
    piece = os.urandom(limits.MiB)
    with (folder / "large").open("wb") as file:
        for _ in range(1024):
            file.write(piece)
    return [folder / "large"]


def main(where: str | None = None) -> None:
    """Make the trees below ``where`` and print one row for each."""
    print(f"{'tree':<24}{'bare loop':>12}{'hash_tree':>12}{'ratio':>8}   (at most {RATIO_MAX})")
    with tempfile.TemporaryDirectory(dir=where) as scratch:
        for name, make in (("10,000 x 1 KiB", small_files), ("1 x 1 GiB", large_file)):
            folder = Path(scratch) / make.__name__
            paths = list(map(str, make(folder)))
            loop_s = best_s(partial(bare, paths))
            tree_s = best_s(partial(hash_tree, folder, files_max=100_000, bytes_max=2**40))
            print(f"{name:<24}{loop_s:>10.3f} s{tree_s:>10.3f} s{tree_s / loop_s:>8.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
