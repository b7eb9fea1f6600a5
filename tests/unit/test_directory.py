"""The directory over the memory network: everybody finds everybody, hints cost little, a wrong address is no end."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from contract.transports import identity
from trio.testing import MockClock

from node import limits
from node.ambient import Ambient, inline
from node.directory.role import HINTS_PER_SESSION, Directory
from node.messages import BlobRequest, KnownPeer, Message, PeersKnown
from node.model import PeerId
from node.transport.base import Blob
from node.transport.memory import MemoryTransport, Network

HANG_S = 1_000.0


class Node:
    """A transport with nothing but a directory behind it."""

    def __init__(self, transport: MemoryTransport, bootstrap: tuple[str, ...]) -> None:
        self.transport = transport
        self.directory = Directory(transport, bootstrap, Ambient(now=trio.current_time, token=_token, offload=inline))
        self.told: list[tuple[PeerId, Message]] = []
        self.scope = trio.CancelScope()

    def joined(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        self.directory.joined(peer, addresses)

    def left(self, peer: PeerId) -> None:
        self.directory.left(peer)

    def received(self, sender: PeerId, message: Message) -> None:
        self.told.append((sender, message))
        self.directory.received(sender, message)

    async def blob(self, sender: PeerId, request: BlobRequest) -> Blob:
        raise AssertionError("nobody asks")

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        with self.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.transport.run, self)
                await nursery.start(self.directory.run)
                task_status.started()


def _token(size: int) -> bytes:
    return hashlib.sha256(repr(trio.current_time()).encode()).digest()[:size]


@asynccontextmanager
async def nodes(network: Network, count: int, bootstrap: int = 1) -> AsyncIterator[list[Node]]:
    """So many nodes; all but the first know the first ``bootstrap`` ones."""
    transports = [network.join(identity(number).peer_id) for number in range(1, count + 1)]
    known = tuple(transport.addresses[0] for transport in transports[:bootstrap])
    async with trio.open_nursery() as nursery:
        with trio.fail_after(HANG_S):
            started = [Node(transport, known if number else ()) for number, transport in enumerate(transports)]
            for node in started:
                await nursery.start(node.run)
            yield started
        nursery.cancel_scope.cancel()


async def until_all_meet(all_nodes: list[Node]) -> None:
    while any(len(node.transport.peers) < len(all_nodes) - 1 for node in all_nodes):  # noqa: ASYNC110
        await trio.sleep(0.1)  # of virtual time


def run(main) -> None:  # type: ignore[no-untyped-def]
    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_everybody_finds_everybody_through_one_bootstrap_peer() -> None:
    async def main() -> None:
        async with nodes(Network(Random(1)), 12) as all_nodes:
            await until_all_meet(all_nodes)

    run(main)


def test_a_bootstrap_peer_that_comes_later_is_found(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        network = Network(Random(1))
        later = network.join(identity(1).peer_id)
        async with trio.open_nursery() as nursery:
            early = Node(network.join(identity(2).peer_id), later.addresses)
            await nursery.start(early.run)
            await trio.sleep(300)
            await nursery.start(Node(later, ()).run)
            with trio.fail_after(HANG_S):
                while not early.transport.peers:  # noqa: ASYNC110
                    await trio.sleep(1)
            nursery.cancel_scope.cancel()

    with caplog.at_level(logging.WARNING, logger="quorate.directory"):
        run(main)
    assert 1 <= len(caplog.records) <= 6


def test_the_two_sides_of_a_partition_find_each_other_again() -> None:
    async def main() -> None:
        network = Network(Random(1))
        async with nodes(network, 6) as all_nodes:
            await until_all_meet(all_nodes)
            network.partition([node.transport.local_id for node in all_nodes[:3]])
            await trio.sleep(200)
            assert all(len(node.transport.peers) == 2 for node in all_nodes)
            network.heal()
            await until_all_meet(all_nodes)

    run(main)


def test_hints_are_tried_a_few_times_and_never_for_ourselves() -> None:
    async def main() -> None:
        network = Network(Random(1))
        async with nodes(network, 2) as (victim, liar):
            await until_all_meet([victim, liar])
            dialled: list[str] = []
            dial = victim.transport.dial

            async def counted(address: str) -> PeerId:
                dialled.append(address)
                return await dial(address)

            victim.transport.dial = counted  # type: ignore[method-assign]
            ghosts = [
                KnownPeer(identity(100 + n).peer_id, (f"/ip4/10.9.9.{n}/tcp/1/p2p/{identity(100 + n).peer_id}",))
                for n in range(50)
            ]
            own = KnownPeer(victim.transport.local_id, victim.transport.addresses)
            liar.transport.send(victim.transport.local_id, PeersKnown((*ghosts, own)))
            await trio.sleep(300)
            assert len(dialled) == 3 * len(ghosts)
            assert own.addresses[0] not in dialled

    run(main)


def test_who_names_too_many_is_not_listened_to() -> None:
    async def main() -> None:
        async with nodes(Network(Random(1)), 2) as (victim, liar):
            await until_all_meet([victim, liar])
            for batch in range(2 * HINTS_PER_SESSION // 64):
                ids = [identity(1000 + 64 * batch + n).peer_id for n in range(64)]
                told = PeersKnown(tuple(KnownPeer(peer, (f"/ip4/10.9.9.9/tcp/1/p2p/{peer}",)) for peer in ids))
                victim.directory.received(liar.transport.local_id, told)
            assert len(victim.directory._book) == HINTS_PER_SESSION + 1
            assert len(victim.directory._book) < limits.BOOK_PEERS_MAX

    run(main)


def test_a_newcomer_is_introduced_in_few_messages() -> None:
    async def main() -> None:
        async with nodes(Network(Random(1)), 30) as all_nodes:
            await until_all_meet(all_nodes)
            await trio.sleep(30)
            before = [len(node.told) for node in all_nodes]
            assert sum(before) < 30 * 30 * 4
            await trio.sleep(100)
            assert [len(node.told) for node in all_nodes] == before

    run(main)
