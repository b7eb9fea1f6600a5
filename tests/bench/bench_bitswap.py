"""Bitswap between processes on this machine: two nodes of ours, and one of ours with Kubo both ways.

``python -m tests.bench.bench_bitswap [FOLDER]``: FOLDER is where blocks and files are put (default: the temporary one).
``BITSWAP_BENCH_MB`` is the size of the file (default 1000); then come many small files in one folder, to ours alone:
Kubo reads those from anybody one after the other. Kubo comes from ``tests/tools/kubo.sh``.

A fetch ends when the file is written, so each row includes reading, hashing and writing at both ends. Memory is the
growth of the largest resident set of our node, or nodes, over what it was with libp2p loaded and nothing done.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio

ROOT = Path(__file__).parent.parent.parent
for place in (ROOT, ROOT / "tests"):  # Also when started by path.
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

from contract.transports import Recorder  # noqa: E402
from doubles.kubo import Kubo, kubo_daemon  # noqa: E402
from doubles.peers import identity  # noqa: E402

from node import limits  # noqa: E402
from node.ambient import Ambient  # noqa: E402
from node.storage.ipfs import reader  # noqa: E402
from node.storage.ipfs.cid import Cid  # noqa: E402
from node.storage.ipfs.embedded import Embedded  # noqa: E402
from node.transport.libp2p.transport import Libp2pTransport  # noqa: E402

MB = 10**6
AMBIENT = Ambient()
OURS_MB_PER_S_MIN, KUBO_MB_PER_S_MIN, GROWTH_MIB_MAX = 60, 40, 64
SMALL_FILES, SMALL_S_MAX = 10_000, 4.0
STORE_BYTES = 16 * limits.GiB


def peak_kib() -> int:
    """The largest resident set of this process so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def say(**words: object) -> None:
    """To the process that started this one."""
    print(json.dumps(words), flush=True)


@asynccontextmanager
async def node(folder: Path, number: int) -> AsyncIterator[tuple[Libp2pTransport, Embedded]]:
    """A node of ours on a free port of loopback."""
    transport = Libp2pTransport(identity(number), "127.0.0.1", 0)
    blocks = Embedded(transport, folder, STORE_BYTES, AMBIENT)
    async with trio.open_nursery() as nursery:
        await nursery.start(transport.run, Recorder())
        nursery.start_soon(blocks.run)
        yield transport, blocks
        nursery.cancel_scope.cancel()


async def serve(folder: Path, number: int, file: Path) -> None:
    """Have a file, until standard input ends."""
    async with node(folder, number) as (transport, blocks):
        before = peak_kib()
        start = time.perf_counter()
        root = await blocks.add(file)
        add_s = time.perf_counter() - start
        say(address=transport.addresses[0], cid=str(root), add_s=add_s)
        await trio.to_thread.run_sync(sys.stdin.read)
        say(growth_kib=peak_kib() - before)


async def fetch(folder: Path, number: int, address: str, cid: str) -> None:
    """Fetch a file from whoever is at an address."""
    async with node(folder, number) as (transport, blocks):
        before = peak_kib()
        await transport.connect(address)
        root = Cid.parse(cid)
        start = time.perf_counter()
        async with blocks.session(root) as session:
            await reader.write(session, root, folder / "fetched", 2**40, AMBIENT.offload)
        say(fetch_s=time.perf_counter() - start, growth_kib=peak_kib() - before)


@contextmanager
def process(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """This file in a process of its own."""
    command = [sys.executable, __file__, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        yield started


def told(started: subprocess.Popen[str]) -> dict[str, Any]:
    """The next words of a process."""
    assert started.stdout is not None
    words: dict[str, Any] = json.loads(started.stdout.readline())
    return words


def end(started: subprocess.Popen[str]) -> dict[str, Any]:
    """Let a server end; its last words."""
    assert started.stdin is not None
    started.stdin.close()
    return told(started)


def ours_to_ours(scratch: Path, file: Path) -> tuple[float, int]:
    """Seconds, and KiB that the larger of the two grew by."""
    with process("serve", scratch / "giver", 1, file) as giver:
        has = told(giver)
        with process("fetch", scratch / "taker", 2, has["address"], has["cid"]) as taker:
            done = told(taker)
        growth = end(giver)["growth_kib"]
    check(scratch / "taker" / "fetched", file)
    return done["fetch_s"], max(done["growth_kib"], growth)


def kubo_to_ours(scratch: Path, file: Path, kubo: Kubo) -> tuple[float, int]:
    """The same, of ours alone."""
    cid = kubo.add(file, "--cid-version=1", "--chunker=size-1048576")
    with process("fetch", scratch / "from_kubo", 3, kubo.swarm, cid) as taker:
        done = told(taker)
    check(scratch / "from_kubo" / "fetched", file)
    return done["fetch_s"], done["growth_kib"]


def ours_to_kubo(scratch: Path, file: Path, kubo: Kubo) -> tuple[float, int]:
    """The same."""
    with process("serve", scratch / "to_kubo", 4, file) as giver:
        has = told(giver)
        kubo.swarm_connect(has["address"])
        start = time.perf_counter()
        kubo.ipfs("get", "--output", str(scratch / "gotten"), has["cid"])
        took_s = time.perf_counter() - start
        growth = end(giver)["growth_kib"]
    check(scratch / "gotten", file)
    return took_s, growth


def check(one: Path, other: Path) -> None:
    """Nothing is fast that is wrong."""
    assert hashes(one) == hashes(other)
    if one.is_dir():
        shutil.rmtree(one)
    else:
        one.unlink()


def hashes(path: Path) -> dict[str, bytes]:
    """Of a file, or of each in a folder, by its name."""
    found = {}
    for one in path.iterdir() if path.is_dir() else (path,):
        with one.open("rb") as file:
            found[one.name if path.is_dir() else ""] = hashlib.file_digest(file, "sha256").digest()
    return found


def made(folder: Path, name: str, size: int) -> Path:
    """A file of random bytes."""
    path = folder / name
    with path.open("wb") as file:
        for _ in range(size // MB):
            file.write(os.urandom(MB))
    return path


def made_small(folder: Path, name: str) -> Path:
    """A folder of small files."""
    path = folder / name
    path.mkdir()
    for number in range(SMALL_FILES):
        (path / f"{number:06}.txt").write_bytes(os.urandom(100))
    return path


def row(name: str, size: int, measured: tuple[float, int], least: int) -> bool:
    """One line of the table; whether it is as it should be."""
    took_s, growth_kib = measured
    rate, growth_mib = size / MB / took_s, growth_kib / 1024
    print(f"{name:<16}{rate:>8.1f} MB/s (at least {least}){growth_mib:>8.1f} MiB more", flush=True)
    return rate >= least and growth_mib <= GROWTH_MIB_MAX


def small_row(name: str, measured: tuple[float, int]) -> bool:
    """The same of the small files."""
    took_s, growth_kib = measured
    print(f"{name:<16}{took_s:>8.1f} s (at most {SMALL_S_MAX:g}){growth_kib / 1024:>8.1f} MiB more", flush=True)
    return took_s <= SMALL_S_MAX and growth_kib / 1024 <= GROWTH_MIB_MAX


def main(where: str | None = None, program: str | None = None) -> bool:
    """Print one row for each direction; whether all are as they should be. ``program``: Kubo's."""
    size = int(os.environ.get("BITSWAP_BENCH_MB", "1000")) * MB
    with tempfile.TemporaryDirectory(dir=where) as folder:
        scratch = Path(folder)
        print(f"a file of {size // MB} MB; at most {GROWTH_MIB_MAX} MiB more")
        rows = [row("ours from ours", size, ours_to_ours(scratch, made(scratch, "one", size)), OURS_MB_PER_S_MIN)]
        if program is None:
            return all(rows)
        with kubo_daemon(program, scratch / "kubo") as kubo:
            least = KUBO_MB_PER_S_MIN
            rows += [row("ours from Kubo", size, kubo_to_ours(scratch, made(scratch, "two", size), kubo), least)]
            rows += [row("Kubo from ours", size, ours_to_kubo(scratch, made(scratch, "three", size), kubo), least)]
            print(f"a folder of {SMALL_FILES} small files")
            small = scratch / "small"
            small.mkdir()
            rows += [small_row("ours from ours", ours_to_ours(small, made_small(small, "one")))]
            rows += [small_row("ours from Kubo", kubo_to_ours(small, made_small(small, "two"), kubo))]
    return all(rows)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", folder, number, file]:
            trio.run(serve, Path(folder), int(number), Path(file))
        case ["fetch", folder, number, address, cid]:
            trio.run(fetch, Path(folder), int(number), address, cid)
        case _:
            from doubles.kubo import kubo_program

            sys.exit(not main(*sys.argv[1:2], program=kubo_program()))
