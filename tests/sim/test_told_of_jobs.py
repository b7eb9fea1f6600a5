"""What a node logs of its jobs: what its operator wants to know by default, and each bid and run where they ask."""

from __future__ import annotations

import logging

import pytest
from sim.cluster import cluster, says, simulate, spec

LOGGER = "quorate.requester"
OF_JOBS = ["job_verdict", "job_kept", "job_ended"]


def told(caplog, level):
    caplog.set_level(level, logger=LOGGER)

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"))
            await nodes.submit(spec("noop"))

    simulate(main)
    return [record.message for record in caplog.records if record.name == LOGGER]


def test_an_operator_hears_of_jobs(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog, logging.INFO) == OF_JOBS


def test_an_operator_who_asks_hears_of_each_bid_and_run(caplog: pytest.LogCaptureFixture) -> None:
    heard = told(caplog, logging.DEBUG)
    assert {"job_bid", "job_drawn", "job_started", "job_proposed"} <= set(heard)
    assert [event for event in heard if event in OF_JOBS] == OF_JOBS
