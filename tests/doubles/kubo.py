"""A real Kubo daemon on loopback, alone in the world: no bootstrap, no routing, no discovery, no telemetry.

Lives here: starting, asking, hurting and ending it. Does not live here: where the program comes from on this machine
(``tests/tools/kubo.sh``), the fixtures (``tests/conftest.py``).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from needs import Need

READY_S = 60.0
ALONE = {
    "Routing": {"Type": "none"},
    "Provide": {"Enabled": False},
    "HTTPRetrieval": {"Enabled": False},
    "Swarm": {"DisableNatPortMap": True, "RelayClient": {"Enabled": False}, "RelayService": {"Enabled": False}},
    "Version": {"SwarmCheckEnabled": False},
}
_WHERE = {"API": "RPC API server listening on ", "Gateway": "Gateway server listening on "}
_READY = "Daemon is ready"


def kubo_program() -> str:
    """Where ``ipfs`` is; the test that asks cannot run without it."""
    return Need().built(
        "kubo.sh", "Kubo is built with Go: install Go 1.21 or later (https://go.dev/dl), or Kubo itself"
    )


@dataclass
class Kubo:
    """One daemon, running unless a test stopped it. Addresses stay the same when it is started again."""

    program: str
    repo: Path
    peer_id: str = ""
    said: list[str] = field(default_factory=list)
    _addresses: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None
    _heard: threading.Event = field(default_factory=threading.Event)

    @property
    def api(self) -> str:
        """Of its RPC, as ``--ipfs-connect`` takes it: ``/ip4/127.0.0.1/tcp/PORT``."""
        return self._addresses["API"]

    @property
    def api_url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return _url(self.api)

    @property
    def gateway_url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return _url(self._addresses["Gateway"])

    @property
    def swarm(self) -> str:
        """Where IPFS nodes reach it: ``/ip4/127.0.0.1/tcp/PORT/p2p/ID``."""
        return f"{self._addresses['Swarm']}/p2p/{self.peer_id}"

    @property
    def pid(self) -> int:
        """Of the daemon, which is also its process group's."""
        assert self._process is not None
        return self._process.pid

    def ipfs(self, *arguments: str, given: bytes = b"") -> bytes:
        """What ``ipfs ARGUMENTS`` prints; AssertionError with its words if it fails."""
        done = subprocess.run(
            [self.program, *arguments],
            env=self._env,
            input=given,
            capture_output=True,
            timeout=READY_S * 5,
            check=False,
        )
        assert done.returncode == 0, f"ipfs {' '.join(arguments)}: {done.stderr.decode()}"
        return done.stdout

    def add(self, path: Path, *flags: str) -> str:
        """The CID of a file, or of a folder and all in it."""
        return self.ipfs("add", "--quieter", "--recursive", *flags, str(path)).decode().strip()

    def swarm_connect(self, address: str) -> None:
        """Let it dial an IPFS node."""
        self.ipfs("swarm", "connect", address)

    def start(self) -> None:
        """Until it answers."""
        self._configure()
        self._heard.clear()
        self._process = subprocess.Popen(
            [self.program, "daemon", "--migrate=false"],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._follow)
        self._reader.start()
        assert self._heard.wait(READY_S), "".join(self.said)
        assert self._process.poll() is None, "".join(self.said)
        told = json.loads(self.ipfs("id"))
        self.peer_id = told["ID"]
        self._addresses["Swarm"] = told["Addresses"][0].partition("/p2p/")[0]

    def stop(self) -> None:
        """As an operator would; killed if it does not end."""
        if self._process is None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(READY_S)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
        self._gone()

    def kill(self) -> None:
        """As the out-of-memory killer would."""
        self.signal(signal.SIGKILL)
        self._gone()

    def restart(self) -> None:
        """Stop it, and start it at the same addresses."""
        self.stop()
        self.start()

    def signal(self, which: signal.Signals) -> None:
        """To the daemon and its children: SIGSTOP makes it silent, SIGCONT lets it go on."""
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, which)

    @property
    def _env(self) -> dict[str, str]:
        alone = {"IPFS_PATH": str(self.repo), "HOME": str(self.repo), "IPFS_TELEMETRY": "off"}
        return {name: value for name, value in os.environ.items() if not name.startswith("IPFS_")} | alone

    def _configure(self) -> None:
        if not (self.repo / "config").exists():
            self.ipfs("init", "--profile", "test", "--empty-repo")
        path = self.repo / "config"
        config = json.loads(path.read_text())
        for name, settings in ALONE.items():
            config[name].update(settings)
        for name, address in self._addresses.items():
            config["Addresses"][name] = [address] if name == "Swarm" else address
        path.write_text(json.dumps(config))

    def _follow(self) -> None:
        """Read what it says until it ends."""
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._hear(line)
        self._heard.set()

    def _hear(self, line: str) -> None:
        self.said.append(line)
        for name, words in _WHERE.items():
            if line.startswith(words):
                self._addresses[name] = line.removeprefix(words).strip()
        if line.startswith(_READY):
            self._heard.set()

    def _gone(self) -> None:
        assert self._process is not None
        assert self._reader is not None
        self._process.wait(READY_S)
        self._reader.join(READY_S)
        self._process = None


@contextmanager
def kubo_daemon(program: str, repo: Path) -> Iterator[Kubo]:
    """A daemon that answers, with nothing in it; ``repo`` is its folder, which need not exist."""
    repo.mkdir(parents=True, exist_ok=True)
    kubo = Kubo(program, repo)
    try:
        kubo.start()
        yield kubo
    finally:
        kubo.stop()


def _url(address: str) -> str:
    _, _, host, _, port = address.split("/")
    return f"http://{host}:{port}"
