"""Several nodes as processes of this machine: started, found ready, ended, whatever happens in between.

Lives here: the life of the processes and their ports. Does not live here: what is done with the nodes
(``cli.demo.demo``, ``cli.demo.devnet``).

Each node is its own session, so that a Ctrl-C at the terminal reaches the demo alone, and on a leash
(``cli.demo.leash``), so that it cannot outlive the demo. The first one is the bootstrap peer of the others.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cli.errors import CommandError

READY_S = 90.0  # Slower than that is broken; a node takes two or three seconds.
STOP_S = 10.0  # After SIGTERM; then SIGKILL.
LAST_LINES = 15

Ready = queue.SimpleQueue[tuple[int, dict[str, Any] | None]]


class NodesError(CommandError):
    """A node did not start, or left something behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which nodes to start."""

    folder: Path
    count: int
    unsealed: str | None = None  # template of ``--filecoin-unsealed-path``
    liars: int = 0  # the last ones run ``cli.demo.liar`` in place of ``serve``


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A node that takes jobs."""

    name: str
    peer_id: str
    addresses: tuple[str, ...]
    api_url: str
    data_dir: Path
    log: Path
    lies: bool

    @property
    def label(self) -> str:
        """The name, and that it lies, for people."""
        return f"{self.name} (liar)" if self.lies else self.name


@dataclass(frozen=True, slots=True)
class Network:
    """Nodes that know each other."""

    nodes: tuple[Running, ...]
    _ready: Ready

    def next_end(self) -> Running:
        """Waits until a node ends that was not told to, and says which."""
        index, fields = self._ready.get()
        assert fields is None, "a node is ready once"
        return self.nodes[index]


@contextlib.contextmanager
def running(plan: Plan) -> Iterator[Network]:
    """The nodes of the plan, all ready. Afterwards none of their processes is left and their ports are free.

    Raises NodesError.
    """
    fleet = _Fleet(plan)
    try:
        yield fleet.start()
    finally:
        with signals_held():
            fleet.stop()
    fleet.check_ports()


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP leave by SystemExit, as SIGINT does by KeyboardInterrupt, so that everything is ended."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Bounded clean-up that a second Ctrl-C does not interrupt."""
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in kinds}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Fleet:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._ready: Ready = queue.SimpleQueue()
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []
        self._nodes: dict[int, Running] = {}

    def start(self) -> Network:
        """All of them, ready, in order."""
        deadline = time.monotonic() + READY_S
        (self._plan.folder / "logs").mkdir(parents=True, exist_ok=True)
        self._launch(0, ())
        self._await_ready(1, deadline)
        for index in range(1, self._plan.count):
            self._launch(index, self._nodes[0].addresses[:1])
        self._await_ready(self._plan.count, deadline)
        return Network(tuple(self._nodes[index] for index in range(self._plan.count)), self._ready)

    def stop(self) -> None:
        """SIGTERM, a bounded wait, SIGKILL for a node and whatever it may have started."""
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for reader in self._readers:
            reader.join(STOP_S)

    def check_ports(self) -> None:
        """Raises NodesError when somebody still listens where a node did."""
        ports = sorted({port for node in self._nodes.values() for port in ports_of(node)})
        taken = [port for port in ports if not _is_free(port)]
        if taken:
            raise NodesError(f"still taken after all nodes have ended: port {', '.join(map(str, taken))}")

    def _launch(self, index: int, peers: Sequence[str]) -> None:
        process = subprocess.Popen(
            self._command(index, peers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._processes[index] = process
        reader = threading.Thread(target=_follow, args=(index, process, self._log(index), self._ready), daemon=True)
        self._readers.append(reader)
        reader.start()

    def _command(self, index: int, peers: Sequence[str]) -> list[str]:
        module = ["cli.demo.liar"] if self._lies(index) else ["cli.main", "serve"]
        command = [sys.executable, "-P", "-m", "cli.demo.leash", str(os.getpid()), *module]
        command += ["--data-dir", str(self._data_dir(index)), "--log-format", "json"]
        command += ["--host", "127.0.0.1", "--swarm-port", "0", "--api-host", "127.0.0.1", "--api-port", "0"]
        if self._plan.unsealed is not None:
            command += ["--filecoin-unsealed-path", self._plan.unsealed]
        for peer in peers:
            command += ["--peer", peer]
        return command

    def _await_ready(self, count: int, deadline: float) -> None:
        while len(self._nodes) < count:
            try:
                index, fields = self._ready.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise NodesError(f"only {len(self._nodes)} of {count} nodes were ready in {READY_S:.0f} s") from None
            if fields is None:
                raise NodesError(f"{_name(index)} ended before it was ready:\n{_tail(self._log(index))}")
            self._nodes[index] = Running(
                name=_name(index),
                peer_id=fields["peer_id"],
                addresses=tuple(fields["addresses"]),
                api_url=fields["api_url"],
                data_dir=self._data_dir(index),
                log=self._log(index),
                lies=self._lies(index),
            )

    def _lies(self, index: int) -> bool:
        return index >= self._plan.count - self._plan.liars

    def _log(self, index: int) -> Path:
        return self._plan.folder / "logs" / f"{_name(index)}.jsonl"

    def _data_dir(self, index: int) -> Path:
        return self._plan.folder / "nodes" / _name(index)


def ports_of(node: Running) -> tuple[int, ...]:
    """Where a node listens on loopback: ``/ip4/127.0.0.1/tcp/PORT/p2p/…`` and its API."""
    swarm = [int(address.split("/")[4]) for address in node.addresses]
    api = urlsplit(node.api_url).port
    assert api is not None
    return (*swarm, api)


def _follow(index: int, process: subprocess.Popen[str], log: Path, ready: Ready) -> None:
    """Keep what a node says, and pass on that it is ready, or that it has ended (None)."""
    assert process.stdout is not None
    with process.stdout, log.open("w", buffering=1) as kept:
        for line in process.stdout:
            kept.write(line)
            fields = _event(line)
            if fields.get("event") == "ready":
                ready.put((index, fields))
    ready.put((index, None))


def _event(line: str) -> dict[str, Any]:
    """What a node logs; a traceback or a library's own words are no event."""
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _name(index: int) -> str:
    return f"node-{index + 1}"


def _tail(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-LAST_LINES:])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
