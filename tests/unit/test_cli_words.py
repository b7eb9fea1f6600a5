"""What people read about a job: how it ended and what to do next, the whole of it, the table while it runs."""

from __future__ import annotations

import io

import msgspec
import pytest
from doubles.fakenode import history
from rich.console import Console
from unit.receipts import HONEST, NODES, ONE_LIAR, WRONG, finished, spec_of

from cli.describe import described
from cli.errors import BrokenAnswer
from cli.exits import Exit
from cli.live import ROWS_MAX, JobWatch, watching
from cli.outcome import kept_word, outcome_of
from cli.output import clean, short_peer
from node.api.viewing import job_view
from node.api.views import AnswerView, EventView, FailureView, GroupView, JobView, ResultsView, VerdictView
from node.model import Deal, IpfsPublisher, NonePublisher, Publisher, VaultPublisher, WasmEngine

NAMES = sorted(NODES)


def job(votes: tuple[str, ...] = HONEST, state: str = "completed", **changes: object) -> JobView:
    """A job as the API shows it; ``agreed`` as the machine sets it. What is of its one shard goes there."""
    facts = finished(spec_of(), votes)
    view = job_view(facts.record, facts.shards, {})
    (shard,) = view.details
    assert shard.verdict is not None
    runs = tuple(msgspec.structs.replace(run, agreed=run.hash == shard.verdict.hash) for run in shard.executions)
    own = {name: changes.pop(name) for name in ("executions", "verdict", "exit_code") if name in changes}
    if "exit_code" in own:
        own["results"] = msgspec.structs.replace(shard.results, exit_code=own.pop("exit_code"))
    details = (msgspec.structs.replace(shard, state=state, **{"executions": runs, **own}),)
    results = ResultsView(hash=shard.verdict.hash, files=4, bytes=30)
    return msgspec.structs.replace(view, state=state, **{"results": results, "details": details, **changes})


def failed(code: str, *, declined: str | None = None) -> JobView:
    answers = (AnswerView(peer="p", code=declined, reason="so", holds=False, wait_s=0.0),) if declined else ()
    nothing = {"results": None, "verdict": None, "executions": (), "draw": None}
    return job(state="failed", failure=FailureView(code=code, reason="because"), answers=answers, **nothing)


def test_a_verified_job_says_how_many_agree_and_what_to_do() -> None:
    outcome = outcome_of(job())

    assert outcome.exit is Exit.DONE
    assert outcome.headline.startswith("Verified: 5 of 5 nodes agree on h1:")
    assert outcome.why == ()
    assert "job get 01234567" in outcome.next_step


def test_who_disagreed_is_named() -> None:
    outcome = outcome_of(job(ONE_LIAR))
    liar = job(ONE_LIAR).details[0].executions[1].peer

    assert outcome.headline.startswith("Verified: 4 of 5")
    assert any(line.startswith("disagreed") and liar in line for line in outcome.why)


def test_a_winner_that_handed_over_something_else_is_named() -> None:
    runs = job().details[0].executions
    lying = job(executions=(msgspec.structs.replace(runs[0], lied="other bytes"), *runs[1:]))

    assert any(line.startswith("liar") and "other bytes" in line for line in outcome_of(lying).why)
    assert "LIED" in described(lying)


def test_a_job_without_agreement_shows_its_groups() -> None:
    groups = (GroupView(hash=WRONG, peers=(NAMES[0],)), GroupView(hash="", peers=(NAMES[1],)))
    verdict = VerdictView(kind="not_verified", hash="", groups=groups, reason="a draw")
    outcome = outcome_of(job(state="not_verified", verdict=verdict, results=None))

    assert outcome.exit is Exit.NOT_VERIFIED
    assert outcome.headline == "Not verified: a draw"
    assert outcome.why[0] == f"1 of 2: {WRONG} by {short_peer(NAMES[0])}"
    assert "(unreadable)" in outcome.why[1]
    assert "deterministic" in outcome.next_step


def test_one_nodes_word_is_not_called_verified() -> None:
    spec = spec_of("noop", Deal(concurrency=1))

    assert "not checked" in outcome_of(job(spec=spec)).headline


def test_an_exit_code_of_the_program_is_told() -> None:
    assert "the program ended with exit code 3" in outcome_of(job(exit_code=3)).why


@pytest.mark.parametrize("code", ["bids", "executions", "time", "hand_over", "restart", "room"])
def test_every_failure_says_what_to_do_next(code: str) -> None:
    outcome = outcome_of(failed(code))

    assert outcome.headline == "Failed: because"
    assert outcome.next_step
    assert "{" not in outcome.next_step
    assert "job describe" not in described(failed(code))


@pytest.mark.parametrize(
    ("publisher", "steps", "word"),
    [
        (VaultPublisher(), ("job get",), "kept"),
        (IpfsPublisher(), ("job receipt", "job describe"), "published"),
        (NonePublisher(), ("job receipt", "nobody keeps the files"), "won"),
    ],
)
def test_what_becomes_of_results_is_said_by_its_name(publisher: Publisher, steps: tuple[str, ...], word: str) -> None:
    view = job()
    view = msgspec.structs.replace(view, spec=msgspec.structs.replace(view.spec, publisher=publisher))

    assert all(step in outcome_of(view).next_step for step in steps)
    assert ("job describe" in outcome_of(view).next_step) == (word == "published")
    assert "job describe" not in described(view)
    assert kept_word(view) == word
    line = JobWatch(kept=kept_word(view)).line(event(1, "kept", "p", "h1:x"))
    assert line.split()[-2:] == [word, "h1:x"]


@pytest.mark.parametrize(
    ("declined", "words"),
    [
        ("data", "-v, -i and -u"),
        ("resources", "--cpu, --memory, --gpu and --timeout"),
        ("disk", "--disk"),
        ("full", "busy"),
        ("policy", "operators do not allow"),
        ("engine", "cannot run"),
        ("verifier", "--verifier"),
        ("internal", "trouble of their own"),
    ],
)
def test_missing_bids_are_put_down_to_why_nodes_declined(declined: str, words: str) -> None:
    step = outcome_of(failed("bids", declined=declined)).next_step
    assert words in step
    assert "--bid-timeout" not in step, "those who declined would decline later too"


def test_where_nobody_answered_waiting_longer_may_help() -> None:
    assert "--bid-timeout" in outcome_of(failed("bids")).next_step


@pytest.mark.parametrize(
    ("code", "words"),
    [("lost", "submit it again"), ("late", "submit it again"), ("time", "--timeout"), ("trap", "seen why")],
)
def test_a_vote_that_too_few_came_to_is_put_down_to_why_the_others_failed(code: str, words: str) -> None:
    first, *others = job().details[0].executions
    gone = [msgspec.structs.replace(run, state="failed", code=code, reason="so", hash=None) for run in others]
    groups = (GroupView(hash=WRONG, peers=(NAMES[0],)),)
    verdict = VerdictView(kind="not_verified", hash="", groups=groups, reason="only one node proposed a result")
    step = outcome_of(job(state="not_verified", executions=(first, *gone), verdict=verdict, results=None)).next_step

    assert words in step
    assert "deterministic" not in step


@pytest.mark.parametrize(("count", "words"), [(0, "0 bids, "), (1, "1 bid, "), (2, "2 bids, ")])
def test_bids_are_counted_in_words(count: int, words: str) -> None:
    bids = tuple(AnswerView(peer=name, code=None, reason="", holds=False, wait_s=0.0) for name in NAMES[:count])
    assert words in described(job(answers=bids))


def test_a_description_has_who_bid_who_declined_and_what_each_said() -> None:
    view = job(ONE_LIAR)
    text = described(view)

    for execution in view.details[0].executions:
        assert execution.execution in text
    for answer in view.answers:
        assert answer.peer in text
    assert "data: no such data" in text
    assert view.draw is not None
    assert view.draw.salt in text
    assert "disagreed" in text
    assert "  won" in text
    assert view.spec.engine.module in text


def test_a_job_under_way_says_by_when_it_ends() -> None:
    text = described(job(state="running", verdict=None, results=None, ended_at=None))

    assert "not yet; by 2023-" in text
    assert "verdict" not in text


def event(seq: int, kind: str, peer: str | None = None, text: str = "") -> EventView:
    at = f"2026-01-01T00:00:{seq:02d}.500Z"
    return EventView(seq=seq, at=at, kind=kind, peer=peer, execution=None, shard=None, text=text)


def shown(watch: JobWatch) -> str:
    screen = io.StringIO()
    Console(width=200, file=screen).print(watch.table())
    return screen.getvalue()


def test_the_table_fills_with_what_happens() -> None:
    watch = JobWatch({"peerA": "node-1", "peerB": "node-2", "peerC": "node-3"})
    told = [
        event(1, "submitted"),
        event(2, "bid", "peerA"),
        event(2, "declined", "peerB", "no such data"),
        event(3, "drawn", "peerA"),
        event(4, "started", "peerA"),
        event(5, "proposed", "peerA"),
    ]
    for one in told:
        watch.saw(one)

    assert watch.rows["peerA"] == {"bid": "✓ 1.00 s", "running": "✓ 3.00 s", "proposed": "✓ 4.00 s"}
    assert watch.rows["peerB"] == {"bid": "✗ no such data"}
    assert watch.rows["peerC"] == {}
    text = shown(watch)
    assert "node-1" in text
    assert "no such data" in text


def test_the_end_says_who_agreed_and_who_was_not_chosen() -> None:
    view = job(ONE_LIAR)
    watch = JobWatch()
    for seq, answer in enumerate(view.answers, 1):
        watch.saw(event(seq, "bid" if answer.code is None else "declined", answer.peer, answer.reason))
    watch.settled(view)

    agreed = [row.get("agreed", "") for row in watch.rows.values()]
    assert sorted(filter(None, agreed)) == ["✓ yes"] * 4 + ["✗ no"]
    assert [row["running"] for row in watch.rows.values() if row.get("running")] == ["not chosen"]


def test_a_crowd_is_cut_to_those_that_got_furthest() -> None:
    watch = JobWatch()
    for number in range(3 * ROWS_MAX):
        watch.saw(event(1, "bid", f"peer{number:03}"))
    watch.saw(event(2, "started", "peer119"))

    assert shown(watch).count("peer") == ROWS_MAX
    assert "peer119" in shown(watch)


def test_what_is_not_on_a_terminal_is_a_line_for_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(JobWatch()) as feed:
        for one in history("submitted", "offered", "bid", "ended"):
            feed(one)

    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split()[-1] for line in err.splitlines()] == ["submitted", "bid", "ended"]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(JobWatch(), quiet=True) as feed:
        feed(event(1, "submitted"))
        feed(job())

    assert capsys.readouterr() == ("", "")


def test_an_event_at_no_time_is_the_nodes_fault() -> None:
    with pytest.raises(BrokenAnswer, match="no time"):
        JobWatch().saw(msgspec.structs.replace(event(1, "bid", "p"), at="yesterday"))


def test_a_nodes_words_do_not_move_the_cursor() -> None:
    assert clean("a\x1b[2Jb\r\x07\u202ec\nd") == "a\ufffd[2Jb\ufffd\ufffd\ufffdc\nd"
    watch = JobWatch()
    watch.saw(event(1, "declined", "p", "\x1b[2J"))
    assert "\x1b[2J" not in shown(watch)


def test_how_a_program_runs_is_shown_where_it_is_not_as_usual() -> None:
    view = job()
    usual = described(view)
    engine = WasmEngine(
        module=view.spec.engine.module, profile="native", isolation="process", fuel=77, stdin="/inputs/a"
    )
    text = described(msgspec.structs.replace(view, spec=msgspec.structs.replace(view.spec, engine=engine)))
    for name, value in (("profile", "native"), ("isolation", "process"), ("fuel", "77"), ("stdin", "/inputs/a")):
        assert [line.split() for line in text.splitlines() if line.split()[:1] == [name]] == [[name, value]]
        assert not any(line.split()[:1] == [name] for line in usual.splitlines())
