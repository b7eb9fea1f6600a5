"""Containers that mean harm: each ends with its reason within its limit, and the next run on the same engine works."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from doubles.dockers import LEAVES_A_SOCKET, Docker
from integration.docker_runs import ROOMY, Ended, Node, on

from node import limits
from node.errors import ExecutionFailed
from node.removal import remove
from node.verifier.dirhash import hash_tree

SHORT = replace(ROOMY, wall_s=3, memory_bytes=512 << 20)  # For as many processes as there may be.
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a node that is not root cannot allow it")
MANY = "i=0; while [ $i -lt 100000 ]; do : >{}$i; i=$((i+1)); done"


def survived(docker: Docker, folder: Path, script: str, **given: object) -> Ended:
    """How the run ended; afterwards the engine is empty, the next run works, and what was left can be removed."""
    seen: list[Ended] = []

    async def body(node: Node) -> None:
        seen.append(await node.run(script, **given))
        following = await node.run("echo fine")
        assert (following.exit_code, following.stdout) == (0, "fine\n")
        assert docker.running() == 0

    on(docker, folder, body)
    docker.until_empty()
    return seen[0]


def code_of(docker: Docker, folder: Path, script: str, **given: object) -> str:
    """The code that it failed with; what it left can be removed."""
    found = survived(docker, folder, script, **given)
    code = found.code
    remove(found.results)
    return code


def hashed(results: Path) -> str:
    """The hash of results, or why there is none."""
    try:
        return hash_tree(results, files_max=1000, bytes_max=1 << 20).manifest.h1()
    except ExecutionFailed as failure:
        return failure.code


def test_a_fork_bomb_runs_out_of_processes_and_then_of_time(docker: Docker, tmp_path: Path) -> None:
    assert code_of(docker, tmp_path, "(bomb() { bomb | bomb & }; bomb) & while :; do :; done", limits=SHORT) == "time"


def test_a_memory_bomb(docker: Docker, tmp_path: Path) -> None:
    assert code_of(docker, tmp_path, "dd if=/dev/zero of=/dev/null bs=1000M count=1") == "memory"


def test_a_memory_bomb_that_its_parent_survives(docker: Docker, tmp_path: Path) -> None:
    assert code_of(docker, tmp_path, "dd if=/dev/zero of=/dev/null bs=1000M count=1; exit 0") == "memory"


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
def test_folders_in_memory_are_small(docker: Docker, tmp_path: Path, place: str) -> None:
    found = survived(docker, tmp_path, f"dd if=/dev/zero of={place}/f bs=1M count=100; ls -l {place}/f")
    size = int(found.stdout.split()[4]) if found.exit_code is not None else 0
    assert size <= ROOMY.memory_bytes // 2


def test_one_file_that_is_too_large(docker: Docker, tmp_path: Path) -> None:
    found = survived(docker, tmp_path, "dd if=/dev/zero of=/outputs/f bs=1M count=100")
    assert found.code == "output"
    assert (found.results / "outputs/f").stat().st_size <= ROOMY.output_bytes + 1


def test_a_sparse_file_of_a_terabyte(docker: Docker, tmp_path: Path) -> None:
    found = survived(docker, tmp_path, "dd if=/dev/zero of=/outputs/f bs=1 count=1 seek=1099511627776; sleep 1")
    assert found.exit_code == 0, "the kernel refuses it, and the program lives with that"
    assert sum(path.stat().st_size for path in (found.results / "outputs").iterdir()) == 0


def test_many_files_that_are_too_large_together(docker: Docker, tmp_path: Path) -> None:
    script = "i=0; while :; do dd if=/dev/zero of=/outputs/$i bs=1000 count=1000 2>/dev/null; i=$((i+1)); done"
    assert code_of(docker, tmp_path, script) == "output"


def test_very_many_small_files(docker: Docker, tmp_path: Path) -> None:
    assert code_of(docker, tmp_path, MANY.format("/outputs/")) == "output"


def test_more_files_than_any_result_may_have(docker: Docker, tmp_path: Path) -> None:
    """Such many that the kernel's own memory of them counts."""
    most = replace(ROOMY, output_files=limits.RESULT_FILES_MAX, memory_bytes=512 << 20)
    assert (
        code_of(docker, tmp_path, f"{MANY.format('/outputs/a')}; {MANY.format('/outputs/b')}", limits=most) == "output"
    )


def test_very_deep_folders(docker: Docker, tmp_path: Path) -> None:
    script = "cd /outputs; i=0; while [ $i -lt 3000 ]; do mkdir -p d/d/d/d && cd d/d/d/d; i=$((i+1)); done"
    roomy = replace(ROOMY, output_files=limits.RESULT_FILES_MAX, memory_bytes=512 << 20)
    assert code_of(docker, tmp_path, script, limits=roomy) == "output"


def test_files_that_have_no_name_any_more(docker: Docker, tmp_path: Path) -> None:
    """The kernel's limit is for each file; those that no walk meets are met through the processes that hold them."""
    held = "; ".join(
        f"exec {number}>/outputs/f; rm /outputs/f; dd if=/dev/zero bs=100k count=9 >&{number}" for number in (3, 4, 5)
    )
    assert code_of(docker, tmp_path, f"{held}; sleep 100", limits=replace(ROOMY, wall_s=30)) == "output"


@pytest.mark.parametrize("where", ["1", "2"], ids=["stdout", "stderr"])
def test_a_flood_of_output(docker: Docker, tmp_path: Path, where: str) -> None:
    found = survived(docker, tmp_path, f"dd if=/dev/zero bs=1M count=100000 >&{where}")
    assert found.code == "output"
    assert len(found.stdout) + len(found.stderr) <= ROOMY.output_bytes


def test_printing_too_much_and_ending_before_it_is_read(docker: Docker, tmp_path: Path) -> None:
    """Its end is heard of on another connection than what it printed."""

    async def body(node: Node) -> None:
        for _ in range(5):
            assert (await node.run("dd if=/dev/zero bs=1100k count=1 2>/dev/null; exit 0")).code == "output"

    on(docker, tmp_path, body)


def test_sleeping_for_ever(docker: Docker, tmp_path: Path) -> None:
    assert code_of(docker, tmp_path, "sleep 100000", limits=SHORT) == "time"


def test_closing_the_streams_and_going_on(docker: Docker, tmp_path: Path) -> None:
    assert code_of(docker, tmp_path, "exec >&- 2>&-; sleep 100000", limits=SHORT) == "time"


def test_ignoring_every_signal(docker: Docker, tmp_path: Path) -> None:
    assert code_of(docker, tmp_path, "trap '' TERM INT HUP; while :; do sleep 1; done", limits=SHORT) == "time"


@pytest.mark.parametrize(
    "left",
    [
        "ln -s /etc/shadow /outputs/shadow",
        "ln -s / /outputs/root",
        "ln -s ../../.. /outputs/up",
        "mkfifo /outputs/fifo",
        "touch \"$(printf '/outputs/new\\nline')\"",
        "touch \"$(printf '/outputs/\\377')\"",
    ],
)
def test_what_cannot_be_hashed_is_refused_by_who_hashes(docker: Docker, tmp_path: Path, left: str) -> None:
    found = survived(docker, tmp_path, left)
    assert found.failure is None, found.failure
    assert hashed(found.results) == "result"
    remove(found.results)
    assert not found.results.exists()


@AS_ROOT
def test_a_socket_that_is_left_is_refused_by_who_hashes(docker: Docker, tmp_path: Path) -> None:
    found = survived(docker, tmp_path, LEAVES_A_SOCKET, root=True)
    assert found.failure is None, found.failure
    assert (found.results / "outputs/socket").is_socket()
    assert hashed(found.results) == "result"
    remove(found.results)
    assert not found.results.exists()


@pytest.mark.parametrize("root", [False, pytest.param(True, marks=AS_ROOT)])
def test_devices_cannot_be_made(docker: Docker, tmp_path: Path, root: bool) -> None:
    script = "mknod /outputs/sda b 8 0; mknod /outputs/null c 1 3; ls /outputs"
    found = survived(docker, tmp_path, script, root=root)
    assert found.stdout == ""
    assert found.stderr.count("not permitted") == 2


def test_modes_that_shut_the_node_out_do_not(docker: Docker, tmp_path: Path) -> None:
    script = "mkdir -p /outputs/a/b; echo x >/outputs/a/b/c; cd /outputs; chmod 0 a/b/c a/b a"
    found = survived(docker, tmp_path, script)
    assert found.exit_code == 0
    assert hashed(found.results).startswith("h1:")
    remove(found.results)
    assert not found.results.exists()


def test_there_is_no_network(docker: Docker, tmp_path: Path) -> None:
    """Its loopback is its own: what listens on this machine's does not on that one."""
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        found = survived(docker, tmp_path, f"ls /sys/class/net; nc -w 2 127.0.0.1 {port}; nc -w 2 192.0.2.1 80")
    assert found.stdout == "lo\n"
    assert "refused" in found.stderr
    assert "unreachable" in found.stderr


def test_nothing_of_the_host_is_there(docker: Docker, tmp_path: Path) -> None:
    """Neither its files, nor the node's key, nor the engine's socket, nor a way to become somebody else."""
    key = tmp_path / "node.key"
    key.write_text("secret")
    key.chmod(0o644)
    looks = f"cat {key} /etc/shadow /dev/vda /dev/mem /proc/kcore; find / -name docker.sock -o -name node.key"
    becomes = "mount -t tmpfs none /tmp; chroot /proc/1/root id; su -c id; echo x >/etc/x"
    found = survived(docker, tmp_path, f"{looks}; {becomes}; id -u; grep CapEff /proc/self/status")
    assert found.stdout.splitlines() == [str(os.geteuid() or 65534), "CapEff:\t0000000000000000"]


def test_another_run_is_out_of_reach(docker: Docker, tmp_path: Path) -> None:
    """Not its processes, its memory, its files or its shared memory, though both have the same user."""
    seen: list[Ended] = []

    async def other(node: Node) -> None:
        await node.run("echo secret >/tmp/s; echo secret >/dev/shm/s; echo secret >/outputs/s; SECRET=1 sleep 3")

    async def body(node: Node) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other, node)
            await trio.to_thread.run_sync(docker.until_running)
            seen.append(await node.run("ps; ls /tmp /dev/shm /outputs; cat /proc/*/environ; kill -9 -1"))

    on(docker, tmp_path, body)
    assert "secret" not in seen[0].stdout.lower()
    assert "sleep" not in seen[0].stdout
