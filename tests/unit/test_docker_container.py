"""Everything that holds a container in is in the body of its creation, whatever the job says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.errors import ExecutionFailed
from node.executor.base import Mount, RunLimits, Task
from node.executor.docker.container import Place, body
from node.model import DockerEngine, ExecutionId

ROOMY = RunLimits(wall_s=60, cpu_s=60, memory_bytes=64 << 20, output_bytes=1000, output_files=100, cores=0.5)
PLACE = Place("12D3Koo", "65534:65534", "", Path("/node/docker/hosts"))
RESULTS = Path("/node/scratch/e")


def task(inputs: tuple[Mount, ...] = (), gpus: tuple[str, ...] = (), **engine: Any) -> Task:
    return Task(
        execution=ExecutionId("e" * 32),
        tenant="a/b",
        engine=DockerEngine(image="a", **engine),
        module=None,
        inputs=inputs,
        outputs=(("outputs", "/outputs"),),
        limits=ROOMY,
        gpus=gpus,
    )


def made(wanted: Task, volumes: tuple[str, ...] = (), place: Place = PLACE) -> dict[str, Any]:
    return body(wanted, "sha256:1", volumes, RESULTS, place)


def mounts(created: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {mount["Target"]: mount for mount in created["HostConfig"]["Mounts"]}
    assert len(found) == len(created["HostConfig"]["Mounts"]), "no two at one place"
    return found


@given(
    network=st.sampled_from(["none", "full"]),
    root=st.booleans(),
    isolation=st.sampled_from(["container", "sandbox"]),
    env=st.dictionaries(st.text(min_size=1), st.text()),
    entrypoint=st.none() | st.tuples(st.text()),
)
def test_no_job_loosens_what_holds_it(**engine: Any) -> None:
    created = made(task(**engine), volumes=("/var/lib",))
    host = created["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] is host["Init"] is True
    assert host["IpcMode"] == host["CgroupnsMode"] == "private"
    assert host["Memory"] == host["MemorySwap"] == ROOMY.memory_bytes
    assert (host["CpuQuota"], host["CpuPeriod"]) == (500_000, 1_000_000)
    assert host["PidsLimit"] == limits.CONTAINER_PIDS
    assert {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]} == {
        "nofile": limits.CONTAINER_FILES_OPEN,
        "core": 0,
        "fsize": ROOMY.output_bytes + 1,
    }
    assert host["LogConfig"] == {"Type": "none"}
    assert created["User"] == PLACE.user
    assert not {"Privileged", "CapAdd", "Devices", "Binds", "PidMode", "VolumesFrom"} & set(host)
    for mount in host["Mounts"]:
        assert mount["Type"] == "tmpfs" or mount["ReadOnly"] or mount["Source"] == "/node/scratch/e/outputs"
    assert created["NetworkDisabled"] is (engine["network"] == "none")


def test_it_is_named_and_labelled_for_its_node() -> None:
    assert made(task())["Labels"] == {"org.quorate.node": "12D3Koo", "org.quorate.execution": "e" * 32}


def test_inputs_are_bound_read_only_without_what_is_mounted_in_them() -> None:
    found = mounts(made(task(inputs=(Mount(Path("/data/a"), "/in/a:b"),))))["/in/a:b"]
    assert (found["Source"], found["ReadOnly"], found["BindOptions"]["NonRecursive"]) == ("/data/a", True, True)


def test_what_shows_parts_of_an_input_hides_what_the_image_has_there() -> None:
    parts = tuple(Mount(Path(f"/data/{name}"), f"/in/{name}", "/in") for name in "ab")
    found = mounts(made(task(inputs=parts)))
    assert found["/in"]["Type"] == "tmpfs"
    assert {"/in/a", "/in/b"} <= set(found)


def test_an_images_volumes_are_small_and_in_memory_unless_the_job_has_something_there() -> None:
    found = mounts(made(task(inputs=(Mount(Path("/d"), "/in"),)), volumes=("/v", "/outputs", "/in", "/tmp")))
    assert found["/v"]["Type"] == "tmpfs"
    assert found["/v"]["TmpfsOptions"]["SizeBytes"] <= ROOMY.memory_bytes // 2
    assert found["/outputs"]["Type"] == found["/in"]["Type"] == "bind"


def test_outputs_may_lie_where_memory_would() -> None:
    elsewhere = replace(task(), outputs=(("mine", "/tmp"),))
    assert mounts(made(elsewhere))["/tmp"]["Type"] == "bind"


def test_a_job_with_the_network_has_the_engines_own_names() -> None:
    assert "/etc/hosts" in mounts(made(task()))
    assert "/etc/hosts" not in mounts(made(task(network="full")))
    assert made(task(network="full"))["HostConfig"]["NetworkMode"] == "default"


def test_gpus_are_given_one_by_one() -> None:
    assert made(task())["HostConfig"]["DeviceRequests"] == []
    (asked,) = made(task(gpus=("GPU-1", "GPU-2")))["HostConfig"]["DeviceRequests"]
    assert (asked["DeviceIDs"], asked["Capabilities"]) == (["GPU-1", "GPU-2"], [["gpu"]])


@pytest.mark.parametrize(
    ("gpus", "visible"), [((), "void"), (("GPU-1",), "GPU-1"), (("GPU-1", "GPU-2"), "GPU-1,GPU-2")]
)
def test_a_job_gets_no_gpu_by_naming_it(gpus: tuple[str, ...], visible: str) -> None:
    env = made(task(gpus=gpus, env={"NVIDIA_VISIBLE_DEVICES": "all"}))["Env"]
    assert env == [f"NVIDIA_VISIBLE_DEVICES={visible}"]


def test_what_cannot_be_made_is_a_failure_that_says_why() -> None:
    with pytest.raises(ExecutionFailed, match="--memory"):
        made(replace(task(), limits=replace(ROOMY, memory_bytes=1000)))
    many = tuple(Mount(Path("/d"), f"/in/{number}", "/in") for number in range(limits.CONTAINER_MOUNTS + 1))
    with pytest.raises(ExecutionFailed, match="fewer"):
        made(task(inputs=many))
