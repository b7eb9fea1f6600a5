"""Receipts of jobs with several shards: each vote is recounted, each file is its own, what is missing is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs
from unit.receipts import REQUESTER, WRONG, finished, manifest_of_files, many, planted, refusal, spec_of

from node import spec
from node.model import Deal, InlineFile, InlineInput, JobSpec
from node.receipt.check import Broken, Holds, check
from node.receipt.layout import COMBINED, combined
from node.receipt.sign import enveloped, make
from node.receipt.statement import InTotoStatement, Outcome, stated
from node.verifier.manifest import Line, Manifest

AGREED, LOST, NOT_BEGUN = ("right", "right", "wrong"), ("right", "wrong", "unreadable"), ()
FILES: list[dict[str, bytes]] = [
    {"exitCode": b"0", "stdout": b"one\n", "stderr": b"", "outputs/a": b"A", "outputs/same": b"S"},
    {"exitCode": b"0", "stdout": b"two\n", "stderr": b"e", "outputs/b/c": b"B", "outputs/same": b"S"},
    {"exitCode": b"1", "stdout": b"", "stderr": b"f"},
    {"exitCode": b"0", "stdout": b"four\n", "stderr": b"", "outputs/a": b"other"},
]
FACTS = many([AGREED, AGREED, LOST, AGREED], FILES)
GENUINE = stated(REQUESTER.peer_id, FACTS)
TOLD = GENUINE.predicate
RECEIPT = make(REQUESTER, FACTS)


def why(**changes: Any) -> str:
    return refusal(structs.replace(GENUINE, predicate=structs.replace(TOLD, **changes)))


def why_shard(number: int, **changes: Any) -> str:
    shards = list(TOLD.shards)
    shards[number] = structs.replace(shards[number], **changes)
    return why(shards=tuple(shards))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for number in (0, 1, 3):
        planted(tmp_path / "per_shard" / str(number), FILES[number])
    return tmp_path


def in_results(results: Path) -> str:
    checked = check(RECEIPT, results)
    assert isinstance(checked, Broken)
    return checked.why


def test_it_holds_and_says_which_shards_have_no_result(results: Path) -> None:
    checked = check(RECEIPT, results)
    assert isinstance(checked, Holds)
    assert checked.predicate.missing == (2,)
    assert checked.files == 14
    assert "agree" in checked.predicate.shards[2].reason or "draw" in checked.predicate.shards[2].reason


def test_a_shard_that_never_began_is_there_too() -> None:
    checked = check(make(REQUESTER, many([AGREED, NOT_BEGUN], FILES[:2])))
    assert isinstance(checked, Holds)
    assert checked.predicate.missing == (1,)
    assert checked.predicate.shards[1].reason == "it did not begin"


def test_every_shard_has_nodes_of_its_own() -> None:
    nodes = {tuple(run.node for run in shard.executions) for shard in TOLD.shards}
    assert len(nodes) > 1


def test_a_receipt_without_any_result_does_not_hold() -> None:
    nothing = tuple(structs.replace(shard, manifest=None, source=None, reason="lost") for shard in TOLD.shards)
    empty = structs.replace(TOLD, shards=nothing, manifest=Manifest(()).h1())
    assert refusal(structs.replace(GENUINE, subject=(), predicate=empty)) == "there is no result in it"


def test_a_vote_that_was_won_cannot_be_called_lost() -> None:
    lost = Outcome(kind="not_verified", hash="", groups=TOLD.shards[0].verdict.groups)
    told = why_shard(0, verdict=lost, manifest=None, source=None, reason="nobody agreed")
    assert told.startswith("shard 0: recounted, the vote is won by h1:")
    lost = structs.replace(TOLD.shards[0].verdict, kind="not_verified")
    assert "the vote is won by" in why_shard(0, verdict=lost, manifest=None, source=None, reason="nobody agreed")


def test_a_vote_that_was_lost_cannot_be_called_won() -> None:
    verdict = structs.replace(TOLD.shards[2].verdict, kind="verified", hash=WRONG)
    assert why_shard(2, verdict=verdict).startswith("shard 2: recounted, the vote has no winner")


def test_shards_do_not_swap_their_votes_or_files() -> None:
    one, other, *rest = TOLD.shards
    swapped = (structs.replace(other, shard=0), structs.replace(one, shard=1), *rest)
    assert "not those of the plan" in why(shards=swapped)
    moved = (
        structs.replace(one, executions=other.executions),
        structs.replace(other, executions=one.executions),
        *rest,
    )
    assert "salt draws" in why(shards=moved) or "another shard" in why(shards=moved)
    assert "did not come from" in why_shard(0, source=TOLD.shards[0].executions[2].node)


@pytest.mark.parametrize(
    ("shards", "problem"),
    [
        (TOLD.shards[:-1], "not those of the plan"),
        (TOLD.shards[::-1], "not all there, in order"),
        ((*TOLD.shards, structs.replace(TOLD.shards[0], shard=4)), "is there twice"),
        ((*TOLD.shards, structs.replace(TOLD.shards[0], shard=4, executions=())), "not those of the plan"),
        ((structs.replace(TOLD.shards[0], paths_sha256="00" * 32), *TOLD.shards[1:]), "not those of the plan"),
        ((structs.replace(TOLD.shards[0], paths_sha256=None), *TOLD.shards[1:]), "does not say what it saw"),
    ],
)
def test_the_shards_are_those_of_the_plan(shards: Any, problem: str) -> None:
    assert problem in why(shards=shards)


def test_the_plan_is_named() -> None:
    assert "not those of the plan" in why(plan_sha256="00" * 32)
    whole = stated(REQUESTER.peer_id, finished(spec_of(), ("right",) * 5))
    planned = structs.replace(whole.predicate, plan_sha256=spec.plan_sha256((("/a",),)))
    assert "no shards" in refusal(structs.replace(whole, predicate=planned))


def test_what_is_kept_has_a_source_and_what_is_not_a_reason() -> None:
    assert "nothing says why" in why_shard(2, reason="")
    assert "what is not kept" in why_shard(2, source=TOLD.shards[2].executions[0].node)
    assert "both a result and a reason" in why_shard(0, reason="odd")
    assert "did not win" in why_shard(2, manifest=WRONG)
    assert "shard 0 that the receipt names" in why_shard(0, manifest=None, source=None, reason="lost on the way")


def test_files_are_of_a_shard_that_there_is() -> None:
    for name in (
        "per_shard/4/stdout",
        "per_shard/03/stdout",
        "stdout",
        "per_shard/x/stdout",
        "combined_results/stdout",
    ):
        subject = structs.replace(GENUINE.subject[-1], name=name)
        assert "is of no shard" in refusal(structs.replace(GENUINE, subject=(*GENUINE.subject[:-1], subject)))


def test_files_of_a_shard_without_a_result_are_none_of_its() -> None:
    subject = structs.replace(GENUINE.subject[0], name="per_shard/2/stdout")
    told = refusal(structs.replace(GENUINE, subject=tuple(sorted((*GENUINE.subject, subject), key=lambda s: s.name))))
    assert "shard 2" in told


def test_files_of_a_shard_that_was_won_are_not_left_out() -> None:
    subjects = tuple(subject for subject in GENUINE.subject if not subject.name.startswith("per_shard/1/"))
    lines = tuple(Line(subject.digest.sha256, f"results/{subject.name}") for subject in subjects)
    without = structs.replace(TOLD, manifest=Manifest(lines).h1())
    assert "shard 1 that the receipt names" in refusal(structs.replace(GENUINE, subject=subjects, predicate=without))


def test_of_a_file_and_a_folder_of_one_name_the_first_is_taken() -> None:
    manifests = {
        0: manifest_of_files({"outputs/x": b"file", "outputs/y/z": b"below"}),
        1: manifest_of_files({"outputs/x/a": b"below", "outputs/y": b"file", "outputs/z": b"new"}),
    }
    made = combined(manifests)
    assert {name: shard for name, (shard, _) in made.files.items()} == {
        "outputs/x": 0,
        "outputs/y/z": 0,
        "outputs/z": 1,
    }
    assert made.differing == 2


def test_contents_of_inline_files_are_in_no_receipt() -> None:
    files = {"a": InlineFile(content=b"secret")}
    job = spec.completed(structs.replace(TOLD.spec, inputs=(InlineInput(files=files, path="/inputs"),)))
    assert "not complete" in why(spec=job, spec_sha256=spec.spec_hash(job))
    job = spec.stripped(job)
    assert isinstance(check(enveloped(REQUESTER, with_spec(job))), Holds)


def with_spec(job: JobSpec) -> InTotoStatement:
    return structs.replace(GENUINE, predicate=structs.replace(TOLD, spec=job, spec_sha256=spec.spec_hash(job)))


def test_a_proposal_that_did_not_come_in_time_is_no_vote() -> None:
    late = many([("right", "right", "late"), AGREED], FILES[:2])
    checked = check(make(REQUESTER, late))
    assert isinstance(checked, Holds)
    assert checked.predicate.shards[0].executions[2].code == "late"


def test_a_run_that_was_under_way_when_all_was_over_is_called_cancelled() -> None:
    facts = many([AGREED, AGREED], FILES[:2])
    first, second = facts.shards
    runs = tuple(structs.replace(run, state="running", hash=None) for run in second.executions)
    cut_off = structs.replace(second, state="cancelled", executions=runs, verdict=None, results=None)
    alone = many([AGREED, NOT_BEGUN], FILES[:2])
    checked = check(make(REQUESTER, dataclasses.replace(alone, shards=(first, cut_off))))
    assert isinstance(checked, Holds)
    assert {run.code for run in checked.predicate.shards[1].executions} == {"cancelled"}
    assert checked.predicate.shards[1].reason == "cancelled"


# Results on disk ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda folder: (folder / "per_shard/1/stdout").unlink(), "'per_shard/1/stdout' is missing"),
        (lambda folder: (folder / "per_shard/3/stdout").write_bytes(b"x"), "'per_shard/3/stdout' is not the one"),
        (lambda folder: (folder / "per_shard/0/more").write_bytes(b""), "'per_shard/0/more' is not one of the results"),
        (lambda folder: (folder / "per_shard/2").mkdir(), "'per_shard/2' is not one of the results"),
        (lambda folder: (folder / "more").write_bytes(b""), "the file 'more' is not one of the results"),
        (lambda folder: (folder / COMBINED).write_bytes(b""), "is no folder"),
        (lambda folder: (folder / COMBINED).symlink_to(folder), "is no folder"),
    ],
)
def test_every_file_of_every_shard_counts(results: Path, change: Any, problem: str) -> None:
    change(results)
    assert problem in in_results(results)


def with_combined(results: Path) -> Path:
    merged = {
        "stdout": b"one\ntwo\nfour\n",
        "stderr": b"e",
        "outputs/a": b"A",
        "outputs/b/c": b"B",
        "outputs/same": b"S",
    }
    planted(results / COMBINED, merged)
    return results


def test_what_is_made_of_all_shards_is_checked_to_be_that(results: Path) -> None:
    assert isinstance(check(RECEIPT, with_combined(results)), Holds)


@pytest.mark.parametrize("name", ["stdout", "stderr", "outputs/a", "outputs/b/c", "outputs/more"])
def test_anything_else_made_of_them_is_not(results: Path, name: str) -> None:
    (with_combined(results) / COMBINED / name).write_bytes(b"something else")
    assert f"combined_results/{name}" in in_results(results)


def test_the_second_of_two_different_files_is_not_the_combined_one(results: Path) -> None:
    (with_combined(results) / COMBINED / "outputs/a").write_bytes(b"other")
    assert "'combined_results/outputs/a' is not the one that won" in in_results(results)


# Size ---------------------------------------------------------------------------------------------------------------


def test_a_sharded_job_of_one_shard_lies_at_the_top(tmp_path: Path) -> None:
    facts = many([AGREED], FILES[:1])
    assert {subject.name for subject in stated(REQUESTER.peer_id, facts).subject} == set(FILES[0])
    assert isinstance(check(make(REQUESTER, facts), planted(tmp_path, FILES[0])), Holds)


def test_many_shards_cost_no_more_each_than_a_few() -> None:
    """1,000 shards; a check that looked at all of them for each would take minutes."""
    count = 1_000
    votes = [("right", "right")] * count
    facts = many(votes, [{"stdout": b"%d\n" % number} for number in range(count)], Deal(concurrency=2, confidence=2))
    receipt = make(REQUESTER, facts)
    checked = check(receipt)
    assert isinstance(checked, Holds)
    assert checked.predicate.missing == ()
    assert len(receipt) < 3_000 * count
    assert msgspec.json.decode(receipt)
