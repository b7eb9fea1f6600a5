"""How fast a connection may be made of nothing: small frames cost the node far more than they cost the peer.

The library handles some frames (pongs, types that do not exist) without ever letting other tasks run, and 64 KiB hold
five thousand of them. So every few reads others have their turn, and a connection that is small reads alone is slowed
down by its end. Bulk data earns what it needs: a long read gives back what a short one takes.

Lives here: counting reads. Does not live here: what is read (``hardening``, the library), the limit on messages
(``life``).
"""

from __future__ import annotations

from typing import Any

import trio

from node import limits
from node.transport.libp2p.session import Bucket

SMALL_BYTES = limits.KiB
READS_PER_TURN = 16


class Overrun(trio.TooSlowError):
    """A peer sent more than it was granted.

    The library's read loop survives every other exception; it ends the connection on the one it knows as a deadline.
    """


class Paced:
    """A secured connection whose reads are counted; everything else of it is as it was."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        rate = limits.SMALL_READS_PER_S
        self._bucket = Bucket(rate, 4 * rate, trio.current_time())
        self._reads = 0
        self.heard_at = trio.current_time()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def read(self, n: int) -> bytes:
        """As the connection reads. Raises Overrun."""
        data: bytes = await self._connection.read(n)
        self.heard_at = trio.current_time()
        if len(data) >= SMALL_BYTES:
            self._bucket.give()
        elif not self._bucket.take(trio.current_time()):
            raise Overrun(f"more than {limits.SMALL_READS_PER_S} small frames a second")
        self._reads += 1
        if self._reads % READS_PER_TURN == 0:
            await trio.lowlevel.checkpoint()
        return data
