"""A folder of a hundred files in ten shards on three nodes, as a user submits it, fetches it and checks it offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from contract.wasm_modules import COUNT, CREATE, OPENED, READ, TRAP, WRITE, command
from doubles.realnode import RealNode, real_node
from doubles.webanswers import says, web_server
from e2e.users import User

# Copies the files 000 to 099 that it finds to stdout and to outputs/, in this order; a file that begins with ! traps.
_DIGITS = "".join(
    f"(i32.store8 (i32.const {64 + at}) (i32.add (i32.const 48)"
    f" (i32.rem_u (i32.div_u (local.get $i) (i32.const {unit})) (i32.const 10))))"
    for at, unit in enumerate((100, 10, 1))
)
_CONTENT = "(i32.const 0x20000)"
COPY_ALL = command(f"""(loop $next
  {_DIGITS}
  (if (i32.eqz (call $open (i32.const 3) (i32.const 64) (i32.const 3) (i32.const 0) {READ})) (then
    (call $must (call $read {OPENED} {_CONTENT} (i32.const 0x10000)))
    (call $must (call $fd_close {OPENED}))
    (if (i32.eq (i32.load8_u {_CONTENT}) (i32.const 33)) (then {TRAP}))
    (call $must (call $write (i32.const 1) {_CONTENT} {COUNT}))
    (call $must (call $open (i32.const 4) (i32.const 64) (i32.const 3) {CREATE} {WRITE}))
    (call $must (call $write {OPENED} {_CONTENT} {COUNT}))
    (call $must (call $fd_close {OPENED}))))
  (local.set $i (i32.add (local.get $i) (i32.const 1)))
  (br_if $next (i32.lt_u (local.get $i) (i32.const 100))))""")

NAMES = [f"{number:03}" for number in range(100)]
FLAGS = ("--sharding-glob-pattern", "*", "--sharding-batch-size", "10", "--verifier", "deterministic", "-c", "3")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the nodes publish."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[RealNode]:
    """The first of three, all of which hold ``apples`` unsealed, and ``bitten``, one file of which is bad."""
    tmp_path = tmp_path_factory.mktemp("nodes")
    for cid in ("apples", "bitten"):
        (tmp_path / "unsealed" / cid).mkdir(parents=True)
        for name in NAMES:
            (tmp_path / "unsealed" / cid / name).write_text(f"line {name}\n")
    (tmp_path / "unsealed" / "bitten" / "055").write_text("!")
    flags = ("--filecoin-unsealed-path", f"{tmp_path}/unsealed/{{{{ cid }}}}", "--allow-url-cidr", "127.0.0.0/8")
    flags = (*flags, "--local-publish", str(shared))
    with ExitStack() as running:
        first = running.enter_context(real_node(tmp_path / "first", *flags))
        for name in ("second", "third"):
            running.enter_context(real_node(tmp_path / name, *flags, "--peer", first.address))
        yield first


@pytest.fixture
def program(user: User) -> str:
    path = user.home / "copy.wasm"
    path.write_bytes(COPY_ALL.data)
    return str(path)


def test_a_hundred_files_are_ten_shards_whose_results_are_merged(user: User, nodes: RealNode, program: str) -> None:
    planned = user.asks(nodes, "wasm", "run", program, "-i", "apples", *FLAGS, "--dry-run")
    shards = json.loads(planned.stdout)["shards"]
    assert shards == [[f"/inputs/{name}" for name in NAMES[at : at + 10]] for at in range(0, 100, 10)]

    target = user.home / "results"
    ran = user.asks(nodes, "wasm", "run", program, "-i", "apples", *FLAGS, "--download", "--output-dir", str(target))

    assert ran.returncode == 0, ran.stderr
    assert "Verified: 10 of 10 shards" in ran.stderr
    assert (target / "combined_results/stdout").read_text() == "".join(f"line {name}\n" for name in NAMES)
    assert sorted(path.name for path in (target / "combined_results/outputs").iterdir()) == NAMES
    assert (target / "per_shard/3/stdout").read_text() == "".join(f"line {name}\n" for name in NAMES[30:40])
    described = json.loads(user.asks(nodes, "job", "describe", ran.stdout.strip(), "--json").stdout)
    assert described["tally"]["completed"] == 10
    runs = [run for shard in described["details"] for run in shard["executions"]]
    assert len(runs) == 30
    assert all(run["agreed"] and run["sources"] == ["filecoin_unsealed"] for run in runs)
    verified = user.asks(nodes, "verify", "results.receipt.json", "results")
    assert verified.returncode == 0, verified.stderr


def test_published_shards_are_verified_where_they_lie(user: User, nodes: RealNode, program: str, shared: Path) -> None:
    ran = user.asks(nodes, "wasm", "run", program, "-i", "apples", *FLAGS, "--publisher", f"local:{shared}")
    assert ran.returncode == 0, ran.stderr
    job = ran.stdout.strip()
    assert user.asks(nodes, "job", "receipt", job, "--output", "receipt.json").returncode == 0
    (folder,) = shared.glob(f"*/{job}")
    assert sorted(path.name for path in folder.iterdir()) == [str(number) for number in range(10)]
    verified = user.asks(nodes, "verify", "receipt.json", str(folder))
    assert verified.returncode == 0, verified.stderr
    assert "10 of 10 shards" in verified.stderr
    (stdout,) = folder.glob("7/*/stdout")
    stdout.write_text("something else")
    assert user.asks(nodes, "verify", "receipt.json", str(folder)).returncode == 1


def test_one_bad_shard_does_not_cost_the_others(user: User, nodes: RealNode, program: str) -> None:
    ran = user.asks(nodes, "wasm", "run", program, "-i", "bitten", *FLAGS)
    assert ran.returncode == 1
    assert "10 shards: 9 completed, 1 failed" in ran.stderr
    assert "shard 5: failed: " in ran.stderr

    got = user.asks(nodes, "job", "get", ran.stdout.strip(), "--output-dir", "results")
    assert got.returncode == 1
    results = user.home / "results"
    lines = (results / "combined_results/stdout").read_text().splitlines()
    assert lines == [f"line {name}" for name in NAMES[:50] + NAMES[60:]]
    verified = user.asks(nodes, "verify", "results.receipt.json", "results")
    assert verified.returncode == 0, verified.stderr
    assert "no result of 1 of 10 shards: 5" in verified.stderr


def test_files_of_the_web_lie_in_one_folder_and_can_be_cut_too(user: User, nodes: RealNode, program: str) -> None:
    names = ("042", "007", "099")
    with web_server({f"/{name}": says(f"line {name}\n".encode(), etag='"1"') for name in names}) as web:
        files = [flag for name in names for flag in ("-u", web.url(f"/{name}"))]
        whole = user.asks(nodes, "wasm", "run", program, *files, "--download", "--output-dir", "whole")
        assert whole.returncode == 0, whole.stderr
        cut = user.asks(nodes, "wasm", "run", program, *files, *FLAGS, "--sharding-batch-size", "1", "--dry-run")
    assert (user.home / "whole/stdout").read_text() == "line 007\nline 042\nline 099\n"
    assert json.loads(cut.stdout)["shards"] == [[f"/inputs/{name}"] for name in names]
