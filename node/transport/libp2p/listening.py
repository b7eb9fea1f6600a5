"""The sockets we listen on and the addresses they can be reached at.

The library's own listener sets SO_REUSEPORT, so that two nodes share one port without a word; ours does not, so that
the second one hears ``AddressInUse``.
"""

from __future__ import annotations

import errno
import ipaddress
import socket

import ifaddr
import trio

from node.errors import AddressInUse, OperatorError
from node.model import PeerId
from node.transport.address import Address, of_ip

BACKLOG = 128


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Listen; port 0 takes a free one. Raises AddressInUse, and OperatorError for a host that is not here."""
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as error:  # socket.gaierror is one too
        if error.errno == errno.EADDRINUSE or _is_in_use(error):
            raise AddressInUse(
                f"{host} port {port} is taken: choose another with --swarm-port, or 0 for a free one"
            ) from error
        raise OperatorError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; --host names an address of this machine"
        ) from error


def addresses_of(listeners: list[trio.SocketListener], peer: PeerId) -> tuple[Address, ...]:
    """Where the listeners can be dialled: every interface's address for a listener on all of them, loopback first."""
    found: dict[Address, None] = {}
    for listener in listeners:
        ip, port = listener.socket.getsockname()[:2]
        hosts = _interfaces(listener.socket.family) if ipaddress.ip_address(ip).is_unspecified else [ip]
        for host in hosts:
            found[of_ip(host, port, peer)] = None
    return tuple(sorted(found, key=lambda address: not address.is_loopback))


def _is_in_use(error: OSError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE


def _interfaces(family: int) -> list[str]:
    ips = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    if family == socket.AF_INET:
        return [ip for ip in ips if isinstance(ip, str)]
    six = [ip[0] for ip in ips if not isinstance(ip, str)]
    return [ip for ip in six if not ipaddress.ip_address(ip.partition("%")[0]).is_link_local]
