"""Folders of results of a container: whose they are, what is too much, and what others than root can make of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from doubles.users import without_privileges

from node.errors import ExecutionFailed
from node.executor.base import RunLimits, Task
from node.executor.docker.outputs import container_user, look, prepare, settle
from node.model import DockerEngine, ExecutionId

LIMITS = RunLimits(wall_s=1, cpu_s=1, memory_bytes=1, output_bytes=10, output_files=2)
NO_CONTAINER = "f" * 64


def task(limits: RunLimits = LIMITS) -> Task:
    return Task(
        execution=ExecutionId("e" * 32),
        tenant="a/b",
        engine=DockerEngine(image="a"),
        module=None,
        inputs=(),
        outputs=(("outputs", "/outputs"),),
        limits=limits,
    )


def test_the_containers_user_has_no_rights_here() -> None:
    mine = f"{os.geteuid()}:{os.getegid()}"
    assert container_user(as_root=False, is_rootless=False) == ("65534:65534" if os.geteuid() == 0 else mine)
    with without_privileges():
        assert container_user(as_root=False, is_rootless=False).split(":")[0] == str(os.geteuid())
    assert container_user(as_root=True, is_rootless=False) == "0:0"
    assert container_user(as_root=False, is_rootless=True) == "0:0", "a rootless engine's root is the node's own user"


def test_what_is_allowed_is_settled_and_what_is_too_much_is_not(tmp_path: Path) -> None:
    prepare(task(), tmp_path)
    (tmp_path / "outputs" / "a").write_bytes(bytes(5))
    (tmp_path / "stdout").write_bytes(bytes(5))
    settle(task(), tmp_path)
    for limits in (replace(LIMITS, output_bytes=9), replace(LIMITS, output_files=0)):
        with pytest.raises(ExecutionFailed) as caught:
            settle(task(limits), tmp_path)
        assert caught.value.code == "output"


def test_a_look_does_not_see_files_without_a_name_that_are_not_the_containers(tmp_path: Path) -> None:
    prepare(task(), tmp_path)
    with (tmp_path / "outputs" / "a").open("wb") as file:
        file.write(bytes(100))
        file.flush()
        (tmp_path / "outputs" / "a").unlink()
        look(task(), tmp_path, NO_CONTAINER)


def test_a_node_that_is_not_root_gets_back_what_was_shut() -> None:
    with without_privileges() as owned:
        prepare(task(), owned)
        (owned / "outputs" / "a").mkdir()
        (owned / "outputs" / "a" / "f").write_bytes(b"x")
        for path in ("outputs/a/f", "outputs/a", "outputs"):
            (owned / path).chmod(0)
        with pytest.raises(ExecutionFailed, match="readable"):
            look(task(), owned, NO_CONTAINER)
        settle(task(), owned)
        assert (owned / "outputs" / "a" / "f").read_bytes() == b"x"
