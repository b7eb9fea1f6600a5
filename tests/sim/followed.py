"""Runs that talk, and what somebody who follows them is shown."""

from __future__ import annotations

import trio
from sim.cluster import CLIENT, cluster, simulate

from node.executor.scripted import Play
from node.requester.jobs import LogsAsked

FOLLOW = LogsAsked(follow=True)


def talks(*early, takes_s=30.0, **rest):
    """A run that says things on its way."""
    return lambda _: Play(early=early, takes_s=takes_s, **rest)


TICKS = talks((1.0, "stdout", b"one\n"), (10.0, "stderr", b"careful\n"), (20.0, "stdout", b"two\n"), stdout=b"end\n")


async def submitted(nodes, job):
    return (await nodes.nodes[0].jobs.submit(CLIENT, job)).job


async def items(nodes, job, asked=FOLLOW):
    """Everything that is shown, with the time of each."""
    async with nodes.nodes[0].jobs.logs(CLIENT, job, asked) as shown:
        return [(trio.current_time(), item) async for item in shown]


def said(shown, stream="stdout"):
    return b"".join(item.data for _, item in shown if item.kind == stream)


def texts(shown, kind):
    return [item.text for _, item in shown if item.kind == kind and item.text]


def play(scripts, scenario, seed=1):
    async def main():
        async with cluster(seed) as nodes:
            for script in scripts:
                await nodes.start(script)
            await nodes.settled()
            return await scenario(nodes)

    return simulate(main)
