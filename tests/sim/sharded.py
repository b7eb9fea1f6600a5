"""Jobs of many shards over one folder of small files that every node holds, and what is left of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
from sim.cluster import Cluster, spec

from node.executor.base import Task
from node.executor.scripted import Play
from node.journal.records import JobRecord
from node.model import CidInput, JobSpec, Sharding
from node.receipt.check import Holds, check

CID = "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"


def plant(nodes: Cluster, count: int) -> None:
    """``count`` files of one line each, on every node."""
    for number in range(len(nodes.nodes)):
        folder = nodes.folder / str(number) / "unsealed" / CID
        folder.mkdir(parents=True)
        for index in range(count):
            (folder / name(index)).write_text(f"line {index}\n")


def name(index: int) -> str:
    return f"file{index:05}.txt"


def sharded(batch_size: int = 1, pattern: str = "/*.txt", **rest: object) -> JobSpec:
    job = spec(**{"concurrency": 3, "inputs": (CidInput(cid=CID, path="/inputs"),)} | rest)
    return msgspec.structs.replace(
        job, sharding=Sharding(glob_pattern=pattern, base_path="/inputs", batch_size=batch_size)
    )


def cat(task: Task) -> Play:
    """What ``cat`` gives of all files that the run sees, in the order of their names."""
    seen = sorted((mount.guest, path) for mount in task.inputs for path in _files(mount.host))
    text = b"".join(path.read_bytes() for _, path in seen)
    return Play(stdout=text, files={"outputs/count": str(len(seen)).encode()}, takes_s=1.0)


def lying(*shards_with: bytes):
    """As ``cat``, but for runs that see one of these lines."""

    def script(task: Task) -> Play:
        play = cat(task)
        lies = any(line in play.stdout.split(b"\n") for line in shards_with)
        return replace(play, stdout=b"lie") if lies else play

    return script


def stdout_of(nodes: Cluster, record: JobRecord) -> dict[int, list[str]]:
    """The lines that each shard wrote, of the shards that are kept."""
    kept = nodes.nodes[0].results.folder(record) / "per_shard"
    return {int(path.parent.name): path.read_text().splitlines() for path in kept.glob("*/stdout")}


async def receipt_holds(nodes: Cluster, record: JobRecord) -> Holds:
    """The receipt, checked against everything that is kept."""
    receipt = await nodes.nodes[0].jobs.receipt(record.client, record.job)
    checked = check(receipt, nodes.nodes[0].results.folder(record))
    assert isinstance(checked, Holds), checked
    return checked


def _files(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
