"""What people read about a job of thousands of shards: its sum, what failed, and never a screen without end."""

from __future__ import annotations

import msgspec
import pytest
from unit.receipts import many
from unit.test_cli_words import event, shown

from cli.describe import described
from cli.live import JobWatch, watching
from cli.outcome import outcome_of
from node.api.viewing import job_view
from node.api.views import ExecutionView, FailureView, JobView, PathsView, ShardView, TallyView
from node.journal.records import Tally

AGREED = ("right", "right", "right")
SHARDS = 10_000


def shard(
    number: int, state: str = "failed", sources: tuple[str, ...] = (), *, paths: tuple[str, ...] = ("/inputs/a",)
) -> ShardView:
    run = ExecutionView(
        execution=f"{number:032x}",
        peer="12D3KooWnode",
        state="failed" if state == "failed" else "proposed",
        hash=None,
        code="trap" if state == "failed" else None,
        reason="it trapped" if state == "failed" else "",
        agreed=None,
        lied=None,
        sources=sources,
        wait_s=0.0,
    )
    failure = FailureView(code="executions", reason=f"nobody ran number {number}") if state == "failed" else None
    seen = PathsView(count=len(paths), first=paths[:10])
    return ShardView(
        shard=number, state=state, paths=seen, executions=(run,), verdict=None, failure=failure, results=None
    )


def large(*details: ShardView, state: str = "failed", **tally: int) -> JobView:
    facts = many([AGREED], [{"stdout": b""}])
    counts = TallyView(**(msgspec.structs.asdict(Tally()) | tally))
    view = job_view(facts.record, (), {})
    reason = FailureView(code="executions", reason="40 of 10000 shards have no result")
    return msgspec.structs.replace(
        view, shards=SHARDS, tally=counts, details=details, state=state, failure=reason if state == "failed" else None
    )


def test_of_ten_thousand_shards_a_description_is_a_page_or_two() -> None:
    failed = [shard(number) for number in range(40)]
    others = [shard(number, "completed") for number in range(40, 100)]
    text = described(large(*failed, *others, completed=SHARDS - 40, failed=40))

    lines = text.splitlines()
    assert len(lines) < 150
    assert "10000 shards: 9960 completed, 40 failed" in text
    assert "of 40 without a result the first 20 (`quorate job shards 01234567 --troubled` has all):" in text
    assert "shard 3: failed: nobody ran number 3" in text
    assert "it trapped" in text
    assert "  and 9950 more" in text


def test_an_outcome_of_many_failures_is_cut() -> None:
    outcome = outcome_of(large(*(shard(number) for number in range(100)), completed=SHARDS - 100, failed=100))

    assert outcome.headline == "Failed: 40 of 10000 shards have no result"
    assert len(outcome.why) <= 21
    assert outcome.why[0] == "10000 shards: 9900 completed, 100 failed"
    assert "job describe" in outcome.why[-1]


def test_what_a_failed_shard_saw_is_told_by_its_first_path_and_how_many_more() -> None:
    one, many_paths = shard(0, paths=("/inputs/alone",)), shard(1, paths=tuple(f"/inputs/{n}" for n in range(12)))
    hostile, unknown = shard(2, paths=("/inputs/a\nshard 9: \x1b[2J" + "x" * 4000, "/b")), shard(3, paths=())
    fine = shard(4, "completed", paths=("/inputs/fine",))

    lines = described(large(one, many_paths, hostile, unknown, fine, completed=SHARDS - 4, failed=4)).splitlines()

    after = {line: lines[index + 1] for index, line in enumerate(lines[:-1])}
    assert after["shard 0: failed: nobody ran number 0"] == "  of /inputs/alone"
    assert after["shard 1: failed: nobody ran number 1"] == "  of /inputs/0 and 11 more"
    cut = after["shard 2: failed: nobody ran number 2"]
    assert cut.startswith("  of /inputs/a\ufffdshard 9: \ufffd[2Jxxx")
    assert cut.endswith("x… and 1 more")
    assert len(cut) < 600
    assert "it trapped" in after["shard 3: failed: nobody ran number 3"]
    assert "/inputs/fine" not in "".join(lines)


def test_a_verified_job_of_many_shards_says_how_many() -> None:
    outcome = outcome_of(large(state="completed", completed=SHARDS))

    assert outcome.headline == "Verified: 10000 of 10000 shards, each by a vote of its own"


def test_which_source_served_each_input_is_told() -> None:
    text = described(large(shard(1, "completed", ("filecoin_unsealed",)), state="completed", completed=SHARDS))
    assert "inputs from filecoin_unsealed" in text

    facts = many([AGREED], [{"stdout": b""}])
    record = facts.shards[0]
    runs = tuple(
        msgspec.structs.replace(run, sources=(source,))
        for run, source in zip(record.executions, ("ipfs", "filecoin_unsealed", ""), strict=True)
    )
    text = described(job_view(facts.record, (msgspec.structs.replace(record, executions=runs),), {}))
    assert "apples from ipfs" in text
    assert "apples from filecoin_unsealed" in text


def test_the_table_counts_votes_of_shards() -> None:
    watch = JobWatch(shards=SHARDS)
    for seq in range(1, 4):
        watch.saw(msgspec.structs.replace(event(seq, "verdict", text="verified"), shard=seq))

    assert "3 votes are over" in shown(watch)
    assert watch.line(msgspec.structs.replace(event(3, "verdict"), shard=7)).split()[2:] == ["shard", "7", "verdict"]
    failed = msgspec.structs.replace(event(3, "execution_failed", "peerA", "trap"), shard=7)
    assert watch.line(failed).split()[2:5] == ["shard", "7", "peerA"]


def test_of_many_shards_only_what_a_person_can_follow_gets_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(JobWatch(shards=SHARDS)) as feed:
        for seq, kind in enumerate(("submitted", "bid", "drawn", "started", "proposed", "verdict", "kept", "ended"), 1):
            feed(msgspec.structs.replace(event(seq, kind), shard=7))

    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == [
        "submitted",
        "bid",
        "verdict",
        "ended",
    ]


def test_a_bid_that_says_more_is_a_bid() -> None:
    watch = JobWatch()
    watch.saw(event(1, "bid", "peerA", "it holds the data"))

    assert watch.rows["peerA"]["bid"].startswith("✓")


def test_the_one_shard_of_a_job_is_not_numbered() -> None:
    watch = JobWatch()
    watch.saw(msgspec.structs.replace(event(1, "verdict", text="verified"), shard=0))

    assert watch.phase == "verified"
    assert watch.line(msgspec.structs.replace(event(3, "verdict"), shard=0)).split()[2:] == ["job", "verdict"]


@pytest.mark.parametrize("state", ["completed", "failed"])
def test_the_end_of_many_shards_is_their_tally(state: str) -> None:
    watch = JobWatch()
    watch.settled(large(shard(1), state=state, completed=SHARDS - 1, failed=1))

    assert watch.phase == f"{state}: 9999 completed, 1 failed"
    assert not watch.rows
