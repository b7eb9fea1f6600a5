"""What the results of all shards together take of the limits that one receipt has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.errors import NoRoom
from node.journal.records import JobRecord
from node.model import JobSpec, WasmEngine
from node.receipt.layout import folder_of
from node.requester.incoming import Collected, weighed
from node.verifier.manifest import Line, manifest_of, parse

SPEC = JobSpec(engine=WasmEngine(module="0" * 64))
PARTS = st.lists(st.sampled_from(("a", "b", "per_shard", "results")), max_size=4)


def collected(shards):
    record = JobRecord(
        job="a" * 32, client="b" * 64, spec=SPEC, spec_sha256="0" * 64, submitted_at=0.0, deadline=1.0, shards=shards
    )
    return Collected(record, None)


def manifest(paths):
    return manifest_of(Line("0" * 64, f"results/{path}") for path in paths)


def folders_of(whole):
    """All of them, by their names."""
    parts = [line.name.split("/") for line in whole.lines]
    return {"/".join(name[:end]) for name in parts for end in range(1, len(name))}


def take(job, shard, files):
    job.manifests[shard] = files
    job.make_room(shard, weighed(files, folder_of(shard, job.record.shards)))


def test_folders_that_all_shards_lie_in_count_once():
    job = collected(100)
    for shard in range(100):
        take(job, shard, manifest(["stdout"]))
    assert job._total.folders == len(folders_of(job.manifest())) == 102


@given(st.lists(st.lists(PARTS, min_size=1, max_size=6), min_size=2, max_size=6))
def test_folders_are_counted_as_they_are(shards):
    job = collected(len(shards))
    for shard, paths in enumerate(shards):
        take(job, shard, manifest({"/".join((*parts, "file")) for parts in paths}))
    whole = job.manifest()
    assert job._total.folders == len(folders_of(whole))
    assert job._total.files == len(whole.lines)
    assert job._total.manifest_bytes == len(whole.render())


ALONE = limits.BLOB_FILES_BYTES + 1
SMALL = limits.BLOB_FILES_MAX


@pytest.mark.parametrize(
    ("sizes", "ends"),
    [
        pytest.param([1], [1], id="one"),
        pytest.param([1] * SMALL, [SMALL], id="as many as one blob brings"),
        pytest.param([0] * (2 * SMALL + 1), [SMALL, 2 * SMALL, 2 * SMALL + 1], id="more"),
        pytest.param([ALONE - 2, 1, 1, 3], [2, 4], id="as many bytes as one blob brings"),
        pytest.param([1, ALONE, 1, 0, ALONE, ALONE, 1], [1, 2, 4, 5, 6, 7], id="larger ones go alone"),
        pytest.param([2**40, 0, 0], [1, 3], id="also beside files without bytes"),
    ],
)
def test_files_share_a_blob_up_to_so_many_and_so_many_bytes(sizes, ends):
    incoming = collected(1).incoming(0)
    incoming.sizes, found = tuple(sizes), []
    while incoming.whole < len(sizes):
        incoming.whole = incoming.end_of_blob()
        found.append(incoming.whole)
    assert found == ends


def test_as_many_shards_as_a_job_may_have_can_have_eight_output_folders_each():
    job = collected(limits.SHARDS_MAX)
    files = manifest(["stdout", *(f"output-{number}/x" for number in range(8))])
    for shard in range(limits.SHARDS_MAX):
        take(job, shard, files)
    assert job._total.folders == 9 * limits.SHARDS_MAX + 2
    assert len(parse(job.manifest().render()).lines) == 9 * limits.SHARDS_MAX


def test_a_folder_more_than_a_receipt_may_have_is_refused_until_a_shard_gives_its_own_back():
    job = collected(3)
    half = limits.RESULT_FILES_MAX // 2
    deep = manifest([f"{number:05}/x" for number in range(half - 2)])
    take(job, 0, deep)
    take(job, 1, deep)  # 2 * (half - 2) of theirs, one for each of them, and the two that all share.
    with pytest.raises(NoRoom, match="as many folders"):
        take(job, 2, manifest(["stdout"]))
    job.give_back(0)
    take(job, 2, manifest(["stdout"]))
