"""Which keys a node admits: any on a loopback address, elsewhere those of an ``authorized_clients`` file.

The file is as ssh has it: one key a line, ``ed25519 <64 hex digits> <name>``; ``#`` begins a comment. It is read again
when it has changed. Lives here: who may come. Does not live here: whether a caller is who it says (``node.api.auth``).
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from node import limits
from node.errors import Forbidden, OperatorError
from node.model import ClientId

log = logging.getLogger("quorate.api")

_KEY = re.compile(r"[0-9a-f]{64}\Z")
_Stamp = tuple[int, int, int] | None  # mtime in ns, size, inode; None: there is no such file


class Admission(Protocol):
    """Decides about keys that proved themselves."""

    def check(self, client: ClientId, host: str | None) -> None:
        """Raise Forbidden unless ``client`` may use this node; ``host`` is the request's Host header."""


class AnyKey:
    """For a loopback address: whoever reaches it is on this machine.

    But a web page could be made to reach it, by a name of its own that it lets point to 127.0.0.1 (DNS rebinding); so
    the request must have named this machine by an address, or as localhost.
    """

    def check(self, client: ClientId, host: str | None) -> None:  # noqa: ARG002
        """See Admission."""
        if host is not None and not is_local_name(_without_port(host)):
            raise Forbidden(f"expected the Host of a loopback address, got {host[:100]!r}; use http://127.0.0.1:<port>")


class ListedKeys:
    """For any other address."""

    def __init__(self, path: Path) -> None:
        """Raises OperatorError when the file is there and malformed."""
        self._path = path
        self._stamp = _stamp(path)
        self._names = read_clients(path)

    def check(self, client: ClientId, host: str | None) -> None:  # noqa: ARG002
        """See Admission."""
        self._refresh()
        if client not in self._names:
            raise Forbidden(
                "this node does not know your key; ask its operator to add this line to its authorized_clients file:"
                f" ed25519 {client} <your name>"
            )

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._names = read_clients(self._path)
        except OperatorError as error:
            log.error("authorized_clients_kept", extra={"why": str(error)})  # noqa: TRY400  (not a bug)
        else:
            log.info("authorized_clients_read", extra={"clients": len(self._names)})


def admission_for(host: str, authorized_clients: Path | None) -> Admission:
    """Who may use an API that listens on ``host``. Raises OperatorError."""
    if is_local_name(host) and (host == "localhost" or ipaddress.ip_address(host).is_loopback):
        return AnyKey()
    if authorized_clients is None:
        raise OperatorError(
            f"an API on {host} needs a list of who may use it: give --authorized-clients FILE"
            " (a line for each: ed25519 <64 hex digits> <name>), or listen on 127.0.0.1"
        )
    return ListedKeys(authorized_clients)


def list_without_effect(admission: Admission, authorized_clients: Path | None) -> str:
    """Why a list that was given admits or keeps out nobody, so that an operator hears of it; "" when it does."""
    if authorized_clients is None:
        return ""
    if isinstance(admission, AnyKey):
        return "the API listens on loopback, where any key may come"
    return "" if authorized_clients.exists() else "there is no such file, so nobody may come"


def read_clients(path: Path) -> Mapping[ClientId, str]:
    """Names by key; nobody when there is no such file. Raises OperatorError."""
    try:
        with path.open("rb") as file:
            raw = file.read(limits.CLIENTS_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise OperatorError(f"{path}: the authorized clients cannot be read: {error.strerror}") from error
    if len(raw) > limits.CLIENTS_FILE_BYTES_MAX:
        raise OperatorError(f"{path}: expected at most {limits.CLIENTS_FILE_BYTES_MAX} bytes")
    return parse_clients(raw.decode("utf-8", "replace"), str(path))


def parse_clients(text: str, where: str) -> Mapping[ClientId, str]:
    """The lines of such a file. Raises OperatorError that names the line."""
    names: dict[ClientId, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split(maxsplit=2)
        if not words:
            continue
        if len(words) != 3 or words[0] != "ed25519" or not _KEY.match(words[1]):
            raise OperatorError(f"{where}:{number}: expected `ed25519 <64 hex digits> <name>`, got {line[:100]!r}")
        names[ClientId(words[1])] = words[2].strip()
    return names


def is_local_name(name: str) -> bool:
    """Whether no name server decides where this leads: an address, or localhost."""
    if name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _stamp(path: Path) -> _Stamp:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
