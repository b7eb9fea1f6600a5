"""Serving the application on trio's listeners, in the node's own task tree.

Accepting, counting, and the end of connections are here, because a connection that goes wrong in any way must cost that
connection and nothing else of the node. What happens on one connection is ``node.api.connection``'s.
"""

from __future__ import annotations

import ipaddress
import logging

import trio
from anycorn.config import Config
from anycorn.worker_context import WorkerContext
from litestar import Litestar

from node import limits
from node.api.connection import Connection
from node.errors import AddressInUse

log = logging.getLogger("quorate.api")

_BACKLOG = 128


async def serve_api(
    app: Litestar, host: str, port: int, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer until cancelled; ``started`` with the base URL, as ``http://127.0.0.1:1234``, once it listens.

    Port 0 means any free one. When cancelled, answers under way have ``limits.HTTP_DRAIN_S``. Raises AddressInUse.
    """
    listeners = await _listening(host, port)
    server = _Server(app)
    async with trio.open_nursery() as connections:
        try:
            task_status.started(_url(listeners[0]))
            await trio.serve_listeners(server.handle, listeners, handler_nursery=connections)
        finally:
            await server.end_by(trio.current_time() + limits.HTTP_DRAIN_S)


class _Server:
    """The connections there are."""

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self._config = _config()
        self._context = WorkerContext(None)
        self._open: dict[Connection, trio.CancelScope] = {}

    async def handle(self, stream: trio.SocketStream) -> None:
        """The whole life of one connection. Shielded: ``end_by`` ends it."""
        if len(self._open) >= limits.HTTP_CONNECTIONS_MAX and not self._made_room():
            log.warning("connection_refused", extra={"open": len(self._open)})
            await trio.aclose_forcefully(stream)
            return
        connection, scope = Connection(stream), trio.CancelScope(shield=True)
        self._open[connection] = scope
        try:
            with scope:
                await connection.serve(self._app, self._config, self._context)
        except Exception:  # The HTTP edge: a bug of the protocol code ends one connection, not the node.
            log.exception("connection_failed")
        finally:
            self._open.pop(connection, None)

    def _made_room(self) -> bool:
        """Close the oldest idle connection, else the one that takes nothing for longest: neither keeps others out."""
        useless = next((connection for connection in self._open if connection.is_idle), None) or self._slowest()
        if useless is not None:
            useless.end_by(trio.current_time())
            del self._open[useless]
        return useless is not None

    def _slowest(self) -> Connection | None:
        slowest, since = None, trio.current_time() - limits.HTTP_SLOW_S
        for connection in self._open:
            if connection.slow_since is not None and connection.slow_since <= since:
                slowest, since = connection, connection.slow_since
        return slowest

    async def end_by(self, deadline: float) -> None:
        """Idle connections end now, the others when they are done or at the deadline."""
        await self._context.terminated.set()
        for connection, scope in self._open.items():
            connection.end_by(deadline)
            scope.deadline = deadline


def _config() -> Config:
    config = Config()
    config.errorlog = logging.getLogger("quorate.api.http")
    config.errorlog.setLevel(logging.WARNING)  # Below that it tells of every malformed request.
    config.h11_max_incomplete_size = limits.HTTP_HEAD_BYTES_MAX
    config.include_server_header = False
    return config


async def _listening(host: str, port: int) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
    except OSError as error:
        raise AddressInUse(
            f"the API cannot listen on {host}:{port}: {error.strerror or error};"
            " choose another with --api-host and --api-port (0: any free one)"
        ) from error


def _url(listener: trio.SocketListener) -> str:
    """Where to reach it from this machine."""
    host, port = listener.socket.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://{address}:{port}" if address.version == 4 else f"http://[{address}]:{port}"
