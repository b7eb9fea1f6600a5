"""Peering: however connections cross, break and answer late, both ends keep the promises of a session.

The test is a model of two nodes and the connections between them. Hypothesis chooses what happens next: a new
connection, an opening or an answer that arrives, messages, a connection that dies, an end that gives up.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from contract.transports import identity
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from node import limits
from node.errors import PeerGone
from node.messages import Hello
from node.model import PeerId
from node.transport.address import Address
from node.transport.libp2p.link import Link
from node.transport.libp2p.peering import Peering, hints
from node.transport.libp2p.session import Session
from node.transport.libp2p.wire import DATA, Bodies, Opening, parse_frame

SMALL, LARGE = sorted(identity(number).peer_id for number in (1, 2))
FRAME_MAX = 1000


def link_to(peer: PeerId, *, host: str = "10.0.0.1", dialled: bool = False) -> Link:
    muxer: Any = SimpleNamespace(hasten=lambda: None)
    attached = trio.Event() if dialled else None
    return Link(muxer, Address("ip4", host, 4001 if dialled else 0, peer), trio.CancelScope(), attached=attached)


@dataclass
class Connection:
    """Two links and what is on its way between them."""

    links: tuple[Link, Link]
    opening: Opening | None = None  # from the larger to the smaller id
    answer: Opening | None = None  # back
    sessions: list[Session | None] = field(default_factory=lambda: [None, None])
    flying: tuple[deque[bytes], deque[bytes]] = field(default_factory=lambda: (deque(), deque()))  # to each end
    parsers: tuple[Bodies, Bodies] = field(default_factory=lambda: (Bodies(FRAME_MAX), Bodies(FRAME_MAX)))


class Model:
    """Ends are 0 (the smaller id, which decides) and 1."""

    def __init__(self) -> None:
        tokens = itertools.count()
        self.ends = tuple(
            Peering(peer, lambda size: next(tokens).to_bytes(size, "big"), 30.0) for peer in (SMALL, LARGE)
        )
        self.ids = (SMALL, LARGE)
        self.connections: list[Connection] = []
        self.log: tuple[list[str], list[str]] = ([], [])
        self.sent: dict[tuple[bytes, bytes], list[int]] = {}  # by sender's and receiver's nonce
        self.got: dict[tuple[bytes, bytes], list[int]] = {}
        self.numbers = itertools.count(1)
        for me, end in enumerate(self.ends):
            end.joined = lambda peer, addresses, me=me: self.log[me].append("joined")
            end.left = lambda peer, me=me: self.log[me].append("left")

    def peer(self, me: int) -> Any:
        return self.ends[me].get(self.ids[1 - me])

    def connect(self) -> None:
        connection = Connection((link_to(LARGE), link_to(SMALL)))
        connection.opening = self.ends[1].offer(connection.links[1])
        self.connections.append(connection)

    def step(self, connection: Connection) -> None:
        """An opening or an answer arrives."""
        if connection.opening is not None:
            session, answer = self.ends[0].decide(connection.links[0], connection.opening)
            connection.sessions[0], connection.opening, connection.answer = session, None, answer
        elif connection.answer is not None:
            answer, connection.answer = connection.answer, None
            try:
                connection.sessions[1] = self.ends[1].follow(connection.links[1], answer)
            except PeerGone:
                self.die(connection)

    def push(self, me: int) -> None:
        peer = self.peer(me)
        if peer is not None:
            number = next(self.numbers)
            self.sent.setdefault((peer.session.ours, peer.session.theirs), []).append(number)
            peer.session.push(b"%d" % number)

    def write(self, connection: Connection, me: int) -> None:
        session = connection.sessions[me]
        if session is not None and self.ends[me].is_used(connection.links[me]) and (data := session.take()):
            connection.flying[1 - me].append(data)

    def read(self, connection: Connection, me: int) -> None:
        session = connection.sessions[me]
        if session is None or not connection.flying[me]:
            return
        parser = connection.parsers[me]
        parser.feed(connection.flying[me].popleft())
        while self.ends[me].is_used(connection.links[me]) and (body := parser.next()) is not None:
            frame = parse_frame(body)
            session.acknowledge(frame.acknowledged)
            if frame.kind == DATA and session.accept(frame):
                self.got.setdefault((session.theirs, session.ours), []).append(int(frame.payload))

    def die(self, connection: Connection) -> None:
        for me in (0, 1):
            self.ends[me].detach(connection.links[me])
        if connection in self.connections:
            self.connections.remove(connection)

    def give_up(self, me: int) -> None:
        peer = self.peer(me)
        if peer is not None:
            self.ends[me].drop(peer, "test")

    def check(self) -> None:
        for key, got in self.got.items():
            assert got == self.sent.get(key, [])[: len(got)]
        for log in self.log:
            assert log == ["joined", "left"] * (len(log) // 2) + ["joined"] * (len(log) % 2)

    def settle(self) -> None:
        """Everything that is broken breaks off; then one good connection, and everything arrives."""
        for connection in list(self.connections):
            self.die(connection)
        self.connect()
        (connection,) = self.connections
        self.step(connection)
        self.step(connection)
        for _ in range(2):
            for me in (0, 1):
                self.write(connection, me)
                self.read(connection, 1 - me)
        self.check()
        one, other = self.peer(0).session, self.peer(1).session
        assert (one.ours, one.theirs) == (other.theirs, other.ours)
        for session in (one, other):
            key = (session.ours, session.theirs)
            assert self.got.get(key, []) == self.sent.get(key, [])


MOVES = ["connect", "connect", "step", "step", "step", "push", "write", "read", "read", "die"]


def moves(*verbs: str) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    return st.lists(st.tuples(st.sampled_from(verbs), st.integers(0, 3), st.integers(0, 1)), max_size=60)


def play(model: Model, verb: str, which: int, me: int) -> None:
    if verb == "connect" and len(model.connections) < 4:
        model.connect()
    elif verb == "push":
        model.push(me)
    elif verb == "give up":
        model.give_up(me)
    elif model.connections:
        connection = model.connections[which % len(model.connections)]
        if verb == "step":
            model.step(connection)
        elif verb == "write":
            model.write(connection, me)
        elif verb == "read":
            model.read(connection, me)
        elif verb == "die":
            model.die(connection)


@settings(max_examples=300, deadline=None)
@given(moves(*MOVES, "give up"))
def test_the_promises_of_a_session_hold_whatever_happens(chosen: list[tuple[str, int, int]]) -> None:
    def check() -> None:
        model = Model()
        for move in chosen:
            play(model, *move)
            model.check()
        model.settle()

    in_trio(check)


@settings(max_examples=200, deadline=None)
@given(moves(*MOVES))
def test_connections_that_cross_and_break_are_no_reason_to_leave(chosen: list[tuple[str, int, int]]) -> None:
    def check() -> None:
        model = Model()
        for move in chosen:
            play(model, *move)
        model.settle()
        assert model.log == (["joined"], ["joined"])

    in_trio(check)


def in_trio(check: Any) -> None:
    async def main() -> None:
        check()

    trio.run(main, clock=MockClock())


def test_two_connections_at_once_make_one_session() -> None:
    def check() -> None:
        model = Model()
        model.connect()
        model.connect()
        first, second = model.connections
        for connection in (first, second, second, first):
            model.step(connection)
        assert model.log == (["joined"], ["joined"])
        assert model.peer(0).link is second.links[0]

    in_trio(check)


def test_an_end_that_gave_up_begins_a_new_session_with_the_other() -> None:
    for gives_up in (0, 1):

        def check(gives_up: int = gives_up) -> None:
            model = greeted()
            model.push(0)
            model.push(1)
            model.give_up(gives_up)
            model.settle()
            assert model.log == (["joined", "left", "joined"], ["joined", "left", "joined"])

        in_trio(check)


def greeted() -> Model:
    """Two ends with a session, and one message delivered from the deciding end to the other."""
    model = Model()
    model.connect()
    (connection,) = model.connections
    model.step(connection)
    model.step(connection)
    model.push(0)
    model.write(connection, 0)
    model.read(connection, 1)
    return model


def test_what_an_opening_says_of_an_earlier_session_is_not_believed_of_a_later_one() -> None:
    def check() -> None:
        model = greeted()
        model.connect()
        model.connect()
        _, second, third = model.connections
        model.give_up(0)
        model.step(second)
        model.push(0)
        model.write(second, 0)
        model.step(third)  # It has received 1, of the session that was given up.
        assert model.log[0] == ["joined", "left", "joined", "left", "joined"]
        model.settle()

    in_trio(check)


def test_an_answer_to_an_end_that_has_given_up_meanwhile_is_too_late() -> None:
    def check() -> None:
        model = greeted()
        model.connect()
        second = model.connections[1]
        model.step(second)
        model.give_up(1)
        model.step(second)
        assert model.log[1] == ["joined", "left"]
        model.settle()

    in_trio(check)


def test_that_one_peer_begins_anew_does_not_disturb_a_dial_to_another() -> None:
    def check() -> None:
        model = greeted()
        other = link_to(identity(3).peer_id, dialled=True)
        offered = model.ends[1].offer(other)
        model.connect()
        model.give_up(0)
        model.step(model.connections[1])
        model.step(model.connections[1])
        assert model.log[1] == ["joined", "left", "joined"]
        model.ends[1].follow(other, Opening(nonce=b"x" * 16, known=offered.nonce, received=0, hello=offered.hello))
        assert model.ends[1].is_used(other)

    in_trio(check)


def test_a_connection_that_breaks_is_no_end_and_loses_nothing() -> None:
    def check() -> None:
        model = greeted()
        for me in (0, 1):
            model.push(me)
            model.write(model.connections[0], me)
        model.settle()
        assert model.log == (["joined"], ["joined"])

    in_trio(check)


def test_there_is_room_for_so_many_peers() -> None:
    def check() -> None:
        peering = Peering(SMALL, lambda size: bytes(size), 30.0)
        opening = Opening(nonce=bytes(16), known=None, received=0, hello=Hello(agent="", addresses=()))
        for number in range(limits.PEERS_MAX):
            peering.decide(link_to(identity(100 + number).peer_id), opening)
        with pytest.raises(PeerGone):
            peering.decide(link_to(identity(99).peer_id), opening)
        peering.decide(link_to(identity(100).peer_id), opening)
        assert len(peering.ids) == limits.PEERS_MAX

    in_trio(check)


def test_who_broke_the_protocol_is_turned_away_until_time_has_passed() -> None:
    async def main() -> None:
        peering = Peering(SMALL, lambda size: bytes(size), 30.0)
        peering.shun(LARGE)
        with pytest.raises(PeerGone):
            peering.check(LARGE)
        await trio.sleep(31)
        peering.check(LARGE)

    trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize(("host", "hears_loopback"), [("127.0.0.1", True), ("10.0.0.7", False)])
def test_hints_are_what_we_see_with_the_ports_it_names(host: str, hears_loopback: bool) -> None:
    def check() -> None:
        named = [f"/ip4/{ip}/tcp/4007/p2p/{LARGE}" for ip in ("127.0.0.1", "192.168.1.9")]
        found = hints(link_to(LARGE, host=host), Hello(agent="", addresses=(*named, "rubbish")))
        assert found[0] == f"/ip4/{host}/tcp/4007/p2p/{LARGE}"
        assert (named[0] in found) is hears_loopback
        assert named[1] in found

    in_trio(check)
