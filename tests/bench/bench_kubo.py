"""A file from a Kubo daemon through our driver, checked and on disk, beside curl reading the same call into nothing.

``python -m tests.bench.bench_kubo [FOLDER]``: FOLDER is where the daemon, the file and our cache are (default: the
temporary one). ``KUBO_BENCH_MB`` is the size of the file (default 1000). Both alternate and the best of each counts,
because the daemon does most of the work, and its speed depends on what else the machine does. That the cache has the
disk keep the file before it is used (fsync) is told apart. Memory is the growth of the largest resident set over what
it was when all was loaded and nothing fetched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio
from typing_extensions import override

ROOT = Path(__file__).parent.parent.parent
for place in (ROOT, ROOT / "tests"):  # Also when started by path.
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

from doubles.kubo import Kubo as Daemon  # noqa: E402
from doubles.kubo import kubo_daemon, kubo_program  # noqa: E402
from doubles.peers import peer  # noqa: E402

from node.ambient import Threads  # noqa: E402
from node.model import CidInput  # noqa: E402
from node.storage.cache import Fetch, InputCache  # noqa: E402
from node.storage.ipfs.driver import Ipfs  # noqa: E402
from node.storage.ipfs.kubo import Kubo  # noqa: E402

MB = 10**6
ROUNDS = 3
RATIO_MIN, GROWTH_MIB_MAX = 0.7, 64
PROFILES = {"unixfs-v1-2025": ("--cid-version=1", "--chunker=size-1048576", "--max-file-links=1024"), "v0": ()}


def by_curl(daemon: Daemon, cid: str) -> float:
    """Seconds."""
    call = f"{daemon.api_url}/api/v0/dag/export?arg={cid}"
    start = time.perf_counter()
    subprocess.run(["curl", "--silent", "--fail", "-X", "POST", call, "--output", "/dev/null"], check=True)
    return time.perf_counter() - start


class TimedCache(InputCache):
    """Notes when the last fetch ended."""

    fetched_at = 0.0

    @override
    def held(self, key: str, size: int, fetch: Fetch) -> AbstractAsyncContextManager[Path]:
        async def timed(path: Path) -> None:
            await fetch(path)
            self.fetched_at = time.perf_counter()

        return super().held(key, size, timed)


async def by_us(daemon: Daemon, cid: str, folder: Path, size: int) -> tuple[float, float]:
    """Seconds until all is written, and until the disk has it; by a node that has nothing cached."""
    offload = Threads()
    cache = TimedCache(folder, 2 * size + MB, offload)
    storage = Ipfs([Kubo(daemon.api, offload)], cache, offload)
    start = time.perf_counter()
    async with storage.prepared(CidInput(cid=cid, path="/inputs/x"), peer(1)) as prepared:
        end = time.perf_counter()
        assert prepared.path.stat().st_size == size
    return cache.fetched_at - start, end - start


def peak_mib() -> float:
    """The largest resident set of this process so far."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def main(folder: str | None = None) -> bool:
    """Print the rows; whether all are as they should be."""
    size = int(os.environ.get("KUBO_BENCH_MB", "1000")) * MB
    with (
        tempfile.TemporaryDirectory(dir=folder) as at,
        kubo_daemon(kubo_program(), Path(at) / "repo") as daemon,
    ):
        path = Path(at) / "file"
        with path.open("wb") as file:
            for _ in range(size // MB):
                file.write(os.urandom(MB))
        rows = [measured(daemon, name, daemon.add(path, *flags), Path(at), size) for name, flags in PROFILES.items()]
    return all(rows)


def measured(daemon: Daemon, name: str, cid: str, at: Path, size: int) -> bool:
    """One row."""
    before = peak_mib()
    curl, ours = [], []
    for number in range(ROUNDS):
        curl.append(by_curl(daemon, cid))
        ours.append(trio.run(by_us, daemon, cid, at / f"{name} {number}", size))
    fetched, on_disk = min(ours)
    growth, ratio = peak_mib() - before, min(curl) / fetched
    print(
        f"{name:15} {size // MB} MB: {size / MB / fetched:4.0f} MB/s (synced: {size / MB / on_disk:.0f}),"
        f" curl {size / MB / min(curl):4.0f} MB/s, ratio {ratio:.2f} (>= {RATIO_MIN});"
        f" memory +{growth:.0f} MiB (<= {GROWTH_MIB_MAX})"
    )
    return ratio >= RATIO_MIN and growth <= GROWTH_MIB_MAX


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:2]))
