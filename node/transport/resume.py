"""Going on where a broken stream ended, as long as each attempt brings something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from node.errors import PeerGone

ATTEMPTS_MAX = 8  # in a row that brought nothing
WAIT_S = 0.25  # before the second attempt; each further wait is twice as long, until something came


async def resumed(attempt: Callable[[], Awaitable[None]], received: Callable[[], int]) -> None:
    """Run ``attempt`` until it returns; ``received`` tells how many bytes are here. Raises its last PeerGone."""
    fruitless, wait_s = 0, WAIT_S
    while True:
        before = received()
        try:
            return await attempt()
        except PeerGone:
            fruitless, wait_s = (0, WAIT_S) if received() > before else (fruitless + 1, wait_s * 2)
            if fruitless == ATTEMPTS_MAX:
                raise
        await trio.sleep(wait_s)
