"""Importing (CIDs alone) against a bare sha256 of the same files, and reading and listing DAGs: ratios in one run.

``python -m tests.bench.bench_importer [FOLDER]``: FOLDER is where the trees are made (default: the temporary folder).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

ROOT = Path(__file__).parent.parent.parent
for place in (ROOT, ROOT / "tests"):
    if str(place) not in sys.path:  # Also when started by path.
        sys.path.insert(0, str(place))

from bench.bench_hash import bare, best_s, large_file, small_files  # noqa: E402
from doubles.blocks import HeldBlocks  # noqa: E402

from node.ambient import Threads  # noqa: E402
from node.limits import GiB, MiB  # noqa: E402
from node.storage.ipfs import reader  # noqa: E402
from node.storage.ipfs.cid import Cid  # noqa: E402
from node.storage.ipfs.importer import cid_of  # noqa: E402
from node.storage.ipfs.layout import PROFILES, V0_2015, V1_2025  # noqa: E402

MB_S_MIN = 300  # of 1 GB, on one core
FILES = 100_000
LISTING_S_MAX = 3.0


def main(where: str | None = None) -> bool:
    """Make the trees below ``where`` and print one row for each; whether all are as they should be."""
    with tempfile.TemporaryDirectory(dir=where) as scratch:
        large = large_file(Path(scratch) / "large")
        small = small_files(Path(scratch) / "small")
        print(f"{'1 GiB':<36}{'MB/s':>10}{'of sha256':>12}   (at least {MB_S_MIN} MB/s)")
        slowest = _compare(list(map(str, large)), Path(scratch) / "large" / "large", GiB)
        print(f"{'10,000 x 1 KiB':<36}{'MB/s':>10}{'of sha256':>12}")
        _compare(list(map(str, small)), Path(scratch) / "small", 10_000 * 1024)
        _read(Path(scratch))
        return _list(Path(scratch)) and slowest >= MB_S_MIN


def _compare(paths: list[str], tree: Path, size: int) -> float:
    """A row for each profile; the least MB/s."""
    bare_s = best_s(partial(bare, paths))
    print(f"{'  bare sha256':<36}{size / bare_s / 1e6:>10.0f}")
    rates = []
    for profile in PROFILES:
        took_s = best_s(partial(cid_of, tree, profile))
        rates.append(size / took_s / 1e6)
        print(f"  {profile.name:<34}{rates[-1]:>10.0f}{bare_s / took_s:>12.2f}")
    return min(rates)


def _read(scratch: Path) -> None:
    """Blocks that are there already, to files: what reading adds to fetching."""
    held = HeldBlocks()
    data = scratch / "read-me"
    with data.open("wb") as file:
        for number in range(256):
            file.write(number.to_bytes(1, "big") * MiB)
    for profile in (V1_2025, V0_2015):
        root = held.imported(data, profile)
        took_s = _took_s(lambda root=root: reader.write(held, root, scratch / str(root), GiB, Threads()))
        print(f"{'256 MiB written, ' + profile.name:<36}{256 * MiB / took_s / 1e6:>10.0f} MB/s")


def _list(scratch: Path) -> bool:
    held, folder = HeldBlocks(is_prompt=True), scratch / "many"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:06d}.txt").write_bytes(b"%d" % number)
    best = []
    for profile in (V1_2025, V0_2015):
        root = held.imported(folder, profile)
        best.append(best_s(lambda root=root: trio.run(_listing, held, root)))
        print(f"{FILES} files listed, {profile.name:<15}{best[-1]:>8.2f} s   (at most {LISTING_S_MAX} s)")
    return max(best) <= LISTING_S_MAX


async def _listing(held: HeldBlocks, root: Cid) -> None:
    held.forget()
    await reader.listing(held, root)


def _took_s(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    trio.run(call)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:2]))
