"""Reading what callers send, in virtual time."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from litestar.datastructures import Headers

from node import limits
from node.api.bodies import BrokenOff, TooSlow, declared_length, next_chunk, preferred_wait_s, while_there
from node.errors import TooLarge


def in_virtual_time(scenario):
    trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0))


def messages(*pairs):
    """An ASGI receive: (seconds to wait before, message)."""
    waiting = list(pairs)

    async def receive():
        if not waiting:
            await trio.sleep_forever()
        seconds, message = waiting.pop(0)
        await trio.sleep(seconds)
        return message

    return receive


CHUNK = {"type": "http.request", "body": b"x", "more_body": True}
GONE = {"type": "http.disconnect"}


def test_a_chunk_may_take_its_time_and_no_longer():
    async def scenario():
        receive = messages((limits.HTTP_CHUNK_S - 1, CHUNK), (limits.HTTP_CHUNK_S + 1, CHUNK))
        assert await next_chunk(receive) == (b"x", True)
        with pytest.raises(TooSlow, match="30 s"):
            await next_chunk(receive)

    in_virtual_time(scenario)


def test_a_caller_that_goes_away_in_the_middle_is_noticed():
    async def scenario():
        with pytest.raises(BrokenOff):
            await next_chunk(messages((0, GONE)))

    in_virtual_time(scenario)


def test_work_goes_on_while_the_caller_is_there_and_ends_with_it():
    async def scenario():
        done = []
        async with while_there(messages((0, CHUNK), (5, CHUNK), (5, GONE))) as nursery:
            nursery.start_soon(trio.sleep_forever)
            for _ in range(99):
                await trio.sleep(1)
                done.append(trio.current_time())
        assert 9 <= len(done) <= 10

    in_virtual_time(scenario)


def test_work_that_is_done_does_not_wait_for_the_caller():
    async def scenario():
        async with while_there(messages()) as nursery:
            nursery.start_soon(trio.sleep_forever)
        return

    in_virtual_time(scenario)


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("", None),
        ("respond-async", None),
        ("wait=10", 10),
        ("wait=0", 0),
        ("respond-async, wait=10", 10),
        ("respond-async; wait = 7", 7),
        ('wait="5"', 5),
        ("wait=99999", limits.WAIT_S_MAX),
        ("wait=-1", None),
        ("await=3", None),
        ("wait=x", None),
    ],
)
def test_how_long_the_caller_would_wait(prefer, expected):
    assert preferred_wait_s(Headers({"prefer": prefer})) == expected


def test_a_declared_length_over_the_limit_is_refused_unread():
    assert declared_length(Headers({"content-length": "10"}), 10) == 10
    assert declared_length(Headers({}), 10) is None
    with pytest.raises(TooLarge, match="at most 10 bytes"):
        declared_length(Headers({"content-length": "11"}), 10)
