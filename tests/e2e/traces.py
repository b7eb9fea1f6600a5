"""What a program has left behind: processes that carry its mark, ports that somebody listens on."""

from __future__ import annotations

import os
import re
import socket
import time
import uuid
from pathlib import Path

MARK = "QUORATE_TEST_MARK"
GONE_S = 20.0


def marked(environment: dict[str, str]) -> tuple[str, dict[str, str]]:
    """A mark, and the environment that every descendant inherits it through."""
    mark = uuid.uuid4().hex
    return mark, {**environment, MARK: mark}


def processes(mark: str) -> list[str]:
    """Command lines of the living processes that carry the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in environment + command:
            found.append(f"{folder.name}: {command.replace(bytes(1), b' ').decode(errors='replace')}")
    return found


def processes_after_a_while(mark: str) -> list[str]:
    """As ``processes``, once there are none or it has taken too long."""
    deadline = time.monotonic() + GONE_S
    while (left := processes(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def listening(output: str) -> list[int]:
    """Ports of loopback that are named in ``output`` and taken."""
    ports = {int(port) for port in re.findall(r"127\.0\.0\.1(?::|/tcp/)(\d+)", output)}
    assert ports, "no port in the output"
    return [port for port in sorted(ports) if _answers(port)]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def clean_environment(home: Path) -> dict[str, str]:
    """A new user's: an empty home folder, nothing of ours, room for temporary files below it."""
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return {"HOME": str(home), "PATH": os.defpath, "TMPDIR": str(temporary), "COLUMNS": "140"}
