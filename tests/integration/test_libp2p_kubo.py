"""A real Kubo daemon and a node: each is the other's guest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from contract.protocol_streams import Node, started, whole
from contract.transports import identity
from doubles.kubo import Kubo

from node.model import PeerId
from node.transport.base import ByteStream
from node.transport.libp2p.link import Timing
from node.transport.libp2p.transport import Libp2pTransport

HANG_S = 100.0
BITSWAP = "/ipfs/bitswap/1.2.0"
NOWHERE = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


@asynccontextmanager
async def running(answer: Any = None, timing: Timing | None = None) -> AsyncIterator[Node]:
    """A node that takes bitswap streams."""
    async with trio.open_nursery() as nursery:
        with trio.fail_after(HANG_S):
            transport = Libp2pTransport(identity(1), "127.0.0.1", 0, timing)
            yield await started(nursery, transport, {BITSWAP: answer or _listen})
        nursery.cancel_scope.cancel()


async def _listen(peer: PeerId, protocol: str, stream: ByteStream) -> None:
    await whole(stream)


async def ipfs(kubo: Kubo, *arguments: str) -> str:
    """What the daemon says."""
    said = await trio.to_thread.run_sync(kubo.ipfs, *arguments)
    return said.decode()


def test_a_daemon_that_connects_stays_is_answered_and_knows_us(quiet_kubo: Kubo) -> None:
    async def main() -> None:
        async with running(timing=Timing(dial_s=1.0, keepalive_s=0.1)) as node:
            await ipfs(quiet_kubo, "swarm", "connect", node.address)
            await node.watcher.until("came")
            assert node.transport.neighbours == (quiet_kubo.peer_id,)
            told = json.loads(await ipfs(quiet_kubo, "id", node.id))
            assert told["AgentVersion"] == "quorate/1"
            assert node.address in told["Addresses"]
            assert {BITSWAP, "/ipfs/ping/1.0.0", "/quorate/control/1"} <= set(told["Protocols"])
            pinged = await ipfs(quiet_kubo, "ping", "--count=3", node.id)
            assert pinged.count("Pong received") == 3
            await trio.sleep(2.0)  # longer than a connection without a purpose may be
            assert node.watcher.events == [("came", quiet_kubo.peer_id)]
            assert node.id in await ipfs(quiet_kubo, "swarm", "peers")
            await ipfs(quiet_kubo, "swarm", "disconnect", node.address)
            await node.watcher.until("came", "went")

    trio.run(main)


def test_we_connect_to_a_daemon_and_hear_what_it_wants(quiet_kubo: Kubo) -> None:
    heard: list[tuple[PeerId, bytes]] = []
    wanted = trio.Event()

    async def listen(peer: PeerId, protocol: str, stream: ByteStream) -> None:
        heard.append((peer, await stream.receive_some()))
        wanted.set()

    async def main() -> None:
        async with running(listen) as node, trio.open_nursery() as nursery:
            assert await node.transport.connect(quiet_kubo.swarm) == quiet_kubo.peer_id
            async with node.transport.open(PeerId(quiet_kubo.peer_id), [BITSWAP]) as (protocol, stream):
                assert protocol == BITSWAP
                await stream.send_eof()
                assert await stream.receive_some() == b""
            nursery.start_soon(trio.to_thread.run_sync, _fails(quiet_kubo, "block", "get", "--timeout=5s", NOWHERE))
            await wanted.wait()
            assert heard[0][0] == quiet_kubo.peer_id
            assert heard[0][1]
            assert node.id in await ipfs(quiet_kubo, "swarm", "peers")

    trio.run(main)


def test_a_daemon_that_we_keep_is_dialled_again_after_its_restart(kubo: Kubo) -> None:
    async def main() -> None:
        async with running() as node, trio.open_nursery() as nursery:
            nursery.start_soon(node.transport.keep, kubo.swarm)
            await node.watcher.until("came")
            await trio.to_thread.run_sync(kubo.kill)
            await node.watcher.until("came", "went")
            await trio.to_thread.run_sync(kubo.start)
            await node.watcher.until("came", "went", "came")
            nursery.cancel_scope.cancel()

    trio.run(main)


def _fails(kubo: Kubo, *arguments: str) -> Callable[[], None]:
    def call() -> None:
        try:
            kubo.ipfs(*arguments)
        except (AssertionError, subprocess.TimeoutExpired):
            return

    return call
