"""From flags to a job spec, by the rules of the node."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from cli.errors import UsageProblem
from cli.job_spec import name_of
from cli.submission import Deal, Limits
from cli.wasm import Program
from cli.wasm_spec import read_module, spec_of
from node import limits
from node.errors import InvalidModule
from node.model import CidInput, Output, WasmEngine

MODULE = b"\0asm\x01\0\0\0"
SHA256 = hashlib.sha256(MODULE).hexdigest()


def program(**given: object) -> Program:
    return Program(module=Path("census.wasm"), **given)  # type: ignore[arg-type]


def test_defaults_are_those_of_the_spec_and_the_module_gives_the_name() -> None:
    spec = spec_of(program(), Deal(), Limits(), SHA256)

    assert (spec.name, spec.engine.module, spec.verifier) == ("census", SHA256, "noop")
    assert (spec.deal.concurrency, spec.deal.confidence, spec.deal.min_bids) == (1, 1, 0)
    assert spec.outputs == (Output(name="outputs", path="/outputs"),)
    assert (spec.resources.cpu, spec.resources.memory_bytes, spec.timeout_s) == (0.1, 100_000_000, 600.0)


def test_every_flag_reaches_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "there")
    wanted = program(
        args=["-n", "5"],
        name="mine",
        volumes=["bafy:/a:b"],
        inputs=["bagy"],
        env=["K=V=W", "EMPTY=", "FROM_HERE"],
        outputs=["tables:/tables"],
    )
    deal = Deal(verifier="deterministic", concurrency=5, confidence=4, min_bids=7, bid_timeout="1m")
    spec = spec_of(wanted, deal, Limits(cpu="500m", memory="512Mi", disk="1Gi", timeout="2h"), SHA256)

    assert spec.engine.args == ("-n", "5")
    assert spec.engine.env == {"K": "V=W", "EMPTY": "", "FROM_HERE": "there"}
    assert spec.inputs == (CidInput(cid="bafy", path="/a:b"), CidInput(cid="bagy", path="/inputs"))
    assert spec.outputs == (Output(name="outputs", path="/outputs"), Output(name="tables", path="/tables"))
    assert (spec.deal.concurrency, spec.deal.confidence, spec.deal.min_bids, spec.deal.bid_window_s) == (5, 4, 7, 60)
    assert (spec.resources.cpu, spec.resources.memory_bytes, spec.resources.disk_bytes) == (0.5, 2**29, 2**30)
    assert (spec.name, spec.timeout_s) == ("mine", 7200)


def test_how_a_program_runs_is_asked_by_flags() -> None:
    engine = spec_of(program(), Deal(), Limits(), SHA256).engine
    assert engine == WasmEngine(module=SHA256)

    wanted = program(inputs=["bagy"], stdin="/inputs/a", fuel=10**9, isolation="process")
    engine = spec_of(wanted, Deal(), Limits(), SHA256).engine
    assert engine == WasmEngine(module=SHA256, stdin="/inputs/a", fuel=10**9, isolation="process")

    engine = spec_of(program(profile="native"), Deal(), Limits(), SHA256).engine
    assert engine == WasmEngine(module=SHA256, profile="native")


def test_outputs_can_be_moved_and_are_there_once() -> None:
    spec = spec_of(program(outputs=["outputs:/elsewhere"]), Deal(), Limits(), SHA256)

    assert spec.outputs == (Output(name="outputs", path="/elsewhere"),)


@pytest.mark.parametrize(
    ("wanted", "deal", "flag"),
    [
        (program(), Deal(concurrency=5, confidence=6), "--confidence"),
        (program(), Deal(verifier="deterministic"), "--concurrency"),
        (program(), Deal(concurrency=0), "--concurrency"),
        (program(), Deal(min_bids=-1), "--min-bids"),
        (program(), Deal(bid_timeout="2d"), "--bid-timeout"),
        (program(name="no spaces"), Deal(), "--name"),
        (program(volumes=["apples"]), Deal(), "--input-volumes"),
        (program(volumes=["apples:inputs"]), Deal(), "--input-volumes"),
        (program(volumes=["a:/x", "b:/x"]), Deal(), "-v b:/x"),
        (program(inputs=["a", "b"]), Deal(), "-i b"),
        (program(outputs=["stdout:/x"]), Deal(), "--output-volumes"),
        (program(outputs=["x:/outputs"]), Deal(), "--output-volumes"),
        (program(outputs=["x"]), Deal(), "--output-volumes"),
        (program(env=["NOT_SET_ANYWHERE"]), Deal(), "--env"),
        (program(env=["=x"]), Deal(), "--env"),
        (program(args=["x"] * (limits.ARGS_MAX + 1)), Deal(), "ARGS"),
        (program(fuel=0), Deal(), "--fuel"),
        (program(fuel=5, profile="native"), Deal(), "--fuel: expected the deterministic profile"),
        (program(stdin="/inputs/a"), Deal(), "--stdin: expected the path of an input"),
        (program(inputs=["bagy"], stdin="inputs/a"), Deal(), "--stdin"),
        (program(args=[os.fsdecode(b"\xff")]), Deal(), "UTF-8"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_the_rules_refuse_names_the_flag(wanted: Program, deal: Deal, flag: str) -> None:
    with pytest.raises(UsageProblem, match=flag) as caught:
        spec_of(wanted, deal, Limits(), SHA256)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("file", "name"),
    [("census", "census"), ("a b!c", "a-b-c"), ("-x", "x"), ("ü", "job"), ("n" * 99, "n" * 64)],
)
def test_a_job_is_named_after_its_program(file: str, name: str) -> None:
    assert name_of(file) == name


def test_a_module_is_named_by_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "a.wasm"
    path.write_bytes(MODULE)

    assert read_module(path) == SHA256


@pytest.mark.parametrize("content", [b"", b"hello, I am text", b"(module)", b"\0asm", b"\0asm\x0d\0\1\0"])
def test_what_is_no_module_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wasm"
    path.write_bytes(content)

    with pytest.raises(InvalidModule, match=r"a\.wasm.*expected|wat2wasm"):
        read_module(path)


def test_what_is_no_file_of_a_sane_size_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "big.wasm").open("wb") as file:
        file.truncate(limits.MODULE_BYTES_MAX + 1)
    os.mkfifo(tmp_path / "pipe.wasm")

    for path, words in [("none.wasm", "not exist"), (".", "folder"), ("pipe.wasm", "regular"), ("big.wasm", "67.1 MB")]:
        with pytest.raises(UsageProblem, match=words) as caught:
            read_module(tmp_path / path)
        assert caught.value.hint
