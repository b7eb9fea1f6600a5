"""Probes as real commands and real servers, honest and hostile: whatever they do, an answer comes and nothing stays."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from doubles.peers import peer
from doubles.webanswers import breaks_off, endless, hangs_up, mute, redirects, says, stalls, web_server

from node import limits
from node.compute.policy import asked
from node.compute.probes import check_probe, probe_for
from node.config import SelectionConfig
from node.errors import OperatorError
from node.messages import Offer
from node.model import JobSpec, WasmEngine

GUARD_S = 60
SENDER = peer(1)
OFFER = Offer("1" * 32, "c" * 64, JobSpec(engine=WasmEngine(module="0" * 64)), 8)
QUESTION = asked(SENDER, OFFER)


def answers(config: SelectionConfig, times: int = 1, seconds: float = 20.0, question: bytes = QUESTION) -> list:
    """What one probe says to so many offers at the same time."""
    probe = probe_for(config, seconds)
    found = []

    async def ask(requester) -> None:
        found.append(await probe.refusal(question, requester))

    async def main() -> None:
        with trio.fail_after(GUARD_S):
            async with trio.open_nursery() as nursery:
                for number in range(times):
                    nursery.start_soon(ask, peer(number % 2))

    trio.run(main)
    return found


def by_command(command: str, **options) -> str | None:
    (answer,) = answers(SelectionConfig(probe_exec=command), **options)
    return answer


def by_http(url: str, **options) -> str | None:
    (answer,) = answers(SelectionConfig(probe_http=url), **options)
    return answer


def test_a_command_that_ends_well_takes_the_job_and_is_told_it(tmp_path: Path) -> None:
    assert by_command(f"cat > {tmp_path}/told; test $(wc -l < {tmp_path}/told) = 1") is None
    told = json.loads((tmp_path / "told").read_text())
    assert (told["requester"], told["client"], told["job"]) == (SENDER, "c" * 64, "1" * 32)
    assert told["spec"]["engine"]["module"] == "0" * 64


def test_another_exit_code_declines_and_what_it_prints_is_the_reason() -> None:
    assert by_command("echo not on Sundays; echo secret >&2; echo more; exit 3") == (
        "this node's operator declined the job: not on Sundays"
    )
    assert by_command("exit 3") == "this node's operator declined the job (its probe ended with exit code 3)"
    assert "exit code 127" in by_command("this-is-no-command 2>/dev/null")


def test_a_command_need_not_listen() -> None:
    assert by_command("exit 0", question=b"x" * 1_000_000) is None


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("kill -SEGV $$", "was ended by signal 11"),
        ("sleep 1000", "did not answer within 0.5 s"),
        ("trap '' TERM INT HUP; while :; do sleep 0.05; done", "did not answer within"),
        ("yes", "did not answer within"),
        ("kill -STOP $$", "did not answer within"),
        ("exec 0<&- 1>&-; sleep 1000", "did not answer within"),
    ],
)
def test_a_command_that_misbehaves_declines(command: str, words: str) -> None:
    assert words in by_command(command, seconds=0.5)


def test_a_flood_is_read_to_its_end_and_forgotten() -> None:
    said = by_command("head -c 50000000 /dev/zero | tr '\\0' x; exit 1")
    assert said.startswith("this node's operator declined the job: xxx")
    assert len(said) <= limits.REASON_CHARS_MAX


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pids: Sequence[int]) -> bool:
    """Killed processes are: init takes its time to reap them, not to end them."""
    left = [pid for pid in pids if alive(pid)]
    deadline = time.monotonic() + GUARD_S
    while left and time.monotonic() < deadline:
        left = [pid for pid in left if alive(pid)]
    return not left


@pytest.mark.parametrize("ending", ["exit 0", "sleep 1000"])
def test_whatever_a_command_leaves_behind_is_killed_with_it(tmp_path: Path, ending: str) -> None:
    """Children that hold its output open, for ever and with no ear for signals."""
    child = f"(trap '' TERM HUP; echo $i >> {tmp_path}/n; sleep 1000) & echo $! >> {tmp_path}/p"
    fork = f"for i in 1 2 3 4 5; do {child}; done"
    wait = f"while [ $(wc -l < {tmp_path}/n) -lt 5 ]; do :; done"
    answer = by_command(f"{fork}; {wait}; {ending}", seconds=20.0 if ending == "exit 0" else 4.0)
    assert (answer is None) == (ending == "exit 0")
    assert gone([int(pid) for pid in (tmp_path / "p").read_text().split()])


def test_what_leaves_the_group_is_not_waited_for(tmp_path: Path) -> None:
    leave = f"os.setsid(); open({str(tmp_path / 'p')!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    script = f"import os, time\nif os.fork() == 0:\n    {leave}\n"
    (tmp_path / "leaves.py").write_text(script)
    try:
        assert by_command(f"{sys.executable} {tmp_path}/leaves.py; while [ ! -s {tmp_path}/p ]; do :; done") is None
    finally:
        os.kill(int((tmp_path / "p").read_text()), signal.SIGKILL)


def test_a_cancelled_question_leaves_no_process(tmp_path: Path) -> None:
    probe = probe_for(
        SelectionConfig(probe_exec=f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/p; sleep 1000")
    )

    async def main() -> None:
        with trio.fail_after(GUARD_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(probe.refusal, QUESTION, SENDER)
                while not (tmp_path / "p").exists():  # noqa: ASYNC110
                    await trio.sleep(0.01)
                nursery.cancel_scope.cancel()

    trio.run(main)
    assert gone([int((tmp_path / "p").read_text())])


def test_few_run_at_once_and_nobody_is_forgotten(tmp_path: Path) -> None:
    running, count = tmp_path / "running", tmp_path / "count"
    running.mkdir()
    command = f"mkdir {running}/$$; ls {running} | wc -l >> {count}; sleep 0.05; rmdir {running}/$$"
    assert answers(SelectionConfig(probe_exec=command), times=24) == [None] * 24
    counts = [int(line) for line in count.read_text().split()]
    assert len(counts) == 24
    assert max(counts) <= limits.PROBES_AT_ONCE


def test_two_hundred_is_yes() -> None:
    with web_server({"/take": says(b"as you like")}) as web:
        assert by_http(web.url("/take")) is None
        (asked,) = web.asked
        assert (asked.method, asked.headers["content-type"], asked.body) == ("POST", "application/json", QUESTION)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(b"", 204), "its probe answered 204"),
        (says(b"no", 403), "its probe answered 403"),
        (says(b"", 500), "its probe answered 500"),
        (redirects("/yes"), "its probe answered 302"),
        (redirects("/yes", 307), "its probe answered 307"),
        (hangs_up, "could not be asked"),
        (mute, "did not answer within 0.5 s"),
    ],
)
def test_any_other_answer_is_no(answer, words: str) -> None:
    with web_server({"/take": answer, "/yes": says(b"")}) as web:
        assert words in by_http(web.url("/take"), seconds=0.5)
        assert len(web.asked) == 1


@pytest.mark.parametrize(
    "body", [says(b"x" * 10_000_000), endless(b"x" * 65536), stalls(b"long", 1), breaks_off(b"long", 1)]
)
def test_what_stands_below_the_answer_is_not_read(body) -> None:
    with web_server({"/take": body}) as web:
        assert by_http(web.url("/take")) is None


def test_nobody_there_is_no() -> None:
    assert "could not be asked" in by_http("http://127.0.0.1:1/take")


def test_a_command_goes_before_a_url() -> None:
    with web_server({"/take": says(b"")}) as web:
        (answer,) = answers(SelectionConfig(probe_exec="exit 1", probe_http=web.url("/take")))
        assert answer is not None
        assert not web.asked


@pytest.mark.parametrize("command", ["/nonexistent/probe", "no-such-program -e .spec", "/etc/passwd; true", "/tmp"])
def test_a_command_whose_program_is_not_there_stops_the_start(command: str) -> None:
    with pytest.raises(OperatorError, match=f"--job-selection-probe-exec: {command.split(';')[0].split()[0]} is no"):
        check_probe(SelectionConfig(probe_exec=command))


@pytest.mark.parametrize(
    "command",
    ["exit 1", "cat|wc", "/bin/sh -c true", "A=/nowhere true", "$PROBE", '"/no where"', "if true; then :; fi"],
)
def test_a_command_that_the_shell_may_find_does_not(command: str) -> None:
    check_probe(SelectionConfig(probe_exec=command))


def test_a_url_that_is_none_stops_the_start() -> None:
    check_probe(SelectionConfig(probe_http="http://127.0.0.1:8080/take"))
    with pytest.raises(OperatorError, match="--job-selection-probe-http"):
        check_probe(SelectionConfig(probe_http="ftp://127.0.0.1/take"))
    assert probe_for(SelectionConfig()) is None
