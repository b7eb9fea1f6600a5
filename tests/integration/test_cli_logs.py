"""``job logs`` over real sockets: bytes go where they belong, also after a lost connection; none steer a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from doubles.fakenode import FakeNode, asked_from, breaks_off, fake_node, problem, says

from cli.logs import _Pen
from cli.main import run
from node.api.views import LogView

EXECUTION = "e" * 32


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    with fake_node() as fake:
        asked_from(tmp_path, fake, monkeypatch)
        yield fake


def event(kind: str, *, stdout: int = 0, stderr: int = 0, data: bytes = b"", text: str = "") -> bytes:
    view = LogView(
        kind=kind, shard=0, execution=EXECUTION, peer="12D3KooWx", stdout=stdout, stderr=stderr, data=data, text=text
    )
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(view))


OUT = event("stdout", stdout=5, data=b"\xffone\n")
ERR = event("stderr", stdout=5, stderr=4, data=b"two\n")
END = event("end", stdout=5, stderr=4, text="over and out")


def answers(node: FakeNode, *actions) -> None:
    node.misbehaves[node.path("/logs")].extend(actions)


def stream(*events: bytes):
    return says(b"".join(events), kind="text/event-stream")


def test_each_stream_goes_to_its_own_and_words_for_people_to_standard_error(node, capfdbinary):
    answers(node, stream(event("execution", text="as it says"), OUT, b": still here\n\n", ERR, END))

    assert run(["job", "logs", node.job.id[:8]]) == 0

    shown = capfdbinary.readouterr()
    assert shown.out == b"\xffone\n"
    assert f"output of {EXECUTION} on ".encode() in shown.err
    assert b"two\n" in shown.err
    assert b"over and out" in shown.err


def test_following_ends_with_the_job_and_its_exit_code(node, capfdbinary):
    answers(node, stream(OUT, END))

    assert run(["job", "logs", "-f", node.job.id[:8], "--shard", "0", "--execution", "ee"]) == 0

    assert b"Verified" in capfdbinary.readouterr().err
    (asked,) = [request for request in node.seen if request.path == node.path("/logs")]
    assert "last-event-id" not in asked.headers
    assert asked.query == "shard=0&execution=ee&follow=true"


def test_the_node_finds_the_shard_of_an_execution(node, capfdbinary):
    answers(node, stream(OUT, END))

    assert run(["job", "logs", node.job.id[:8], "--execution", "ee"]) == 0

    (asked,) = node.asked(node.path("/logs"))
    assert asked.query == "execution=ee&follow=false"


def test_a_lost_connection_is_taken_up_behind_what_came(node, capfdbinary):
    body = OUT + ERR
    answers(node, breaks_off(body + b"more", len(OUT)), stream(ERR, END))

    assert run(["job", "logs", "-f", node.job.id[:8]]) == 0

    assert capfdbinary.readouterr().out == b"\xffone\n"
    assert [seen.headers.get("last-event-id") for seen in node.asked(node.path("/logs"))] == [None, f"{EXECUTION}.5.0"]


def test_without_following_a_lost_connection_is_the_end(node, capfdbinary):
    answers(node, breaks_off(OUT + b"more", len(OUT)))

    assert run(["job", "logs", node.job.id[:8]]) == 4


@pytest.mark.parametrize(
    "answer",
    [stream(b"data: {}\n\n"), stream(b"data: " + b"x" * 2_000_000), problem(409, "conflict", "the vote is open")],
)
def test_what_no_node_says_is_an_error_in_a_sentence(node, capfdbinary, answer):
    answers(node, answer)

    assert run(["job", "logs", "-f", node.job.id[:8]]) == 1

    assert b"error: " in capfdbinary.readouterr().err


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


def test_a_terminal_is_given_text_alone():
    raw = io.BytesIO()
    pen = _Pen(Terminal(raw, encoding="utf-8"))
    for piece in ("gr\u00fcn".encode()[:3], "gr\u00fcn".encode()[3:], b"\x1b]0;title\x07\x9b2J\tok\n"):
        pen.write(piece)
    assert raw.getvalue().decode() == "gr\u00fcn\ufffd]0;title\ufffd\ufffd2J\tok\n"
