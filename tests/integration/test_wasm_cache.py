"""Machine code that somebody else could have written is never executed, also when that begins while the node runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from contract.wasm_modules import command
from integration.wasm_runs import Engine, Run, in_engine

from node.ambient import Threads
from node.errors import DriverUnavailable, OperatorError
from node.executor.wasm.executor import WasmExecutor

FIRST, OTHER = Run(wasm=command(""), tenant="first"), Run(wasm=command(""), tenant="other")


def opened_to_all(path: Path) -> None:
    path.chmod(0o666)


def given_away(path: Path) -> None:
    os.chown(path, 65534, 65534)


def linked(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


@pytest.mark.parametrize("tampered", [opened_to_all, given_away, linked])
def test_what_others_can_write_is_compiled_anew(tmp_path: Path, tampered: Callable[[Path], None]) -> None:
    if tampered is given_away and os.geteuid() != 0:
        pytest.skip("only root gives files away")

    async def body(engine: Engine) -> None:
        assert (await engine.run(FIRST)).exit_code == 0
        compiled = list((tmp_path / "cache").glob("*.cwasm"))
        assert compiled
        for path in compiled:
            tampered(path)
        assert (await engine.run(OTHER)).exit_code == 0
        for path in compiled:
            found = path.lstat()
            assert (found.st_uid, found.st_mode & 0o777) == (os.geteuid(), 0o600)

    in_engine(tmp_path, body)


def test_nothing_is_executed_from_a_folder_that_others_can_write_to(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        assert (await engine.run(FIRST)).exit_code == 0
        (tmp_path / "cache").chmod(0o777)
        with pytest.raises(DriverUnavailable, match="others can write"):
            await engine.run(OTHER)
        (tmp_path / "cache").chmod(0o700)
        assert (await engine.run(OTHER)).exit_code == 0

    in_engine(tmp_path, body)


def test_a_cache_that_cannot_be_a_folder_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    executor = WasmExecutor(tmp_path / "cache", Threads())
    with pytest.raises(OperatorError, match="cache cannot be used: File exists"):
        trio.run(executor.serve)
