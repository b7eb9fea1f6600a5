"""The command line as a process: light, quiet, with documented exit codes; and the commands that need no node."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from doubles.fakenode import Handler, fake_node, frame
from msgspec.structs import replace
from nacl.signing import SigningKey
from unit.receipts import FILES, HONEST, REQUESTER, finished, planted, spec_of

from cli.exits import MEANINGS
from cli.main import COMMANDS, run
from node.identity import client_id_of, peer_id_of
from node.keyfile import load_or_create
from node.receipt.sign import make

HEAVY = ("libp2p", "wasmtime", "litestar", "httpx", "jwt", "nacl", "securesystemslib", "trio", "anycorn", "sqlite3")
LISTS_MODULES = """
import sys
from cli.main import run
code = run(sys.argv[1:])
sys.stderr.write("\\n".join(sorted(set(sys.modules))))
sys.exit(code)
"""
HANG_S = 60


def node(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """``python -m cli.main``."""
    command = [sys.executable, "-m", "cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, env={**os.environ, **env})


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["wasm", "run", "--help"], ["serve", "--help"]])
def test_what_asks_no_node_imports_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTS_MODULES, *arguments], capture_output=True, text=True, timeout=HANG_S
    )

    assert done.returncode == 0
    assert not set(HEAVY) & set(done.stderr.splitlines())


def test_help_has_every_command_and_every_exit_code() -> None:
    done = node("--help")

    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    for name, _, _ in COMMANDS:
        assert f"  {name}" in done.stdout
    for code, meaning in MEANINGS.items():
        assert f"{code.value}  {meaning}" in done.stdout


@pytest.mark.parametrize("place", [place for _, place, _ in COMMANDS])
def test_every_command_is_there_and_explains_itself(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = next(name for name, where, _ in COMMANDS if where == place)

    assert run([name, "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["nope"], ["job", "nope"], ["hash"], ["hash", ".", "--nope"], ["job", "list", "x"]]
)
def test_a_wrong_command_line_is_one_sentence_and_where_to_look(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "--help`" in err


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "Exit codes" in capsys.readouterr().out


def test_a_bug_says_that_it_is_one_and_debug_shows_where() -> None:
    with_a_bug = "import sys, cli.local, cli.main; del cli.local.version; sys.exit(cli.main.run(['version']))"
    broken = [sys.executable, "-c", with_a_bug]

    told = subprocess.run(broken, capture_output=True, text=True, timeout=HANG_S)
    assert told.returncode == 1
    assert "this is a bug" in told.stderr
    assert "Traceback" not in told.stderr
    shown = subprocess.run(
        broken, capture_output=True, text=True, timeout=HANG_S, env={**os.environ, "QUORATE_DEBUG": "1"}
    )
    assert shown.returncode == 1
    assert "Traceback" in shown.stderr


def test_a_file_that_cannot_be_used_is_no_bug(tmp_path: Path) -> None:
    too_long = tmp_path / ("x" * 300)
    done = node("hash", str(too_long))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {too_long}: File name too long\n")


def test_a_reader_that_has_had_enough_gets_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "version"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=HANG_S,
        )

    assert done.returncode == 1
    assert done.stderr == ""


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(tmp_path: Path) -> None:
    with fake_node() as fake:
        fake.job = replace(fake.job, state="running")

        def begins(handler: Handler) -> None:
            handler.begin(10_000, kind="text/event-stream")
            handler.wfile.write(frame(fake.events[0]))
            handler.rfile.read(1)

        fake.misbehaves[fake.path("/events")].append(begins)
        env = {**os.environ, "QUORATE_API": fake.url, "QUORATE_KEY": str(tmp_path / "client.key")}
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "job", "wait", fake.job.id], stderr=subprocess.PIPE, text=True, env=env
        )
        assert process.stderr is not None
        with process.stderr as lines:
            first = next(line for line in lines if "submitted" in line)
            process.send_signal(signal.SIGINT)
            rest = lines.read()
        assert process.wait(HANG_S) == 130

    assert first
    assert "goes on" in rest
    assert "job cancel" in rest
    assert "Traceback" not in rest
    assert fake.asked(fake.path("/cancel")) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--filecoin-unsealed-path", "/data/{{ nope }}"], "nope"),
        (["--api-host", "0.0.0.0"], "authorized-clients"),
        (["--limit-total-memory", "512m"], "512Mi"),
        (["--peer", "/ip4/1.2.3.4/nope"], "/ip4/HOST/tcp/PORT/p2p/PEER_ID"),
    ],
)
def test_a_node_that_cannot_run_as_configured_says_what_to_change(tmp_path: Path, flags: list[str], words: str) -> None:
    data = tmp_path / "data"
    done = node("serve", "--data-dir", str(data), "--swarm-port", "0", "--api-port", "0", *flags)

    assert done.returncode == 2
    assert not data.exists(), "a key was made for a node that does not run"
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


# Without a node ----------------------------------------------------------------------------------


def test_hash_is_what_nodes_vote_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reference's own value."""
    (tmp_path / "stdout").write_bytes(b"hello world 0")

    assert run(["hash", str(tmp_path)]) == 0
    assert capsys.readouterr() == ("h1:ri2aASQ1PskOnJLKeHLW43oBXXbnCJLus/BA4h4waQ4=\n", "")
    assert run(["hash", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hash"].startswith("h1:")


def test_hash_refuses_what_it_cannot_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["hash", str(tmp_path / "none")]) == 2
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert run(["hash", str(tmp_path)]) == 1
    assert "link" in capsys.readouterr().err


def test_verify_says_whether_a_receipt_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = planted(tmp_path / "results", FILES)
    receipt = tmp_path / "receipt.json"
    receipt.write_bytes(make(REQUESTER, finished(spec_of(), HONEST)))
    command = ["verify", str(receipt), str(results)]

    assert run(command) == 0
    assert "5 of 5" in capsys.readouterr().err
    assert run([*command, "--requester", REQUESTER.peer_id]) == 0
    assert run([*command, "--requester", "12D3KooWBmAwcd4PJNJvfV89HwE48nwkRmAgo8Vy3uQEyNNHBox2"]) == 1
    (results / "stdout").write_bytes(b"hello?\n")
    capsys.readouterr()
    assert run(command) == 1
    assert "stdout" in capsys.readouterr().err
    assert run([*command, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["holds"] is False
    assert run(["verify", str(tmp_path / "none"), str(results)]) == 2


def test_id_is_read_from_the_key_of_a_node_that_need_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["id", "--data-dir", str(tmp_path)]) == 1
    assert "serve" in capsys.readouterr().err
    key = load_or_create(tmp_path / "node.key")

    assert run(["id", "--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr() == (f"{peer_id_of(bytes(key.verify_key))}\n", "")
    assert run(["id", "--data-dir", str(tmp_path), "--pem"]) == 0
    assert capsys.readouterr().out.startswith("-----BEGIN PUBLIC KEY-----\n")
    (tmp_path / "node.key").chmod(0o644)
    assert run(["id", "--data-dir", str(tmp_path)]) == 1
    assert "chmod 600" in capsys.readouterr().err


def test_the_client_id_comes_with_the_line_for_an_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUORATE_KEY", str(tmp_path / "client.key"))
    key: SigningKey = load_or_create(tmp_path / "client.key")
    client = client_id_of(bytes(key.verify_key))

    assert run(["id", "--client"]) == 0

    out, err = capsys.readouterr()
    assert out == f"{client}\n"
    assert f"ed25519 {client} " in err
