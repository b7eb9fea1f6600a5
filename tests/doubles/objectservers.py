"""Real servers of objects on loopback: versitygw for S3, Azurite for Azure. Each on a free port, in a test's folder.

Lives here: starting and ending them, buckets, what a node's environment must say to reach them. Does not live here:
where the programs come from (``tests/tools``), the fixtures (``tests/conftest.py``).
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from urllib.request import Request, urlopen

from needs import Need
from obstore.store import AzureStore, S3Store

READY_S = 60.0

# A test run that is killed ends nothing itself.
_DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
_LISTENS = re.compile(r"successfully listens on (http://\S+)")

# Azurite's own, in its documentation.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
S3_KEY, S3_SECRET = "quorate-tests", "s3cret-of-the-tests"


@dataclass
class ObjectServer:
    """One server, until the context ends. ``env`` is what a node reads to reach it."""

    scheme: str
    url: str  # of its HTTP
    env: dict[str, str]
    folder: Path
    process: subprocess.Popen[bytes]
    buckets: list[str] = field(default_factory=list)

    def bucket(self) -> str:
        """A new one, empty: ``s3://NAME`` or ``az://NAME``."""
        assert self.process.poll() is None, (self.folder / "log").read_text()
        name = f"bucket{len(self.buckets)}"
        self.buckets.append(name)
        if self.scheme == "s3":
            (self.folder / "s3" / name).mkdir()
        else:
            _make_container(self.url, name)
        return f"{self.scheme}://{name}"

    def store(self, bucket: str) -> S3Store | AzureStore:
        """A bucket as obstore has it; the environment has to have ``env``."""
        make = S3Store if self.scheme == "s3" else AzureStore
        return make(bucket.partition("://")[2], client_options={"allow_http": True})

    def signal(self, which: signal.Signals) -> None:
        """SIGSTOP makes it silent, SIGCONT lets it go on."""
        os.killpg(self.process.pid, which)
        if which == signal.SIGSTOP:
            os.waitpid(self.process.pid, os.WUNTRACED)  # All its threads have stopped.


def s3_program() -> list[str]:
    """What to run; the test that asks cannot run without it."""
    return [Need().built("versitygw.sh", "versitygw is built with Go: install Go 1.21 or later (https://go.dev/dl)")]


def azure_program() -> list[str]:
    """What to run; the test that asks cannot run without it."""
    return Need().built("azurite.sh", "Azurite comes from npm: install Node.js 20 or later, with npm").split(" ")


@contextmanager
def s3_server(program: Sequence[str], folder: Path) -> Iterator[ObjectServer]:
    """An S3 that answers, with no bucket in it."""
    for name in ("s3", "sidecar"):
        (folder / name).mkdir(parents=True)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    posix = ["posix", "--sidecar", str(folder / "sidecar"), str(folder / "s3")]
    command = [*program, "--port", f"127.0.0.1:{port}", "--health", "/health", "--quiet", *posix]
    env = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": S3_KEY,
        "AWS_SECRET_ACCESS_KEY": S3_SECRET,
    }
    root = {"ROOT_ACCESS_KEY": S3_KEY, "ROOT_SECRET_KEY": S3_SECRET}
    with _running(command, root, folder / "log") as process:
        _until(process, folder / "log", lambda: _answers(f"{url}/health"))
        yield ObjectServer("s3", url, env, folder, process)


@contextmanager
def azure_server(program: Sequence[str], folder: Path) -> Iterator[ObjectServer]:
    """An Azure Blob that answers, with no container in it."""
    folder.mkdir(parents=True)
    flags = ["--blobPort", "0", "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location", str(folder)]
    log = folder / "log"
    with _running([*program, *flags], {}, log) as process:
        _until(process, log, lambda: bool(_LISTENS.search(log.read_text())))
        match = _LISTENS.search(log.read_text())
        assert match is not None
        url = f"{match[1]}/{ACCOUNT}"
        env = {
            "AZURE_STORAGE_ENDPOINT": url,
            "AZURE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
        }
        yield ObjectServer("az", url, env, folder, process)


@contextmanager
def _running(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*_DIES_WITH_US, *command],
            env=os.environ | env,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _until(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool]) -> None:
    """Ask until it is so, or the process is gone."""
    until = time.monotonic() + READY_S
    while not ready():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, f"not ready in {READY_S:g} s: {log.read_text()}"
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=READY_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _make_container(url: str, name: str) -> None:
    """Create Container, signed by "Shared Key"; obstore makes none."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    named = "".join(f"{key}:{value}\n" for key, value in headers.items())
    signed = "PUT" + "\n" * 12 + f"{named}/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    digest = hmac.digest(base64.b64decode(ACCOUNT_KEY), signed.encode(), "sha256")
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    request = Request(f"{url}/{name}?restype=container", headers=headers | {"Content-Length": "0"}, method="PUT")
    with urlopen(request, timeout=READY_S) as answer:
        assert answer.status == 201
