"""Following a job to its end, over as many connections as it takes.

Lives here: when to connect again, when to give up. Does not live here: showing (``cli.live``), one connection
(``cli.client``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cli.client import EVENT_READ_S, Client
from cli.errors import TimedOut, Unreachable
from cli.output import program, short_job
from node.api.views import EventView

RETRY_S = (0.2, 0.5, 1.0, 2.0, 4.0)  # Pauses before connecting again; as many failures in a row are the last word.
_SLACK_S = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the caller waits: until ``deadline`` (monotonic seconds), None for ever."""

    deadline: float | None = None

    @classmethod
    def of(cls, seconds: float | None) -> Patience:
        """From now on."""
        return cls(None if seconds is None else time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds; never negative."""
        return float("inf") if self.deadline is None else max(0.0, self.deadline - time.monotonic())


def follow(
    client: Client,
    job: str,
    patience: Patience,
    troubled: Callable[[str], None],
    pauses_s: Sequence[float] = RETRY_S,
) -> Iterator[EventView]:
    """Every event of the job, each once, up to ``ended``.

    A lost connection is resumed after the last event that came; ``troubled`` hears of it. Raises TimedOut, Unreachable
    when the node stays away, and what ``Client`` raises.
    """
    last, failures = None, 0
    while last is None or last.kind != "ended":
        after = last.seq if last else 0
        try:
            for last in _some(client, job, after, patience):
                failures = 0
                yield last
        except Unreachable as error:
            if not patience.left():
                raise _timed_out(job) from error
            if failures == len(pauses_s):
                raise _given_up(job, error) from error
            troubled(f"{error}; asking again")
            time.sleep(min(pauses_s[failures], patience.left()))
            failures += 1


def _some(client: Client, job: str, after: int, patience: Patience) -> Iterator[EventView]:
    """New events of one connection. Returns early, to ask again, once its silence could outlast the caller's patience.

    Raises TimedOut, Unreachable.
    """
    silent_s = min(patience.left(), EVENT_READ_S)
    if not silent_s:
        raise _timed_out(job)
    for event in client.events(job, after, silent_s):
        if event is not None and event.seq > after:
            after = event.seq
            yield event
            if event.kind == "ended":
                return
        left = patience.left()
        if not left or left < silent_s - _SLACK_S:
            return
    raise Unreachable("the node ended the stream of events")


def _given_up(job: str, error: Unreachable) -> Unreachable:
    return Unreachable(
        f"{error}; what became of job {short_job(job)} is not known",
        f"when the node is back: `{program()} job describe {short_job(job)}`",
    )


def _timed_out(job: str) -> TimedOut:
    return TimedOut(
        f"the wait is over, and job {short_job(job)} is not",
        f"it goes on: `{program()} job wait {short_job(job)}`, or end it: `{program()} job cancel {short_job(job)}`",
    )
