"""Whom we let stay without a session, and who makes room."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from contract.transports import identity
from trio.testing import MockClock

from node import limits
from node.errors import PeerGone
from node.messages import Hello
from node.model import PeerId
from node.transport.address import Address
from node.transport.libp2p.guests import IN_USE_S, LINKS_PER_GUEST, WANTED_MAX, Guests
from node.transport.libp2p.link import Link, Timing
from node.transport.libp2p.peering import Peering
from node.transport.libp2p.wire import Opening

OPENING = Opening(nonce=b"n" * 16, known=None, received=0, hello=Hello(agent="", addresses=()))
TIMING = Timing(guest_idle_s=60.0, guest_silent_s=20.0)


class Watcher:
    """A Neighbourhood that writes down what it hears."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def came(self, peer: PeerId) -> None:
        self.events.append("came")

    def went(self, peer: PeerId) -> None:
        self.events.append("went")


def link(number: int, host: str = "127.0.0.1", *, wanted: bool = False) -> Link:
    """A connection of guest ``number``."""
    muxer: Any = SimpleNamespace(hasten=lambda: None, heard_at=0.0, unread_bytes=0)
    attached = trio.Event() if wanted else None
    made = Link(muxer, Address("ip4", host, 4001, identity(number).peer_id), trio.CancelScope(), attached=attached)
    made.is_wanted = wanted
    return made


def guests() -> Guests:
    return Guests(Peering(identity(1).peer_id, bytes, 30.0), TIMING)


def in_time(body: Callable[[], Any]) -> None:
    """Run a coroutine function in virtual time."""
    trio.run(body, clock=MockClock(autojump_threshold=0))


def test_of_a_full_house_the_one_that_nobody_used_for_longest_makes_room() -> None:
    async def main() -> None:
        all_of_them = guests()
        links = [link(100 + number) for number in range(limits.GUESTS_MAX)]
        for one in links:
            all_of_them.admit(one)
            await trio.sleep(0.1)
        links[0].used_at = trio.current_time()
        await trio.sleep(IN_USE_S)
        all_of_them.admit(link(99))
        assert links[1].reason == "made room for another guest"
        assert not any(one.reason for one in (links[0], *links[2:]))
        assert len(all_of_them.neighbours.ids) == limits.GUESTS_MAX

    in_time(main)


def test_where_everybody_is_in_use_a_newcomer_is_sent_away_unless_it_is_we_who_want_it() -> None:
    async def main() -> None:
        all_of_them = guests()
        for number in range(limits.GUESTS_MAX):
            all_of_them.admit(link(100 + number))
        with pytest.raises(PeerGone, match="as many guests"):
            all_of_them.admit(link(98))
        all_of_them.admit(link(99, wanted=True))
        assert identity(99).peer_id in all_of_them.neighbours.ids
        assert len(all_of_them.neighbours.ids) == limits.GUESTS_MAX

    in_time(main)


def test_one_address_has_so_many_guests_and_pays_for_more_with_its_own() -> None:
    async def main() -> None:
        all_of_them = guests()
        elsewhere = link(99, "20.0.0.1")
        all_of_them.admit(elsewhere)
        near = [link(100 + number, f"10.0.0.{number}") for number in range(limits.GUESTS_PER_ADDRESS_MAX)]
        for one in near:
            all_of_them.admit(one)
        with pytest.raises(PeerGone):
            all_of_them.admit(link(98, "10.0.0.200"))
        await trio.sleep(IN_USE_S)
        all_of_them.admit(link(98, "10.0.0.200"))
        assert near[0].reason
        assert not elsewhere.reason

    in_time(main)


def test_in_a_full_house_the_address_with_most_guests_makes_room() -> None:
    async def main() -> None:
        all_of_them = guests()
        alone = link(99, "20.0.0.1")
        all_of_them.admit(alone)
        for number in range(limits.GUESTS_MAX - 1):
            all_of_them.admit(link(100 + number, f"10.0.{number // 4}.1"))
        await trio.sleep(IN_USE_S)
        all_of_them.admit(link(98, "30.0.0.1"))
        assert not alone.reason

    in_time(main)


def test_guests_that_we_want_stay_unused_but_not_dead_and_are_not_too_many() -> None:
    async def main() -> None:
        all_of_them = guests()
        wanted, other = link(2, wanted=True), link(3)
        for one in (wanted, other):
            all_of_them.admit(one)
        await trio.sleep(TIMING.guest_idle_s + 1)
        for one in (wanted, other):
            vars(one.muxer)["heard_at"] = trio.current_time()
        all_of_them.sweep()
        assert (wanted.reason, other.reason) == ("", "nobody uses this connection")
        await trio.sleep(TIMING.guest_silent_s + 1)
        all_of_them.sweep()
        assert wanted.reason == "silent for too long"
        for number in range(WANTED_MAX - 1):
            all_of_them.admit(link(100 + number, wanted=True))
        with pytest.raises(PeerGone, match="want"):
            all_of_them.admit(link(99, wanted=True))

    in_time(main)


def test_who_sent_most_goes_when_guests_sent_too_much_that_nobody_reads() -> None:
    async def main() -> None:
        all_of_them = guests()
        links = [link(100 + number) for number in range(8)]
        for number, one in enumerate(links):
            all_of_them.admit(one)
            vars(one.muxer)["unread_bytes"] = limits.UNREAD_BYTES // 8 + number
        all_of_them.sweep()
        assert [bool(one.reason) for one in links] == [False] * 7 + [True]
        vars(links[7].muxer)["unread_bytes"] = 0
        all_of_them.sweep()
        assert not any(one.reason for one in links[:7])

    in_time(main)


def test_a_guest_has_two_connections_at_most_and_is_one_neighbour() -> None:
    async def main() -> None:
        all_of_them, watcher = guests(), Watcher()
        all_of_them.neighbours.watch(watcher)
        links = [link(2) for _ in range(LINKS_PER_GUEST)]
        for one in links:
            all_of_them.admit(one)
        with pytest.raises(PeerGone, match="already"):
            all_of_them.admit(link(2))
        assert watcher.events == ["came"]
        all_of_them.leave(links[1])
        assert watcher.events == ["came"]
        all_of_them.admit(links[1])
        all_of_them.leave(links[0])
        assert watcher.events == ["came", "went", "came"]
        all_of_them.leave(links[1])
        all_of_them.leave(links[1])
        assert watcher.events == ["came", "went", "came", "went"]

    in_time(main)


def test_a_session_takes_over_from_the_connections_of_a_guest() -> None:
    async def main() -> None:
        peering = Peering(identity(1).peer_id, bytes, 30.0)
        all_of_them, watcher = Guests(peering, TIMING), Watcher()
        all_of_them.neighbours.watch(watcher)
        old, new = link(2), link(2)
        all_of_them.admit(old)
        all_of_them.admit(new)
        peering.decide(new, OPENING)
        assert old.reason == "a session is used instead"
        assert not new.reason
        assert all_of_them.neighbours.get(new.peer) is new
        with pytest.raises(PeerGone, match="session"):
            all_of_them.admit(link(2))
        peering.detach(new)
        assert all_of_them.neighbours.ids == ()
        assert watcher.events == ["came", "went", "came", "went"]
        all_of_them.admit(link(2))

    in_time(main)
