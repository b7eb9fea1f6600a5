"""Sessions: once and in order over any sequence of broken connections; and the bucket."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.errors import MalformedMessage
from node.transport.libp2p import session as sessions
from node.transport.libp2p.session import Bucket, Session
from node.transport.libp2p.wire import ACK, DATA, FRAME_HEAD_BYTES, Bodies, Frame, parse_frame

ONE, OTHER = b"1" * 16, b"2" * 16
BIG = FRAME_HEAD_BYTES + limits.FRAME_BYTES_MAX


class End:
    """A session, what it has delivered, and what is on its way to it over the connection of the moment."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.delivered: list[bytes] = []
        self.incoming: deque[bytes] = deque()
        self.parser = Bodies(BIG)

    def take_in(self) -> None:
        self.parser.feed(self.incoming.popleft())
        while (body := self.parser.next()) is not None:
            frame = parse_frame(body)
            self.session.acknowledge(frame.acknowledged)
            if frame.kind == DATA and self.session.accept(frame):
                self.delivered.append(frame.payload)


def reconnect(one: End, other: End) -> None:
    """Whatever was on its way is lost; each hears what the other has."""
    for end in (one, other):
        end.incoming.clear()
        end.parser = Bodies(BIG)
    one.session.resume(other.session.received)
    other.session.resume(one.session.received)


STEPS = st.lists(st.sampled_from(["push 0", "push 1", "take 0", "take 1", "read 0", "read 1", "break"]), max_size=80)


@given(STEPS)
def test_messages_arrive_once_and_in_order_whatever_breaks(steps: list[str]):
    ends = End(Session(ONE, OTHER)), End(Session(OTHER, ONE))
    pushed: tuple[list[bytes], list[bytes]] = ([], [])
    for count, step in enumerate([*steps, "break"]):
        verb, _, which = step.partition(" ")
        me, them = (ends[int(which or 0)], ends[1 - int(which or 0)])
        if verb == "push":
            pushed[int(which)].append(b"%d" % count)
            me.session.push(b"%d" % count)
        elif verb == "take" and (data := me.session.take()):
            them.incoming.append(data)
        elif verb == "read" and me.incoming:
            me.take_in()
        elif verb == "break":
            reconnect(*ends)
        assert all(
            end.delivered == sent[: len(end.delivered)] for end, sent in zip(ends, reversed(pushed), strict=True)
        )
    for me, them in (ends, reversed(ends)):
        while data := me.session.take():
            them.incoming.append(data)
            them.take_in()
    assert ends[1].delivered == pushed[0]
    assert ends[0].delivered == pushed[1]


def test_an_acknowledgement_rides_on_data():
    one, other = End(Session(ONE, OTHER)), End(Session(OTHER, ONE))
    one.session.push(b"question")
    other.incoming.append(one.session.take())
    other.take_in()
    assert other.session.take() == b""
    other.session.push(b"answer")
    one.incoming.append(other.session.take())
    one.take_in()
    with pytest.raises(MalformedMessage):
        one.session.acknowledge(2)
    assert one.session._kept_bytes == 0


def test_an_acknowledgement_of_its_own_comes_after_many_messages_much_data_or_when_asked():
    session = Session(ONE, OTHER)
    for number in range(1, sessions.ACK_FRAMES):
        session.accept(Frame(DATA, number, 0, b""))
    assert not session.ack_is_due
    session.accept(Frame(DATA, sessions.ACK_FRAMES, 0, b""))
    assert session.ack_is_due
    assert parse_frame(session.take()[4:]) == Frame(ACK, 0, sessions.ACK_FRAMES, b"")
    assert not session.ack_is_due
    for number in range(1, 5):
        session.accept(Frame(DATA, sessions.ACK_FRAMES + number, 0, bytes(limits.FRAME_BYTES_MAX)))
    assert session.ack_is_due
    session.take()
    session.ask_ack()
    assert session.take() != b""
    assert session.take() == b""


def test_far_more_than_one_frame_is_acknowledged_before_the_outbox_is_full():
    assert 2 * sessions.ACK_FRAMES < limits.OUTBOX_FRAMES_MAX
    assert 2 * (sessions.ACK_BYTES + limits.FRAME_BYTES_MAX) < limits.OUTBOX_BYTES_MAX


def test_a_gap_and_an_acknowledgement_of_what_was_never_sent_are_malformed():
    session = Session(ONE, OTHER)
    with pytest.raises(MalformedMessage):
        session.accept(Frame(DATA, 2, 0, b""))
    session.push(b"waits")
    with pytest.raises(MalformedMessage):
        session.acknowledge(1)


def test_one_write_joins_what_is_queued_up_to_a_bound():
    session = Session(ONE, OTHER)
    for _ in range(3):
        session.push(bytes(sessions.WRITE_BYTES // 2))
    assert len(session.take()) >= sessions.WRITE_BYTES
    assert len(session.take()) < sessions.WRITE_BYTES
    assert session.take() == b""


@pytest.mark.parametrize(
    ("count", "size"),
    [(limits.OUTBOX_FRAMES_MAX, 1), (limits.OUTBOX_BYTES_MAX // limits.FRAME_BYTES_MAX, limits.FRAME_BYTES_MAX)],
)
def test_an_outbox_is_full_by_number_or_by_size(count: int, size: int):
    session = Session(ONE, OTHER)
    for _ in range(count):
        session.push(bytes(size))
    assert not session.is_full
    session.push(bytes(size))
    assert session.is_full
    while session.take():
        pass
    session.acknowledge(1)
    assert not session.is_full


def test_a_bucket_gives_its_burst_and_then_its_rate():
    bucket = Bucket(rate=10, burst=5, now=0.0)
    assert [bucket.take(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert [bucket.take(0.25) for _ in range(3)] == [True, True, False]
    assert [bucket.take(1000.0) for _ in range(6)] == [True] * 5 + [False]
