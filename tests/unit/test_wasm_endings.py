"""What a dead process, a full folder and an awkward input are called."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from node import limits
from node.errors import DriverUnavailable, ExecutionFailed
from node.executor.base import RunLimits
from node.executor.measure import Allowance, excess
from node.executor.wasm import staging
from node.executor.wasm.protocol import Failed, Input
from node.executor.wasm.reasons import compilation_ended_by, out_of_time, run_ended_by, run_failed

LIMITS = RunLimits(wall_s=600, cpu_s=2.5, memory_bytes=1 << 20, output_bytes=1000, output_files=10)


@pytest.mark.parametrize(
    ("number", "code", "flag"), [(signal.SIGPROF, "cpu", "2.5 s"), (signal.SIGXFSZ, "output", "1000 bytes")]
)
def test_a_limit_that_the_kernel_keeps_is_the_workloads_fault(number: int, code: str, flag: str) -> None:
    failure = run_ended_by(-number, LIMITS)
    assert isinstance(failure, ExecutionFailed)
    assert failure.code == code
    assert flag in failure.detail
    assert "raise --" in failure.detail


@pytest.mark.parametrize("status", [-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGBUS, 70, 0, None])
def test_any_other_end_of_a_worker_is_this_machines_fault(status: int | None) -> None:
    assert isinstance(run_ended_by(status, LIMITS), DriverUnavailable)


@pytest.mark.parametrize("number", [signal.SIGXCPU, signal.SIGABRT, signal.SIGSEGV, signal.SIGXFSZ])
def test_a_compiler_that_ran_into_its_limits_is_the_modules_fault(number: int) -> None:
    failure = compilation_ended_by(-number)
    assert isinstance(failure, ExecutionFailed)
    assert failure.code == "module"
    assert "smaller" in failure.detail


@pytest.mark.parametrize("status", [-signal.SIGKILL, 70, 0, None])
def test_a_compiler_that_was_killed_may_be_tried_again(status: int | None) -> None:
    assert isinstance(compilation_ended_by(status), DriverUnavailable)


def test_words_of_a_worker_are_cut_and_advised() -> None:
    failure = run_failed(Failed("memory", "x" * 10_000 + "\x1b[31m"))
    assert len(failure.detail) < limits.REASON_CHARS_MAX + 40
    assert "raise --memory" in failure.detail
    assert run_failed(Failed("trap", "un\nreachable")).detail == "un\ufffdreachable"


def test_running_out_of_time_says_in_what() -> None:
    assert "still running after 600 s" in out_of_time(LIMITS, compiling=False).detail
    assert "compiled" in out_of_time(LIMITS, compiling=True).detail


def results(folder: Path) -> Path:
    """As before a run: two streams and an output."""
    (folder / "outputs").mkdir()
    (folder / "stdout").write_bytes(b"")
    (folder / "stderr").write_bytes(b"")
    return folder


def over(folder: Path, output_bytes: int, output_files: int) -> str | None:
    return excess(os.fsencode(folder), 3, Allowance(output_bytes, output_files))


def test_sizes_are_added_over_all_files(tmp_path: Path) -> None:
    (results(tmp_path) / "stdout").write_bytes(b"123")
    (tmp_path / "outputs" / "deep").mkdir()
    (tmp_path / "outputs" / "deep" / "file").write_bytes(b"4567")
    assert over(tmp_path, 7, 2) is None
    assert "6 bytes" in str(over(tmp_path, 6, 2))
    assert "1 files" in str(over(tmp_path, 7, 1))


def test_links_count_as_themselves_and_lead_nowhere(tmp_path: Path) -> None:
    (results(tmp_path) / "outputs" / "link").symlink_to("/usr")
    assert over(tmp_path, 4, 1) is None
    assert over(tmp_path, 3, 1) is not None


def test_a_path_longer_than_a_result_may_have_is_too_deep(tmp_path: Path) -> None:
    deep = results(tmp_path) / "outputs"
    for _ in range(6):
        deep /= "d" * 200
        deep.mkdir()
    assert "nested" in str(over(tmp_path, 10, 100))


def test_inputs_keep_their_order_and_their_paths(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
    inputs = [Input(os.fsencode(tmp_path / name), f"/{name}") for name in ("b", "a")]
    shown = staging.prepare(inputs, ["/outputs"], os.fsencode(tmp_path / "staging"))
    assert shown == ((f"{tmp_path}/b", "/b"), (f"{tmp_path}/a", "/a"))
    assert not (tmp_path / "staging").exists()


def test_a_file_at_the_root_is_shown_in_the_root(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    place = tmp_path / "staging"
    staging.make(os.fsencode(place))
    shown = staging.prepare([Input(os.fsencode(tmp_path / "file"), "/file")], [], os.fsencode(place))
    assert shown == ((f"{place}/places/0", "/"),)
    assert (place / "places" / "0" / "file").samefile(tmp_path / "file")
    staging.clear(os.fsencode(place))
    assert not list((place / "places").iterdir())
    assert (tmp_path / "file").read_bytes() == b"x"


@pytest.mark.parametrize("taken", [["/in"], []])
def test_a_file_and_a_folder_do_not_meet(tmp_path: Path, taken: list[str]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    inputs = [Input(os.fsencode(tmp_path / "file"), "/in/file")]
    if not taken:
        inputs.append(Input(os.fsencode(tmp_path / "folder"), "/in"))
    staging.make(os.fsencode(tmp_path / "staging"))
    with pytest.raises(staging.Unusable, match="/in"):
        staging.prepare(inputs, taken, os.fsencode(tmp_path / "staging"))
