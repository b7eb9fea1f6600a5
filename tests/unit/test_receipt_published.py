"""Published results are verified as a publisher left them, shard by shard and execution by execution."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from unit.receipts import REQUESTER, finished, many, planted, spec_of

from node import spec
from node.model import LocalPublisher
from node.publisher.base import below
from node.receipt.check import Broken, Checked, Holds, check
from node.receipt.sign import enveloped
from node.receipt.statement import Facts, Predicate, stated

AGREED, LOST = ("wrong", "right", "right"), ("right", "wrong", "unreadable")
FILES = [{"exitCode": b"0", "stdout": b"%d" % number, "outputs/a": b"x"} for number in range(3)]


def published(folder: Path, facts: Facts, files: Sequence[dict[str, bytes]] = FILES) -> tuple[bytes, Path, Predicate]:
    """A receipt, the job's folder as a publisher leaves it, and what the receipt says."""
    genuine = stated(REQUESTER.peer_id, facts)
    told = genuine.predicate
    job = structs.replace(told.spec, publisher=LocalPublisher(folder="/mnt/share"))
    shards = []
    for shard in told.shards:
        runs = [run for run in shard.executions if run.node == shard.source]
        for run in runs:
            place = below(REQUESTER.peer_id, told.job, shard.shard, run.execution)
            planted(folder / place, files[shard.shard])
            shard = structs.replace(shard, location=f"file:///mnt/share/{place}")
        shards.append(shard)
    told = structs.replace(told, spec=job, spec_sha256=spec.spec_hash(job), shards=tuple(shards))
    receipt = enveloped(REQUESTER, structs.replace(genuine, predicate=told))
    return receipt, folder / REQUESTER.peer_id / told.job, told


def place_of(told: Predicate, number: int) -> str:
    shard = told.shards[number]
    return next(f"{number}/{run.execution}" for run in shard.executions if run.node == shard.source)


def checked(folder: Path, change: Any = None) -> Checked:
    receipt, job, told = published(folder, many([AGREED, LOST, AGREED], FILES))
    if change is not None:
        change(job, job / place_of(told, 2))
    return check(receipt, job)


def test_shards_are_verified_as_they_were_published(tmp_path: Path) -> None:
    found = checked(tmp_path)
    assert isinstance(found, Holds)
    assert (found.files, found.predicate.missing) == (6, (1,))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda job, last: (last / "stdout").write_bytes(b"other"), "is not the one that won"),
        (lambda job, last: (last / "stdout").unlink(), "is missing"),
        (lambda job, last: (last / "more").write_bytes(b""), "more' is not one of the results"),
        (lambda job, last: last.rename(last.with_name("f" * 32)), f"the folder '2/{'f' * 32}' is not one"),
        (lambda job, last: (last.with_name("f" * 32)).mkdir(), f"the folder '2/{'f' * 32}' is not one"),
        (lambda job, last: last.parent.rename(job / "1"), "the folder '1' is not one"),
        (lambda job, last: last.parent.rename(job.parent / "gone"), "cannot be checked"),
        (lambda job, last: (job / "stdout").write_bytes(b""), "the file 'stdout' is not one"),
        (lambda job, last: last.rename(job / "x") and last.symlink_to(job / "x"), "is not one of the results"),
    ],
)
def test_nothing_else_passes(tmp_path: Path, change: Any, problem: str) -> None:
    found = checked(tmp_path, change)
    assert isinstance(found, Broken)
    assert problem in found.why


def test_one_shard_is_verified_by_the_folder_of_its_job_and_by_its_own(tmp_path: Path) -> None:
    receipt, job, told = published(tmp_path, finished(spec_of(), ("right",) * 5, FILES[0]))
    assert isinstance(check(receipt, job), Holds)
    assert isinstance(check(receipt, job / place_of(told, 0)), Holds)
    (job / place_of(told, 0) / "stdout").write_bytes(b"other")
    assert isinstance(check(receipt, job), Broken)


def test_what_was_published_may_lie_as_a_node_hands_it_out(tmp_path: Path) -> None:
    """As results on IPFS do that were fetched into such folders."""
    receipt, _, _ = published(tmp_path / "share", many([AGREED, LOST, AGREED], FILES))
    for number in (0, 2):
        planted(tmp_path / "got" / "per_shard" / str(number), FILES[number])
    assert isinstance(check(receipt, tmp_path / "got"), Holds)
