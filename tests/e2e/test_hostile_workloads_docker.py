"""Containers that mean harm, on a real node: each ends with its reason, and the node answers and goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from doubles.dockers import LABEL, LEAVES_A_SOCKET, Docker
from e2e.proving_ground import Ground, proving_ground

IMAGE = "quorate-test-hostile"
SMALL = ("--disk", "50MB")
SHORT = ("--timeout", "3s")
ROOT = ("--docker-allow-root",) if os.geteuid() == 0 else ()
MANY = "i=0; while :; do : >/outputs/$i; i=$((i+1)); done"


@pytest.fixture(scope="module")
def ground(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    docker.image('ENTRYPOINT ["/bin/sh", "-c"]', name=IMAGE)

    def left(peer: str) -> list[str]:
        with docker.client() as client:
            found = client.containers(all=True, filters={"label": f"{LABEL}={peer}"})
        return [str(one["Names"]) for one in found]

    folder = tmp_path_factory.mktemp("hostile")
    flags = ("--docker-host", docker.host, *ROOT)
    with proving_ground(folder, "docker", (IMAGE, "--", "exit 0"), left, *flags) as made:
        yield made


@pytest.mark.parametrize(
    ("script", "flags", "code", "words"),
    [
        ("dd if=/dev/zero of=/dev/null bs=1000M count=1", (), "memory", "raise --memory"),
        ("dd if=/dev/zero of=/outputs/f bs=1M", SMALL, "output", "raise --disk"),
        (MANY, ("--memory", "512MB"), "output", "100000 files"),
        ("cd /outputs; while :; do mkdir -p d/d/d/d && cd d/d/d/d; done", (), "output", "nest them less"),
        ("dd if=/dev/zero bs=1M", SMALL, "output", "raise --disk"),
        ("dd if=/dev/zero bs=1M >&2", SMALL, "output", "raise --disk"),
        ("sleep 100000", SHORT, "time", "raise --timeout"),
        ("while :; do :; done", SHORT, "time", "raise --timeout"),
        ("(bomb() { bomb | bomb & }; bomb) & while :; do :; done", SHORT, "time", "raise --timeout"),
        ("trap '' TERM INT HUP; while :; do sleep 1; done", SHORT, "time", "raise --timeout"),
        ("ln -s /etc/shadow /outputs/shadow", (), "result", "neither a file nor a folder"),
        ("mkfifo /outputs/fifo", (), "result", "neither a file nor a folder"),
        ("touch \"$(printf '/outputs/new\\nline')\"", (), "result", "new\\nline"),
        ("touch \"$(printf '/outputs/\\377')\"", (), "result", "not valid UTF-8"),
    ],
    ids=[
        "memory",
        "one large file",
        "very many files",
        "deep folders",
        "stdout",
        "stderr",
        "sleep",
        "loop",
        "fork bomb",
        "no SIGTERM",
        "link",
        "fifo",
        "newline",
        "not UTF-8",
    ],
)
def test_it_ends_with_its_reason(ground: Ground, script: str, flags: tuple[str, ...], code: str, words: str) -> None:
    ground.endures(IMAGE, *flags, "--cpu", "1", "--", script).is_told(code, words)


@pytest.mark.skipif(not ROOT, reason="a node that is not root cannot allow it")
def test_a_socket_ends_with_its_reason_too(ground: Ground) -> None:
    ground.endures(IMAGE, "--root", "--", LEAVES_A_SOCKET).is_told("result", "neither a file nor a folder")


def test_a_sparse_file_of_a_terabyte_is_not_made(ground: Ground) -> None:
    ending = ground.endures(IMAGE, "--", "dd if=/dev/zero of=/outputs/f bs=1 count=1 seek=1099511627776")
    assert ending.exit_code != 0
    assert ending.job["results"]["bytes"] < 1000


def test_nothing_of_the_host_the_node_or_another_execution_is_in_reach(ground: Ground) -> None:
    with ground.running(IMAGE, "--", "echo secret >/outputs/secret; sleep 1000") as folder:
        paths = [Path("/etc/shadow"), ground.folder / "node.key", folder / "outputs/secret"]
        assert all(path.exists() for path in paths)
        names = " ".join([*map(str, paths), *(f"/proc/1/root{path}" for path in paths), "/proc/*/root/outputs/secret"])
        port = urlsplit(ground.node.ready["api_url"]).port
        reads = f"for name in {names}; do cat $name && exit 66; done"
        asks = f"nc -w 2 127.0.0.1 {port} </dev/null && exit 67; nc -w 2 192.0.2.1 80 2>&1 | grep -v unreach && exit 68"
        others = "find / -name node.key -o -name docker.sock -o -name secret 2>/dev/null | grep . && exit 69"
        assert ground.ended(IMAGE, "--", f"{reads}; {asks}; {others}; exit 0").exit_code == 0
