"""What the size of unsealed data costs a job, and how long 100,000 files take to list: rows and ratios, no timed test.

``python -m tests.bench.bench_unsealed [FOLDER]``: FOLDER is where the data is made (default: the temporary folder). The
node keeps what is its own in ``/dev/shm``, so that the data is on another file system, as a share is.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
for place in (ROOT, ROOT / "tests"):
    if str(place) not in sys.path:  # Also when started by path.
        sys.path.insert(0, str(place))

import httpx  # noqa: E402
from contract.wasm_modules import Text, command, copied_to_stdout  # noqa: E402
from doubles.realnode import real_node  # noqa: E402

from node import limits  # noqa: E402
from node.storage import tree  # noqa: E402

ROUNDS = 40
LISTED_S_MAX = 3.0
RATIO_MAX = 1.25  # 1 within noise
SIZES = {"small": 10 * limits.MiB, "large": 1 * limits.GiB}
WAYS = ("a folder", "a single file", "a shard of one file")
SHARDED = {"glob_pattern": "*", "base_path": "/inputs", "batch_size": 1}


def main(where: str | None = None) -> bool:
    """Make the data below ``where`` and print a row for each; whether all are as they should be."""
    with tempfile.TemporaryDirectory(dir=where) as scratch:
        folder = Path(scratch)
        is_listed = listing(folder / "many")
        return starting(folder) and is_listed


def listing(folder: Path) -> bool:
    """100,000 files in 100 folders."""
    for number in range(100):
        (folder / str(number)).mkdir(parents=True)
        for name in range(1000):
            (folder / str(number) / str(name)).touch()
    times = []
    for name, look in (("list", tree.listed), ("size", tree.size)):
        begun = time.perf_counter()
        look(folder)
        times.append(time.perf_counter() - begun)
        print(f"  {name} of 100,000 files: {times[-1]:.2f} s   (at most {LISTED_S_MAX:g})")
    return max(times) <= LISTED_S_MAX


def starting(folder: Path) -> bool:
    """The same job on little and on much unsealed data, in turns, so that both meet the same machine."""
    copies = folder / "copies"
    for name, size in SIZES.items():
        written(copies / name, size)
        (copies / f"{name}.file").hardlink_to(copies / name / "data")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere, node_over(copies, Path(elsewhere)) as http:
        module = http.post("/v1/modules", content=first_bytes().data).json()["sha256"]
        rows = []
        for way in WAYS:
            ran(http, module, "small", way)
            orders = [list(SIZES), list(reversed(SIZES))]
            times = [{name: ran(http, module, name, way) for name in orders[turn % 2]} for turn in range(ROUNDS)]
            rows.append(compared(way, times))
    return all(rows)


def compared(way: str, times: list[dict[str, tuple[float, float]]]) -> bool:
    """A row for each of what ``ran`` measures; whether all are as they should be."""
    ratios = []
    for index, what in enumerate(("from the draw to the start of the run", "from submitting to the results")):
        small, large = (statistics.median(round_[name][index] for round_ in times) * 1000 for name in SIZES)
        ratios.append(large / small)
        row = f"10 MiB {small:.1f} ms, 1 GiB {large:.1f} ms, ratio {ratios[-1]:.2f}"
        print(f"  {way}, {what}: {row}   (at most {RATIO_MAX})")
    return max(ratios) <= RATIO_MAX


def written(folder: Path, size: int) -> None:
    """One file without holes."""
    folder.mkdir(parents=True)
    piece = os.urandom(limits.MiB)
    with (folder / "data").open("wb") as file:
        for _ in range(size // limits.MiB):
            file.write(piece)


def first_bytes() -> Any:
    """A program that copies the first 64 KiB of ``data`` to its standard output."""
    text = Text()
    return command(copied_to_stdout(text(b"data")), text)


@contextmanager
def node_over(copies: Path, data_dir: Path) -> Iterator[httpx.Client]:
    """Signed in at a node that has what lies in ``copies``."""
    with real_node(data_dir, "--filecoin-unsealed-path", f"{copies}/{{{{ cid }}}}") as node, node.client() as http:
        yield http


def ran(http: httpx.Client, module: str, name: str, way: str) -> tuple[float, float]:
    """Seconds from the draw to the start of the run, and from submitting to the end."""
    is_file = way == "a single file"
    inputs = [{"type": "cid", "cid": f"{name}.file" if is_file else name, "path": f"/inputs{'/data' * is_file}"}]
    spec: dict[str, Any] = {"name": name, "engine": {"type": "wasm", "module": module}, "inputs": inputs}
    if way == "a shard of one file":
        spec["sharding"] = SHARDED
    begun = time.perf_counter()
    job = http.post("/v1/jobs", json=spec, headers={"prefer": "wait=60"}).json()
    took = time.perf_counter() - begun
    assert job["state"] == "completed", job
    at = {event["kind"]: datetime.fromisoformat(event["at"]) for event in history(http, job["id"])}
    return (at["started"] - at["drawn"]).total_seconds(), took


def history(http: httpx.Client, job: str) -> list[dict[str, Any]]:
    """What is told of a job that has ended."""
    lines = http.get(f"/v1/jobs/{job}/events").text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:2]))
