"""``wasm run``, ``job`` and ``peers`` against an API over real sockets: what they send, print and return."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path

import jwt
import msgspec
import pytest
from doubles.fakenode import FakeNode, Handler, asked_from, fake_node, frame, hangs_up, problem, says
from unit.receipts import FILES, REQUESTER

from cli.main import run
from node.api.views import FailureView, JobView
from node.model import JobSpec, WasmEngine

MODULE = b"\0asm\x01\0\0\0"
SHA256 = hashlib.sha256(MODULE).hexdigest()
OTHER = "12D3KooWBmAwcd4PJNJvfV89HwE48nwkRmAgo8Vy3uQEyNNHBox2"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """A node with a verified job, and a module in the working folder."""
    with fake_node() as fake:
        asked_from(tmp_path, fake, monkeypatch)
        (tmp_path / "my.wasm").write_bytes(MODULE)
        yield fake


def test_a_run_uploads_submits_waits_and_says_what_to_do_next(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["wasm", "run", "my.wasm", "-v", "apples:/data", "--", "-n", "5"]) == 0

    out, err = capsys.readouterr()
    assert out == f"{node.job.id}\n"
    assert "Verified: 5 of 5 nodes agree" in err
    assert "job get" in err
    (upload,) = [request for request in node.asked("/v1/modules") if request.method == "POST"]
    assert (upload.body, upload.headers["content-length"]) == (MODULE, str(len(MODULE)))
    (submit,) = node.asked("/v1/jobs")
    spec = msgspec.json.decode(submit.body)
    assert msgspec.convert(spec["engine"], WasmEngine) == WasmEngine(module=SHA256, args=("-n", "5"))
    assert spec["inputs"] == [{"type": "cid", "cid": "apples", "path": "/data", "verify": False}]


VOTED = ("--verifier", "deterministic", "-c", "3")


@pytest.mark.parametrize(
    ("flags", "is_warned"),
    [((*VOTED, "--profile", "native"), True), (VOTED, False), (("--profile", "native"), False)],
)
def test_votes_over_what_a_machine_decides_are_warned_of_and_allowed(
    node: FakeNode, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], is_warned: bool
) -> None:
    assert run(["wasm", "run", "my.wasm", "--id-only", *flags]) == 0

    out, err = capsys.readouterr()
    assert out == f"{node.job.id}\n"
    assert ("honest ones may disagree" in err) == is_warned
    (submit,) = node.asked("/v1/jobs")
    assert msgspec.json.decode(submit.body)["engine"].get("profile", "deterministic") == (
        "native" if "native" in flags else "deterministic"
    )


def test_a_profile_that_there_is_not_is_a_usage_error(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["wasm", "run", "my.wasm", "--profile", "fast"]) == 2
    assert "--profile" in capsys.readouterr().err


def test_a_module_that_the_node_has_is_not_sent_again(node: FakeNode) -> None:
    node.modules.add(SHA256)

    assert run(["wasm", "run", "my.wasm"]) == 0

    assert node.asked("/v1/modules") == []


def test_id_only_prints_the_id_and_waits_for_nothing(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    (Path.cwd() / "client.key").unlink(missing_ok=True)
    assert run(["id", "--client"]) == 0
    capsys.readouterr()

    assert run(["wasm", "run", "my.wasm", "--id-only"]) == 0

    assert capsys.readouterr() == (f"{node.job.id}\n", "")
    assert node.asked(node.path("/events")) == []


def test_json_is_the_job_as_the_api_shows_it(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["wasm", "run", "my.wasm", "--json"]) == 0

    assert msgspec.json.decode(capsys.readouterr().out, type=JobView) == node.job


def test_download_puts_the_results_there(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["wasm", "run", "my.wasm", "--download", "--output-dir", "results"]) == 0

    assert (Path.cwd() / "results" / "stdout").read_bytes() == FILES["stdout"]
    assert "job get" not in capsys.readouterr().err


def test_a_dry_run_needs_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUORATE_API", "http://127.0.0.1:1")
    monkeypatch.setenv("QUORATE_KEY", str(tmp_path / "client.key"))
    (tmp_path / "my.wasm").write_bytes(MODULE)

    assert run(["wasm", "run", str(tmp_path / "my.wasm"), "-c", "3", "--dry-run"]) == 0

    out, err = capsys.readouterr()
    assert msgspec.json.decode(out)["deal"]["confidence"] == 2
    assert err == ""
    assert not (tmp_path / "client.key").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--confidence", "6", "--concurrency", "5"],
        ["--download", "--no-wait"],
        ["--output-dir", "x"],
        ["--id-only", "--json"],
        ["--verifier", "hope"],
        ["--memory", "lots"],
        ["--wait-timeout-secs", "soon"],
        ["--download", "--output-dir", "."],
        ["--nope"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_refused_before_the_node_is_asked(
    node: FakeNode, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    assert run(["wasm", "run", "my.wasm", *flags]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 2, "what is wrong, and what to do"
    assert node.seen == []


@pytest.mark.parametrize(
    ("state", "code", "exit_code"),
    [("not_verified", None, 3), ("failed", "bids", 1), ("failed", "time", 5), ("cancelled", None, 1)],
)
def test_how_a_job_ended_is_the_exit_code(node: FakeNode, state: str, code: str | None, exit_code: int) -> None:
    failure = FailureView(code=code, reason="so") if code else None
    node.job = msgspec.structs.replace(node.job, state=state, failure=failure, results=None)

    assert run(["job", "wait", node.job.id]) == exit_code
    assert run(["wasm", "run", "my.wasm"]) == exit_code


def test_waiting_resumes_after_the_last_event_that_came(node: FakeNode) -> None:
    def breaks(handler: Handler) -> None:
        handler.begin(10_000, kind="text/event-stream")
        handler.wfile.write(b"".join(map(frame, node.events[:3])))
        handler.close_connection = True

    node.job = msgspec.structs.replace(node.job, state="running")
    node.misbehaves[node.path("/events")] += [breaks, hangs_up]

    run(["job", "wait", node.job.id])

    assert [request.headers["last-event-id"] for request in node.asked(node.path("/events"))] == ["0", "3", "3"]


def test_a_wait_ends_when_the_callers_patience_does(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    def says_nothing(handler: Handler) -> None:
        handler.begin(10_000, kind="text/event-stream")
        handler.rfile.read(1)

    node.job = msgspec.structs.replace(node.job, state="running")
    node.misbehaves[node.path("/events")] += [says_nothing]

    assert run(["job", "wait", node.job.id, "--timeout", "300ms"]) == 5

    assert "job cancel" in capsys.readouterr().err


def test_the_key_is_made_on_first_use_and_said_once(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    key = Path.cwd() / "client.key"

    assert run(["job", "list"]) == 0
    assert str(key) in capsys.readouterr().err
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert run(["job", "list"]) == 0
    assert str(key) not in capsys.readouterr().err


def test_tokens_are_for_this_node_alone_and_short(node: FakeNode) -> None:
    assert run(["peers"]) == 0

    (asked,) = node.asked("/v1/peers")
    claims = jwt.decode(asked.headers["authorization"].removeprefix("Bearer "), options={"verify_signature": False})
    assert claims["aud"] == REQUESTER.peer_id
    assert claims["exp"] - claims["iat"] <= 900


def test_a_prefix_is_enough_and_data_goes_to_standard_output(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["job", "describe", node.job.id[:8]]) == 0
    assert node.job.id in capsys.readouterr().out
    assert run(["job", "describe", node.job.id[:8], "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=JobView) == node.job
    assert run(["job", "cancel", node.job.id[:8]]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["../../v1/node", "a b", "a/b", "?x", ""])
def test_what_is_no_id_never_reaches_the_node(node: FakeNode, name: str) -> None:
    assert run(["job", "describe", name]) == 2
    assert node.seen == []


def test_a_refused_spec_is_a_usage_error_with_the_flag(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.misbehaves["/v1/jobs"].append(problem(422, "invalid_spec", "expected less", "$.deal.concurrency"))

    assert run(["wasm", "run", "my.wasm"]) == 2
    assert "error: --concurrency: expected less\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "forbidden"), (404, "not_found"), (409, "conflict"), (429, "too_many"), (500, "internal")],
)
def test_a_refusal_is_told_in_the_nodes_words(
    node: FakeNode, capsys: pytest.CaptureFixture[str], status: int, code: str
) -> None:
    node.misbehaves["/v1/jobs"].append(problem(status, code, "in the node's \x1b[2J words"))

    assert run(["job", "list"]) == 1
    assert "in the node's \ufffd[2J words" in capsys.readouterr().err


@pytest.mark.parametrize("body", [b"", b"garbage", b"[]", b'{"peer_id": 7}', b"\xff\xfe", b"[" * 100_000])
def test_an_answer_that_is_none_is_told_as_such(
    node: FakeNode, capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    node.misbehaves["/v1/node"].append(says(body))

    assert run(["job", "list"]) == 1
    assert "not what a node answers" in capsys.readouterr().err


def test_an_answer_without_end_is_not_read_to_it(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.misbehaves["/v1/jobs"].append(problem(500, "internal", "x" * 100_000))

    assert run(["job", "list"]) == 1
    assert "an answer of more than" in capsys.readouterr().err


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")

    assert run(["job", "list"]) == 0


def test_another_node_at_the_same_address_is_noticed(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    def restarted(handler: Handler) -> None:
        handler.fake.peer_id = OTHER
        problem(401, "not_signed_in", "this token is for another node")(handler)

    node.misbehaves["/v1/jobs"].append(restarted)

    assert run(["job", "list"]) == 1
    err = capsys.readouterr().err
    assert "another node answers" in err
    assert OTHER in err


def test_no_node_there_is_exit_code_4_and_makes_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUORATE_KEY", str(tmp_path / "client.key"))

    assert run(["job", "list", "--api", "http://127.0.0.1:1"]) == 4

    assert "serve" in capsys.readouterr().err
    assert not (tmp_path / "client.key").exists()


def test_a_node_that_hangs_up_is_exit_code_4(node: FakeNode) -> None:
    node.misbehaves["/v1/node"].append(hangs_up)

    assert run(["peers"]) == 4


@pytest.mark.parametrize(
    "url", ["", "localhost:1234", "ftp://x", "http://", "http://x:y", "http://h/path", "http://[::"]
)
def test_what_is_no_url_says_how_to_write_one(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["peers", "--api", url]) == 2
    assert "http://HOST:PORT" in capsys.readouterr().err


def test_a_dry_run_with_sharding_asks_the_node_for_the_shards(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = [["/inputs/1.csv", "/inputs/2.csv"], ["/inputs/3.csv"]]
    node.misbehaves["/v1/plan"].append(says(msgspec.json.encode({"shards": shards})))

    assert run(["wasm", "run", "my.wasm", "-i", "bafy", "--sharding-glob-pattern", "*.csv", "--dry-run"]) == 0

    shown = msgspec.json.decode(capsys.readouterr().out)
    assert shown["shards"] == shards
    assert shown["spec"]["sharding"]["base_path"] == "/inputs"
    assert node.asked("/v1/jobs") == []


def test_small_files_are_sent_with_the_spec(node: FakeNode) -> None:
    assert run(["wasm", "run", "my.wasm", "--input-file", "my.wasm:/conf/x"]) == 0

    (submit,) = node.asked("/v1/jobs")
    (sent,) = msgspec.json.decode(submit.body, type=JobSpec).inputs
    assert (sent.path, sent.files["x"].content) == ("/conf", MODULE)
