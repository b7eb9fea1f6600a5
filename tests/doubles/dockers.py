"""A real docker engine: the one of this machine, or one that a test process starts for itself, and images for it.

The private one lives in namespaces of its own: processes, so that whatever it started ends with it however the tests
end, and mounts, so that none is left. Its cgroups lie below one that is named after the process of the tests; what was
left of both by a run that was killed is removed by the next. Its containers have no network, unless it is to have one
of its own. Does not live here: where the program comes from (``tests/tools/docker.sh``), who is in that network
(``bridges``), the fixtures (``tests/conftest.py``).
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import NotFound
from needs import Need

READY_S = 60.0
HOW = "a docker engine: run one (DOCKER_HOST or /var/run/docker.sock), or, as root on Debian, let the tests install it"
NO_SANDBOX = "gVisor: apt-get install runsc"
MACHINES = "unix:///var/run/docker.sock"
LABEL = "org.quorate.node"
BRIDGE = "172.17.0.1"  # What an engine with a network has on it.

# Busybox's only program that makes one does it where /dev/log leads; that takes root inside.
LEAVES_A_SOCKET = "ln -s /outputs/socket /dev/log; syslogd -n -O /dev/null & until [ -S /outputs/socket ]; do :; done"

_PREFIX = "quorate-docker-"
_DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"]
_ALONE = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass
class Docker:
    """An engine that answers. ``folder`` None: it is the machine's own, and not for tests to hurt."""

    host: str
    folder: Path | None = None
    flags: tuple[str, ...] = ()
    has_network: bool = False
    _process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return Path(self.host.removeprefix("unix://"))

    @property
    def namespace(self) -> Path:
        """Of the network that it has for itself."""
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/ns/net")

    @contextmanager
    def client(self) -> Iterator[docker.APIClient]:
        """The SDK, for who looks from outside."""
        with docker.APIClient(base_url=self.host, version="auto", timeout=READY_S) as client:
            yield client

    def image(self, *changes: str, files: dict[str, bytes] | None = None, name: str = "") -> str:
        """The id of a new local image: busybox, with these lines of a Dockerfile."""
        with self.client() as client:
            client.import_image_from_data(
                _tar(files or {}), repository=name or "quorate-test", tag="latest", changes=list(changes)
            )
            made = str(client.inspect_image(name or "quorate-test")["Id"])
        return made

    def containers(self) -> list[str]:
        """Names of all that a node of ours made, also of those that do not run."""
        with self.client() as client:
            found = client.containers(all=True, filters={"label": LABEL})
        return [one["Names"][0].lstrip("/") for one in found]

    def running(self) -> int:
        """How many of them run; the engine's list of those that do is a moment behind."""
        with self.client() as client:
            return sum(_runs(client, name) for name in self.containers())

    def until_running(self, count: int = 1) -> None:
        """So many."""
        until(lambda: self.running() >= count, lambda: f"only {self.running()} run")

    def until_empty(self) -> None:
        """The engine removes what ended by itself, a moment later."""
        until(lambda: not self.containers(), lambda: f"left over: {self.containers()}")

    def start(self) -> None:
        """Until it answers."""
        assert self.folder is not None
        with (self.folder / "log").open("ab") as said:
            self._process = subprocess.Popen(
                [*_DIES_WITH_US, *self._alone(), *_command(self.folder), *self._bridge(), *self.flags],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(lambda: answers(self.host), (self.folder / "log").read_text, self._process)

    def kill(self) -> None:
        """As a power cut would: it, and all that it runs."""
        assert self._process is not None
        assert self.folder is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for name in ("pid", "docker.sock"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "exec", ignore_errors=True)

    def freeze(self, which: signal.Signals) -> None:
        """SIGSTOP makes the engine silent, SIGCONT lets it go on."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), which)

    def _alone(self) -> list[str]:
        return [_ALONE[0], "--net", *_ALONE[1:]] if self.has_network else _ALONE

    def _bridge(self) -> list[str]:
        """Docker makes its own."""
        return ["--bip", f"{BRIDGE}/24"] if self.has_network else ["--bridge", "none"]


def the_docker() -> Iterator[Docker]:
    """The machine's engine, or a private one until the end."""
    host = os.environ.get("DOCKER_HOST") or MACHINES
    if host.startswith("unix://") and answers(host):
        yield Docker(host)
        return
    with private_docker() as made:
        yield made


@contextmanager
def private_docker(*flags: str, has_network: bool = False) -> Iterator[Docker]:
    """One that may be hurt; nothing of it is left."""
    Need().built("docker.sh", HOW)
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    made = Docker(f"unix://{folder}/docker.sock", folder, (*flags, *_sandbox(folder)), has_network)
    try:
        made.start()
        yield made
    finally:
        made.kill()
        _remove(folder)


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """``127.0.0.1:PORT`` of a registry without an image."""
    program = Need()("docker-registry", "apt-get install docker-registry")
    folder.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}},"
        f" delete: {{enabled: true}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    with (folder / "log").open("wb") as said:
        process = subprocess.Popen(
            [*_DIES_WITH_US, program, "serve", str(folder / "config.yml")],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: _listens(address), (folder / "log").read_text, process)
        yield address
    finally:
        process.kill()
        process.wait()


def pushed(engine: Docker, name: str) -> str:
    """The digest under which a local image ``REGISTRY/NAME:latest`` is now in its registry."""
    with engine.client() as client:
        said = client.push(name, tag="latest", stream=True, decode=True)
        found = [line["aux"]["Digest"] for line in said if "aux" in line]
    assert found, f"{name} was not pushed"
    return str(found[-1])


def until(
    ready: Callable[[], bool], what: Callable[[], str] = str, process: subprocess.Popen[bytes] | None = None
) -> None:
    """Ask until it is so, or the process is gone. Blocking."""
    end = time.monotonic() + READY_S
    while not ready():
        assert process is None or process.poll() is None, what()
        assert time.monotonic() < end, what()
        time.sleep(0.05)


def answers(host: str) -> bool:
    """Whether an engine is there."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(READY_S)
        try:
            connection.connect(host.removeprefix("unix://"))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
        except OSError:
            return False


def _runs(client: docker.APIClient, name: str) -> bool:
    with contextlib.suppress(NotFound):
        return bool(client.inspect_container(name)["State"]["Running"])
    return False


def _command(folder: Path) -> list[str]:
    roots = ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
    apart = ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
    cgroups = ["--cgroup-parent", f"/{_PREFIX}{os.getpid()}"]
    return ["dockerd", "--host", f"unix://{folder}/docker.sock", *roots, *apart, *cgroups]


def _sandbox(folder: Path) -> Sequence[str]:
    """gVisor, where it is installed; without KVM, and in the cgroups that the engine makes."""
    found = shutil.which("runsc")
    if found is None:
        return ()
    script = folder / "runsc"
    script.write_text(f'#!/bin/sh\nexec {found} --platform=ptrace --network=none --ignore-cgroups "$@"\n')
    script.chmod(0o755)
    return ("--add-runtime", f"runsc={script}")


def _tar(files: dict[str, bytes]) -> bytes:
    busybox = shutil.which("busybox") or Need().lacking("busybox: apt-get install busybox-static")
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add(os.path.realpath(busybox), "bin/busybox")
        names = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        for name in set(names) - {"busybox"}:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port))):
            return True
    except OSError:
        return False


def _sweep() -> None:
    """What runs left whose process is no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if not Path("/proc", folder.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            shutil.rmtree(folder, ignore_errors=True)
    for group in _CGROUPS.glob(f"*/{_PREFIX}*"):
        if not Path("/proc", group.name.removeprefix(_PREFIX)).exists():
            _remove_cgroup(group)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for group in (*_CGROUPS.glob(f"*/{_PREFIX}{os.getpid()}"), *_CGROUPS.glob(f"{_PREFIX}{os.getpid()}")):
        _remove_cgroup(group)


def _remove_cgroup(group: Path) -> None:
    """Its folders, from the inside out; the files in them go with them."""
    for inner, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(inner)
