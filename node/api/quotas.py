"""How much of something each client holds at the moment, with a limit for each and one for all."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from node.errors import TooMany
from node.model import ClientId


class Quota:
    """Counts what clients hold. ``what`` is the plural used in refusals."""

    def __init__(self, what: str, *, per_client: int, overall: int) -> None:
        self._what = what
        self._per_client = per_client
        self._overall = overall
        self._held: Counter[ClientId] = Counter()

    @contextlib.contextmanager
    def one(self, client: ClientId) -> Iterator[None]:
        """Hold one for the time of the context. Raises TooMany."""
        if self._held[client] >= self._per_client:
            raise TooMany(f"you have {self._held[client]} {self._what} open; end one first")
        if self._held.total() >= self._overall:
            raise TooMany(f"this node has as many {self._what} open as it takes; try again later")
        self._held[client] += 1
        try:
            yield
        finally:
            self._held[client] -= 1
            if not self._held[client]:
                del self._held[client]
