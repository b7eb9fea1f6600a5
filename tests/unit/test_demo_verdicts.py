"""The demo's words about a verdict: who agreed, who did not, what became of a job without one."""

from __future__ import annotations

import msgspec

from cli.demo import verdicts
from node.api.views import FailureView, GroupView, JobView, PathsView, ShardView, TallyView, VerdictView
from node.journal.records import Tally
from node.model import JobSpec, WasmEngine

NAMES = {"a": "node-1", "b": "node-2", "c": "node-3 (liar)"}


def job(state: str, kind: str = "", *groups: tuple[str, ...], failure: str = "") -> JobView:
    named = tuple(GroupView(hash=f"h1:{number}", peers=peers) for number, peers in enumerate(groups))
    won = "h1:0" if kind == "verified" else ""
    verdict = VerdictView(kind=kind, hash=won, groups=named, reason="2 of 3 agree where 3 must") if kind else None
    shard = ShardView(
        shard=0,
        state=state,
        paths=PathsView(count=0, first=()),
        executions=(),
        verdict=verdict,
        failure=None,
        results=None,
    )
    return JobView(
        id="1f",
        name="census",
        state=state,
        submitted_at="",
        deadline="",
        ended_at=None,
        spec=JobSpec(engine=WasmEngine(module="0" * 64)),
        spec_sha256="",
        answers=(),
        plan_sha256=None,
        draw=None,
        shards=1,
        tally=TallyView(**msgspec.structs.asdict(Tally())),
        details=(shard,),
        reason="",
        failure=FailureView(code="bids", reason=failure) if failure else None,
        results=None,
    )


def test_all_agree() -> None:
    ended = job("completed", "verified", ("a", "b", "c"))

    assert verdicts.lines(ended, NAMES) == ("VERIFIED: 3 of 3 nodes agree on h1:0",)
    assert (verdicts.agreed(ended), verdicts.disagreed(ended)) == (("a", "b", "c"), ())


def test_who_was_outvoted_is_named_with_what_it_said() -> None:
    ended = job("completed", "verified", ("a", "b"), ("c",))

    assert verdicts.lines(ended, NAMES) == (
        "VERIFIED: 2 of 3 nodes agree on h1:0",
        "DISAGREED: node-3 (liar) proposed h1:1",
    )
    assert verdicts.disagreed(ended) == ("c",)


def test_without_enough_votes_the_groups_are_shown_and_nobody_is_said_to_be_right() -> None:
    ended = job("not_verified", "not_verified", ("b", "a"), ("c",))

    assert verdicts.lines(ended, NAMES) == (
        "NOT VERIFIED: 2 of 3 agree where 3 must",
        "  group 1: 2 of 3: node-1, node-2  h1:0",
        "  group 2: 1 of 3: node-3 (liar)  h1:1",
    )
    assert (verdicts.agreed(ended), verdicts.disagreed(ended)) == ((), ())


def test_a_vote_whose_winners_did_not_hand_over_is_no_success() -> None:
    ended = job("failed", "verified", ("a", "b", "c"), failure="no winner handed over what won")

    assert verdicts.lines(ended, NAMES) == ("FAILED: no winner handed over what won",)


def test_a_job_that_never_came_to_a_vote_says_why() -> None:
    assert verdicts.lines(job("failed", failure="1 of 5 bids"), NAMES) == ("FAILED: 1 of 5 bids",)


def test_a_peer_without_a_name_goes_by_its_id() -> None:
    assert verdicts.lines(job("completed", "verified", ("a", "b"), ("x",)), NAMES)[1] == "DISAGREED: x proposed h1:1"
