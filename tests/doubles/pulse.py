"""A thread that asks a node whether it is there, again and again, and remembers how long each answer took.

Does not live here: what is slow (the tests say).
"""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

EVERY_S = 0.02
GIVEN_UP_S = 30.0


@dataclass(slots=True)
class Pulse:
    """``with Pulse(url):`` asks ``GET /health`` on one connection, as a load balancer would."""

    api_url: str
    answers_s: list[float] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def worst_s(self) -> float:
        """The slowest answer."""
        return max(self.answers_s)

    def __str__(self) -> str:
        """In milliseconds: the worst one, and the median, which tells how busy the machine was anyway."""
        median = statistics.median(self.answers_s)
        return f"worst {self.worst_s * 1000:.0f} ms, median {median * 1000:.1f} ms of {len(self.answers_s)} answers"

    def __enter__(self) -> Pulse:
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def _ask(self) -> None:
        place = urlsplit(self.api_url)
        assert place.hostname is not None
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=GIVEN_UP_S)
        while not self._over.wait(EVERY_S):
            began = time.monotonic()
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                answer.read()
                if answer.status != http.HTTPStatus.OK:
                    self.troubles.append(f"answered {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.troubles.append(repr(error))
                connection.close()
            self.answers_s.append(time.monotonic() - began)
        connection.close()
