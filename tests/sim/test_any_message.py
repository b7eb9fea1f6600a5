"""A peer that says anything it could, in any order, about jobs of its own and of others: the node serves the next job.

Lives here: the fuzz. Does not live here: attacks by name (``test_hostile_requesters``, ``test_hostile_hand_overs``).
"""

from __future__ import annotations

import contextlib
from random import Random

import msgspec
import trio
from doubles.hostile import each, manifest_for
from doubles.peers import identity, peer
from doubles.requesters import HandmadeRequester
from hypothesis import given, settings
from hypothesis import strategies as st
from sim.cluster import CLIENT, MODULE_SHA256, cluster, says, simulate, spec
from sim.test_soak import left_over

from node import messages as m
from node.errors import NodeError
from node.model import Output
from node.transport.base import Blob
from node.verifier.proposal import Statement, seal, sealing_key_for

FUZZER = 9
MANIFEST, CONTENTS = manifest_for({"stdout": b"f", "stderr": b"", "exitCode": b"0"})
SPECS = (
    spec("noop"),
    spec("noop", timeout_s=3.0),
    spec(concurrency=2, min_bids=9),
    msgspec.structs.replace(spec("noop"), outputs=(Output(name="exitCode", path="/o"),)),
)


class Fuzzer:
    """Draws what to do next; knows every id that it has heard or made up."""

    def __init__(self, peer_of_node, random, address):
        self._peer = peer_of_node
        self._random = random
        self._address = address
        self._made_up = [f"{number:032x}" for number in range(6)]

    def message(self):
        """Any message there is, mostly about something that exists."""
        jobs = [x.job for x in self._peer.heard if hasattr(x, "job")] + self._made_up
        runs = [x.execution for x in self._peer.heard if hasattr(x, "execution")] + self._made_up
        job, run, draw = self._random.choice(jobs), self._random.choice(runs), self._random
        sizes = draw.choice([tuple(map(len, CONTENTS)), (0, 0, 0), (2**62,) * 3, (), None])
        kinds = (
            lambda: m.Offer(draw.choice(self._made_up), "c" * 64, draw.choice(SPECS), draw.choice([0, 8, 2**62])),
            lambda: m.Accept(draw.choice(self._made_up), draw.choice([0, 1_000_000]), run),
            lambda: m.Bid(job, wait_s=draw.choice([0.0, 0.5, 1e9])),
            lambda: m.Decline(job, "full", "\x1b[2J" + "x" * draw.choice([0, 1990])),
            lambda: m.BidRejected(job),
            lambda: m.Queued(run, draw.choice([0.0, 0.5, 1e9])),
            lambda: m.Started(run),
            lambda: self.proposal(job, run),
            lambda: m.Failed(run, draw.choice(["trap", "late", "cancelled"]), "no"),
            lambda: m.HandOver(run),
            lambda: m.Results(
                run, draw.choice([MANIFEST.render(), b"", b"\n", None]), sizes, draw.choice([CONTENTS, None])
            ),
            lambda: m.NoResults(run, "gone"),
            lambda: m.Release(run, draw.choice([False, True])),
            lambda: m.Hello("again", ()),
            lambda: m.PeersKnown((m.KnownPeer(peer(3), ("/ip4/10.9.9.9/tcp/1",)),)),
        )
        return draw.choice(kinds)()

    def proposal(self, job, run):
        """Sealed properly, or not at all."""
        statement = Statement(
            job=job, execution=run, node=peer(FUZZER), requester=peer(0), hash=MANIFEST.h1(), salt="5a" * 32
        )
        sealed = seal(identity(FUZZER), sealing_key_for(peer(0)), statement)
        return m.Proposed(run, self._random.choice([sealed, sealed[:-1], b""]))

    async def act(self):
        """Say something, wait, ask for a blob, or go away for a moment."""
        chance = self._random.random()
        if chance < 0.8:
            self._peer.say(self.message())
        elif chance < 0.9:
            await trio.sleep(self._random.choice([0.0, 0.1, 2.0]))
        elif chance < 0.97:
            with contextlib.suppress(NodeError):
                await self.look()
        else:
            self._peer.transport.network.lose(peer(0), peer(FUZZER))
            with contextlib.suppress(NodeError):
                await self._peer.transport.dial(self._address)

    async def look(self):
        """Ask for a blob, and read some of it."""
        runs = [x.execution for x in self._peer.heard if hasattr(x, "execution")] + self._made_up
        run, number = self._random.choice(runs), self._random.choice([0, 1, 3, 2**62])
        request = self._random.choice(
            [
                m.ManifestWanted(run),
                m.FilesWanted(run, number, self._random.choice([0, 1, 3, 2**62]), number),
                m.ModuleWanted(MODULE_SHA256, number),
                m.InlineWanted(MODULE_SHA256, number),
            ]
        )
        async with self._peer.transport.fetch(peer(0), request) as blob:
            async for _ in blob.chunks:
                return


def rubbish(request):
    """What it answers to whoever asks it for a blob."""
    return Blob(10, each([b"x" * (11 if isinstance(request, m.ManifestWanted) else 10)]))


@given(seed=st.integers(0, 2**32), module=st.random_module())
@settings(max_examples=40, deadline=None)
def test_a_node_outlives_whatever_a_peer_says(seed, module):
    async def main():
        async with cluster(seed) as nodes:
            await nodes.start(says(b"r", takes_s=0.5))
            await nodes.start(says(b"r", takes_s=0.5))
            address = nodes.transports[0].addresses[0]
            handmade = HandmadeRequester(identity(FUZZER), nodes.network.join(peer(FUZZER)), rubbish)
            await nodes.nursery.start(handmade.run, address)
            await nodes.settled()
            random = Random(seed)
            fuzzer, jobs = Fuzzer(handmade, random, address), []
            for number in range(300):
                if number % 30 == 0:
                    job = spec("noop", concurrency=random.choice([1, 3]), timeout_s=20.0, bid_window_s=5.0)
                    jobs.append(await nodes.nodes[0].jobs.submit(CLIENT, job))
                await fuzzer.act()
            for record in jobs:
                ended = await nodes.nodes[0].jobs.wait(CLIENT, record.job, 10_000)
                assert ended.ended
                assert ended.ended_at <= ended.deadline
            nodes.network.cut(peer(FUZZER))
            await trio.sleep(600)
            record = await nodes.submit(spec(concurrency=2))
            assert record.verdict.kind == "verified"
            await trio.sleep(60)
            assert left_over(nodes.nodes[0]) == {}

    simulate(main)
