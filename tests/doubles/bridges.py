"""A docker engine whose containers have a network, and a server in it; nothing of this machine's network is touched.

The bridge is docker's own, in a network namespace of the engine's, which ends with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from doubles.dockers import BRIDGE, Docker, private_docker
from needs import Need

NO_BRIDGE = "a kernel with bridges and veth pairs (modprobe bridge veth)"

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>


@dataclass(frozen=True)
class Teller:
    """A TCP server that tells whoever connects one thing."""

    address: str
    port: int
    heard: list[str] = field(default_factory=list)  # addresses of who connected


@contextmanager
def networked_docker() -> Iterator[Docker]:
    """One of its own; it takes a kernel that has bridges."""
    with contextlib.ExitStack() as running:
        try:
            made = running.enter_context(private_docker(has_network=True))
        except AssertionError as failed:
            if 'default "bridge" network' not in str(failed):
                raise
            Need().lacking(f"{NO_BRIDGE}: {failed}")
        yield made


@contextmanager
def telling(engine: Docker, word: bytes) -> Iterator[Teller]:
    """A server on the engine's end of the bridge."""
    with _listening(engine) as server:
        teller = Teller(*server.getsockname())
        serving = threading.Thread(target=_tell, args=(server, word, teller.heard))
        serving.start()
        try:
            yield teller
        finally:
            server.shutdown(socket.SHUT_RDWR)
            serving.join()


def _listening(engine: Docker) -> socket.socket:
    """In the engine's network: a thread goes there, because a thread that went stays."""
    made: list[socket.socket] = []

    def listen() -> None:
        with engine.namespace.open("rb") as network:
            assert ctypes.CDLL(None).setns(network.fileno(), _CLONE_NEWNET) == 0
        made.append(socket.create_server((BRIDGE, 0)))

    gone = threading.Thread(target=listen)
    gone.start()
    gone.join()
    return made[0]


def _tell(server: socket.socket, word: bytes, heard: list[str]) -> None:
    """Until the server is shut down."""
    with contextlib.suppress(OSError):
        while True:
            connection, (address, _) = server.accept()
            heard.append(address)
            with connection:
                connection.sendall(word)
