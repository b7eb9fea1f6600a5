"""Following a job: every event once, over as many connections as it takes, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from doubles.fakenode import history

from cli.errors import TimedOut, Unreachable
from cli.following import Patience, follow
from node.api.views import EventView

EVENTS = history("submitted", "bid", "started", "ended")
Connection = Callable[[int], Iterator[EventView | None]]


class Streams:
    """A client whose connections do as they are told; ``asked`` is where each began, and how long it may be silent."""

    def __init__(self, *connections: Connection) -> None:
        self._connections = list(connections)
        self.asked: list[tuple[int, float]] = []

    def events(self, job: str, after: int, silent_s: float) -> Iterator[EventView | None]:
        self.asked.append((after, silent_s))
        return self._connections.pop(0)(after)


def sends(*events: EventView | None) -> Connection:
    return lambda _: iter(events)


def lost(*events: EventView | None) -> Connection:
    def connection(_: int) -> Iterator[EventView | None]:
        yield from events
        raise Unreachable("gone")

    return connection


def followed(streams: Any, patience: Patience | None = None) -> tuple[list[int], list[str]]:
    troubles: list[str] = []
    told = follow(streams, "ab" * 16, patience or Patience(), troubles.append, pauses_s=(0, 0))
    return [event.seq for event in told], troubles


def test_a_whole_stream_is_told_once() -> None:
    streams = Streams(sends(*EVENTS))

    assert followed(streams) == ([1, 2, 3, 4], [])


def test_a_lost_connection_is_resumed_after_the_last_event() -> None:
    streams = Streams(lost(*EVENTS[:2]), lost(), sends(*EVENTS[2:]))

    seen, troubles = followed(streams)

    assert seen == [1, 2, 3, 4]
    assert [after for after, _ in streams.asked] == [0, 2, 2]
    assert len(troubles) == 2


def test_events_that_come_again_are_not_told_again() -> None:
    assert followed(Streams(lost(*EVENTS[:3]), sends(*EVENTS)))[0] == [1, 2, 3, 4]


def test_a_stream_that_ends_before_the_job_is_a_lost_connection() -> None:
    assert followed(Streams(sends(*EVENTS[:2]), sends(*EVENTS[2:])))[1]


def test_a_node_that_stays_away_is_given_up() -> None:
    streams = Streams(lost(EVENTS[0]), lost(), lost())

    with pytest.raises(Unreachable, match="not known") as caught:
        followed(streams)

    assert "job describe" in caught.value.hint
    assert len(streams.asked) == 3


def test_the_callers_patience_ends_the_wait() -> None:
    with pytest.raises(TimedOut, match="not") as caught:
        followed(Streams(sends(*EVENTS)), Patience.of(0))

    assert "job wait" in caught.value.hint
    assert "job cancel" in caught.value.hint


def test_a_connection_may_not_be_silent_for_longer_than_the_patience_lasts() -> None:
    streams = Streams(sends(*EVENTS))

    followed(streams, Patience.of(20))

    assert 0 < streams.asked[0][1] <= 20


def test_a_node_that_never_stops_talking_does_not_outlast_the_patience() -> None:
    def chatters(_: int) -> Iterator[EventView | None]:
        while True:
            time.sleep(0.01)
            yield None

    streams = Streams(*[chatters] * 9)

    with pytest.raises(TimedOut):
        followed(streams, Patience.of(1.3))

    silences = [silent_s for _, silent_s in streams.asked]
    assert len(silences) > 1, "asked again, to be silent for less"
    assert silences == sorted(silences, reverse=True)


def test_without_end_there_is_no_timeout() -> None:
    assert Patience.of(None).left() == float("inf")
