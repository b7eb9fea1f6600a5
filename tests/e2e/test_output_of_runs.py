"""Output on three real nodes: watched while it is written, left out of a vote, and named when it spoils one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from contract.wasm_modules import Text, Wasm, command, put, wat
from doubles.realnode import RealNode, real_node
from e2e.traces import clean_environment
from e2e.users import PATIENCE_S, QUORATE, User

from cli.client import Client
from node.keyfile import load

SLEEP = "(call $sleep (i64.const 5000000000))"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """The first of three."""
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as running:
        first = running.enter_context(real_node(folder / "first"))
        for name in ("second", "third"):
            running.enter_context(real_node(folder / name, "--peer", first.address))
        yield first


def talker() -> Wasm:
    text = Text()
    said = [put(f"(i32.const {fd})", text(line)) for fd, line in ((1, b"one\n"), (2, b"two\n"), (1, b"three\n"))]
    return command(SLEEP.join(said), text)


NOISY = wat("""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "same\\n")
  (func (export "_start")
    (drop (call $random (i32.const 32) (i32.const 16)))
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 5))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))
    (i32.store (i32.const 0) (i32.const 32)) (i32.store (i32.const 4) (i32.const 16))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 20)))))""")


def submitted(user: User, node: RealNode, program: Wasm, **rest: object) -> tuple[Client, str]:
    """A job of that program, with real time and chance, under the key of the command line."""
    module = user.home / "program.wasm"
    module.write_bytes(program.data)
    assert user.asks(node, "id", "--client").returncode == 0
    (key,) = (user.home / ".config").rglob("client.key")
    client = Client(node.ready["api_url"], load(key))
    client.upload(module, program.sha256)
    engine = {"type": "wasm", "module": program.sha256, "profile": "native"}
    deal = {"concurrency": 3, "confidence": 3}
    spec = {"engine": engine, "verifier": "deterministic", "deal": deal, "timeout_s": 120, **rest}
    return client, client.submit(json.dumps(spec).encode()).id


def test_output_is_shown_as_it_is_written_and_the_command_ends_with_the_job(user: User, nodes: RealNode) -> None:
    client, job = submitted(user, nodes, talker())
    with client:
        watching = subprocess.Popen(
            [QUORATE, "job", "logs", "-f", job],
            env={**clean_environment(user.home), "QUORATE_API": nodes.ready["api_url"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert watching.stdout is not None
        assert watching.stdout.readline() == b"one\n"
        assert client.job(job).state == "running"
        out, err = watching.communicate(timeout=PATIENCE_S)
        assert (out, watching.returncode) == (b"three\n", 0)
        assert b"two\n" in err
        assert b"Verified: 3 of 3 nodes agree" in err

    again = user.asks(nodes, "job", "logs", job)
    assert (again.returncode, again.stdout) == (0, "one\nthree\n")
    assert "kept: it won the vote" in again.stderr
    assert "two\n" in again.stderr


def test_noise_on_stderr_spoils_a_vote_that_says_so_and_not_one_on_outputs(user: User, nodes: RealNode) -> None:
    client, job = submitted(user, nodes, NOISY)
    with client:
        waited = user.asks(nodes, "job", "wait", job)
        assert waited.returncode == 3
        assert "groups differ in: stderr; --vote-on outputs leaves stdout and stderr out of the vote" in waited.stderr
        logs = user.asks(nodes, "job", "logs", job)
        assert (logs.returncode, logs.stdout) == (0, "")
        assert "nothing is kept of its output: not verified" in logs.stderr

    client, job = submitted(user, nodes, NOISY, vote_on="outputs")
    with client:
        assert user.asks(nodes, "job", "wait", job).returncode == 0
        got = user.asks(nodes, "job", "get", job, "--output-dir", "results")
        assert got.returncode == 0, got.stderr
        assert "were not voted on" in got.stderr
        checked = user.asks(nodes, "verify", "results.receipt.json", "results")
        assert checked.returncode == 0
        assert "verified: 3 of 3 nodes agree" in checked.stderr
        assert "not voted on: stdout and stderr" in checked.stderr
        described = user.asks(nodes, "job", "describe", job).stdout
        assert "not voted    stdout and stderr" in described
