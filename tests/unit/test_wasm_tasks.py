"""What a task asks of a worker: which workers it may have, and what they may reach."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from contract.executors import ROOMY

from node.executor.base import Mount, Task
from node.executor.wasm.pool import Place
from node.executor.wasm.tasks import READS_BYTES_MAX, key_of, paths_of
from node.model import ExecutionId, WasmEngine

RESULTS = Path("/scratch/run")


def a_task(*inputs: Mount) -> Task:
    return Task(
        execution=ExecutionId("0" * 32),
        tenant="requester/client",
        engine=WasmEngine(module="a" * 64),
        module=None,
        inputs=inputs,
        outputs=(),
        limits=ROOMY,
    )


def test_a_share_that_may_hang_is_not_looked_at_again(tmp_path: Path) -> None:
    share = Mount(tmp_path / "share" / "part", "/in/part", "/in", tmp_path / "share", inode=(7, 8))
    assert key_of(a_task(share), RESULTS).reads == (Place(os.fsencode(tmp_path / "share"), 7, 8),)


def test_the_nodes_own_data_is_what_lies_there_now(tmp_path: Path) -> None:
    own, found = Mount(tmp_path, "/in"), tmp_path.stat()
    assert key_of(a_task(own), RESULTS).reads == (Place(os.fsencode(tmp_path), found.st_dev, found.st_ino),)
    assert key_of(a_task(Mount(tmp_path / "gone", "/in")), RESULTS).reads[0].inode == 0


def test_inputs_with_too_many_paths_are_reached_by_the_folder_that_they_lie_in_and_stay_what_they_are() -> None:
    mounts = [Mount(Path(f"/data/{number:0200}"), f"/in/{number}", inode=(1, number)) for number in range(100)]
    key = key_of(a_task(*mounts), RESULTS)
    assert sum(len(place.path) for place in key.reads) > READS_BYTES_MAX
    assert paths_of(key.reads) == (b"/data",)
    assert paths_of(key.reads[:2]) == tuple(place.path for place in key.reads[:2])
    mounts[5] = replace(mounts[5], inode=(1, 1000))
    assert key_of(a_task(*mounts), RESULTS) != key


def test_other_fuel_or_another_profile_is_another_worker() -> None:
    task = a_task()
    keys = {
        key_of(replace(task, engine=WasmEngine(module="a" * 64, fuel=fuel, profile=profile)), RESULTS)  # type: ignore[arg-type]
        for fuel, profile in ((None, "deterministic"), (5, "deterministic"), (6, "deterministic"), (None, "native"))
    }
    assert len(keys) == 3
