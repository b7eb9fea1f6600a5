"""A full table of peers: whoever is away makes room for whoever is here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
from contract.transports import identity

from node import limits
from node.errors import PeerGone
from node.messages import Hello
from node.model import PeerId
from node.transport.address import Address
from node.transport.libp2p.link import Link
from node.transport.libp2p.peering import Peering
from node.transport.libp2p.wire import DATA, Frame, Opening

OPENING = Opening(nonce=b"n" * 16, known=None, received=0, hello=Hello(agent="", addresses=()))
NEWCOMER = identity(5000).peer_id


def _link(peer: PeerId) -> Link:
    muxer: Any = SimpleNamespace(hasten=lambda: None)
    return Link(muxer, Address("ip4", "10.0.0.1", 0, peer), trio.CancelScope())


def _full() -> tuple[Peering, list[Link]]:
    peering = Peering(identity(1).peer_id, bytes, 30.0)
    links = [_link(identity(number).peer_id) for number in range(100, 100 + limits.PEERS_MAX)]
    for link in links:
        peering.decide(link, OPENING)
    return peering, links


def test_peers_that_are_here_are_not_pushed_out() -> None:
    async def main() -> None:
        peering, links = _full()
        with pytest.raises(PeerGone, match="as many peers"):
            peering.decide(_link(NEWCOMER), OPENING)
        assert all(peering.is_used(link) for link in links)

    trio.run(main)


def test_a_peer_that_is_away_makes_room() -> None:
    async def main() -> None:
        peering, links = _full()
        left: list[PeerId] = []
        peering.left = left.append
        peering.detach(links[7])
        peering.decide(_link(NEWCOMER), OPENING)
        assert left == [links[7].peer]
        assert NEWCOMER in peering.ids
        assert len(peering.ids) == limits.PEERS_MAX

    trio.run(main)


def test_of_those_that_are_away_the_one_that_said_least_goes() -> None:
    async def main() -> None:
        peering, links = _full()
        talker = peering.get(links[0].peer)
        assert talker is not None
        talker.session.accept(Frame(DATA, 1, 0, b""))
        peering.detach(links[0])
        peering.detach(links[1])
        peering.check(NEWCOMER)
        assert links[0].peer in peering.ids
        assert links[1].peer not in peering.ids

    trio.run(main)
