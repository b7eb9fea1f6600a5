"""What a program has left behind: processes that came from it, ports that somebody listens on."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from pathlib import Path

GONE_S = 20.0


class Watched:
    """A program whose descendants are counted with every line that it says, whatever sessions they have begun.

    The environment would not tell: some of them have none.
    """

    def __init__(self, command: list[str | Path], home: Path) -> None:
        self.process = subprocess.Popen(
            command,
            env=clean_environment(home),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""
        self._family: dict[int, str] = {}

    def until(self, words: str | None) -> None:
        """Listen up to a line on standard error that has these words; None: to its end."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            self._family |= descendants(self.process.pid)
            if words is not None and words in line:
                return
        assert words is None, self.said

    def end(self) -> tuple[int, str]:
        """Its exit code and standard output, once it has ended."""
        out, said = self.process.communicate(timeout=180)
        self.said += said
        return self.process.returncode, out

    def children(self) -> list[int]:
        """Its living descendants."""
        return sorted(descendants(self.process.pid))

    def left(self) -> list[str]:
        """Descendants, once there are none or that has taken too long; and taken ports."""
        deadline = time.monotonic() + GONE_S
        assert self._family, "it had no descendants"
        while (alive := [pid for pid, began in self._family.items() if began_at(pid) == began]) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.05)
        return [f"process {pid}" for pid in alive] + [f"port {port}" for port in listening(self.said)]

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def command_line(pid: int) -> str:
    """Of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(bytes(1), b" ").decode(errors="replace")
    except OSError:
        return ""


def descendants(pid: int) -> dict[int, str]:
    """By process id, when each began."""
    parents = {int(folder.name): _parent(int(folder.name)) for folder in Path("/proc").glob("[0-9]*")}
    family = {pid}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return {each: began for each in family - {pid} if (began := began_at(each))}


def began_at(pid: int) -> str | None:
    """In ticks since boot; None for a process that is gone, or dead and not yet waited for."""
    fields = _stat(pid)
    return fields[19] if fields and fields[0] not in "ZX" else None


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _stat(pid: int) -> list[str]:
    """proc(5), from the third field (state) on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


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
