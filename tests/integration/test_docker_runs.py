"""What a container is given and what not, seen from inside of real ones."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from doubles.dockers import NO_SANDBOX, Docker
from integration.docker_runs import ROOMY, Ended, Node, ended, on
from needs import Need

from node.errors import DriverUnavailable, ExecutionFailed
from node.executor.base import Mount
from node.executor.docker import policy
from node.executor.docker.engine import Engine
from node.model import DockerEngine

ECHO = 'ENTRYPOINT ["/bin/echo", "entry"]', 'CMD ["command"]'


def of_image(docker: Docker, folder: Path, image: str, **engine: object) -> Ended:
    """One run of an image as it is, but for what is said here."""
    seen: list[Ended] = []

    async def body(node: Node) -> None:
        seen.append(await node.run("", **engine))

    on(docker, folder, body, image=image)
    return seen[0]


@pytest.mark.parametrize(
    ("args", "entrypoint", "printed"),
    [
        ((), None, "entry command\n"),
        (("mine",), None, "entry mine\n"),
        (("/bin/echo", "mine"), (), "mine\n"),
        ((), ("/bin/echo", "other"), "other\n"),
        (("mine",), ("/bin/echo", "other"), "other mine\n"),
    ],
)
def test_entrypoint_and_command_are_what_docker_makes_of_them(
    docker: Docker, tmp_path: Path, args: tuple[str, ...], entrypoint: tuple[str, ...] | None, printed: str
) -> None:
    assert of_image(docker, tmp_path, docker.image(*ECHO), args=args, entrypoint=entrypoint).stdout == printed


def test_environment_and_folder_are_the_images_unless_the_job_says_otherwise(docker: Docker, tmp_path: Path) -> None:
    image = docker.image('ENTRYPOINT ["/bin/sh", "-c"]', "ENV A=1 B=2", "WORKDIR /bin")
    plain = of_image(docker, tmp_path / "plain", image, args=("echo $A $B $C; pwd",))
    changed = of_image(
        docker, tmp_path / "changed", image, args=("echo $A $B $C; pwd",), env={"B": "3", "C": "x=y z"}, workdir="/tmp"
    )
    assert (plain.stdout, changed.stdout) == ("1 2\n/bin\n", "1 3 x=y z\n/tmp\n")


def test_an_image_that_says_nothing_to_run_is_a_failure_that_says_so(docker: Docker, tmp_path: Path) -> None:
    found = of_image(docker, tmp_path, docker.image(), args=())
    assert (found.code, "command" in str(found.failure).lower()) == ("trap", True)


def test_a_command_that_is_not_there_ends_as_it_does_in_docker(docker: Docker, tmp_path: Path) -> None:
    assert of_image(docker, tmp_path, docker.image(), args=("/bin/nothing",)).exit_code == 127


@pytest.mark.parametrize("place", ["/", "/proc/x", "/dev/null/x", "/etc/passwd"])
def test_a_place_that_cannot_be_is_the_jobs_own_fault(docker: Docker, tmp_path: Path, place: str) -> None:
    async def body(node: Node) -> None:
        information = await Engine(docker.socket).information()
        found = await node.of(replace(node.task("true"), outputs=(("outputs", place),)))
        assert isinstance(found.failure, ExecutionFailed), found.failure
        assert found.code == "trap"
        assert str(found.failure).startswith("it cannot be started: ")
        assert str(tmp_path) not in str(found.failure)
        assert information.folder not in str(found.failure)
        assert (await node.run("exit 3")).exit_code == 3

    on(docker, tmp_path, body)


def test_what_an_image_asks_for_itself_is_not_given(docker: Docker, tmp_path: Path) -> None:
    """A volume would be a folder of the engine's that no limit knows; a health check would run beside the job."""
    image = docker.image(
        'VOLUME ["/data"]', "USER root", "HEALTHCHECK --interval=1s CMD touch /data/checked", "LABEL a=b"
    )
    found = of_image(
        docker,
        tmp_path,
        image,
        limits=replace(ROOMY, output_bytes=1 << 30),
        args=(
            "/bin/sh",
            "-c",
            "sleep 2; id -u; ls /data; dd if=/dev/zero of=/data/f bs=1M count=60; grep ' /data ' /proc/mounts",
        ),
    )
    lines = found.stdout.splitlines()
    assert lines[0] == str(os.geteuid() or 65534)
    assert lines[1].startswith("tmpfs /data tmpfs rw,nosuid,nodev,noexec")
    assert "No space left" in found.stderr
    with docker.client() as client:
        assert not client.volumes()["Volumes"]


def test_inputs_are_read_only_and_outputs_are_not(docker: Docker, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "a").write_text("apples\n")
    script = (
        "cat /in/a; echo x >/in/a; echo y >/in/b; rm /in/a; echo z >/outputs/c; echo t >/tmp/t; echo r >/r; cat /tmp/t"
    )
    found = ended(docker, tmp_path / "node", script, inputs=(Mount(data, "/in"),))
    assert found.stdout == "apples\nt\n"
    assert found.stderr.count("Read-only") == 4
    assert [path.name for path in data.iterdir()] == ["a"]
    assert (found.results / "outputs/c").read_text() == "z\n"


def test_parts_of_an_input_are_all_that_is_seen_of_it(docker: Docker, tmp_path: Path) -> None:
    """Nor is anything that the image has in the same place."""
    for name in ("a", "b", "sub/c", "sub/d"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    parts = tuple(Mount(tmp_path / "data" / name, f"/in/{name}", "/in") for name in ("a", "sub/c"))
    image = docker.image(files={"in/of-the-image": b"x"})
    seen: list[Ended] = []

    async def body(node: Node) -> None:
        seen.append(await node.run("find /in -type f | sort; cat /in/sub/c", inputs=parts))

    on(docker, tmp_path / "node", body, image=image)
    assert seen[0].stdout == "/in/a\n/in/sub/c\nsub/c"


def test_limits_are_those_of_the_kernel(docker: Docker, tmp_path: Path) -> None:
    status = "grep -E 'NoNewPrivs|Seccomp:|CapBnd' /proc/self/status"
    found = ended(docker, tmp_path, f"{status}; cat /proc/self/cgroup; hostname; cat /etc/hosts")
    assert "NoNewPrivs:\t1" in found.stdout
    assert "Seccomp:\t2" in found.stdout
    assert "CapBnd:\t0000000000000000" in found.stdout
    assert "quorate\n127.0.0.1\tlocalhost\n" in found.stdout
    assert "docker" not in found.stdout, "its cgroups look the same on every node"


def test_two_nodes_see_the_same(docker: Docker, tmp_path: Path) -> None:
    """Whatever of its surroundings a simple program prints."""
    script = "hostname; env | sort; cat /etc/hosts /proc/self/cgroup; id; pwd; ls / /dev /etc; ulimit -a"
    assert ended(docker, tmp_path / "one", script).stdout == ended(docker, tmp_path / "two", script).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="a node that is not root cannot allow it")
def test_root_is_given_where_it_is_asked_for(docker: Docker, tmp_path: Path) -> None:
    found = ended(
        docker, tmp_path, "id -u; echo x >/outputs/f; chmod 0 /outputs/f; mount -t tmpfs none /mnt", root=True
    )
    assert found.stdout == "0\n"
    assert "denied" in found.stderr or "not permitted" in found.stderr or "must be" in found.stderr
    assert (found.results / "outputs/f").read_text() == "x\n"


def test_little_memory_and_little_cpu_are_enough_to_start(docker: Docker, tmp_path: Path) -> None:
    tight = replace(ROOMY, memory_bytes=8 << 20, cores=0.01)
    assert ended(docker, tmp_path, "echo started", limits=tight).stdout == "started\n"


def test_less_memory_than_a_container_takes_is_said(docker: Docker, tmp_path: Path) -> None:
    assert ended(docker, tmp_path, "true", limits=replace(ROOMY, memory_bytes=1 << 20)).code == "memory"


def test_a_sandbox_is_a_kernel_of_its_own(docker: Docker, need: Need, tmp_path: Path) -> None:
    with docker.client() as client:
        if "runsc" not in client.info()["Runtimes"]:
            need.lacking(NO_SANDBOX)

    async def body(node: Node) -> None:
        found = await node.run("dmesg | head -1; echo x >/outputs/f; id -u; exit 3", isolation="sandbox")
        assert (found.exit_code, "gVisor" in found.stdout) == (3, True), found
        assert (found.results / "outputs/f").read_text() == "x\n"
        flood = await node.run("dd if=/dev/zero of=/outputs/f bs=1M count=100", runtime="runsc")
        assert flood.code == "output"
        slow = await node.run("sleep 100", runtime="runsc", limits=replace(ROOMY, wall_s=2))
        assert slow.code == "time"

    on(docker, tmp_path, body)
    docker.until_empty()


def test_a_sandbox_that_is_not_there_is_not_replaced(docker: Docker, tmp_path: Path) -> None:
    async def body(node: Node) -> None:
        task = node.task("true", isolation="sandbox", runtime="kata-none")
        with pytest.raises(DriverUnavailable, match="no runtime kata-none"):
            await node.executor.looked_up(task.engine)
        assert isinstance((await node.of(task)).failure, DriverUnavailable)

    on(docker, tmp_path, body)


def test_results_are_compared_within_the_runtime_that_is_the_engines_own_or_named(
    docker: Docker, tmp_path: Path
) -> None:
    async def body(node: Node) -> None:
        own = (await Engine(docker.socket).information()).runtime
        assert own
        wanted = node.task("true").engine
        assert isinstance(wanted, DockerEngine)
        assert await node.executor.looked_up(wanted) == policy.identity(wanted, os.uname().machine, own)
        assert (await node.executor.looked_up(node.task("true", runtime="runc").engine)).endswith(" runc")

    on(docker, tmp_path, body)
