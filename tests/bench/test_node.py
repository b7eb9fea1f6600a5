"""What a verified no-op job costs on five nodes of this machine, and what an idle node costs. ``make bench``

Every row is a measurement beside what it must not exceed, and their ratio; nothing fails by the clock.
"""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from bench.noop import Load
from bench.processes import cpu_s, rss_mb

from cli.demo.nodes import Plan, running

IDLE_S = 20.0


def row(what, measured, bound, unit, *, at_most=True):
    """One line of the table; a ratio above 1 is on the right side of the bound."""
    measured = max(measured, 0.01)  # What /proc counts in ticks may be none.
    ratio = bound / measured if at_most else measured / bound
    sign = "<=" if at_most else ">="
    print(f"  {what:<44} {measured:9.1f} {unit:<7} {sign} {bound:<6g} {ratio:6.2f}x")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    begun = time.perf_counter()
    with running(Plan(folder=tmp_path_factory.mktemp("bench") / "nodes", count=5)) as started:
        print(f"\n  five nodes ready after {time.perf_counter() - begun:.1f} s")
        yield started.nodes


def pids_of(nodes):
    pids = subprocess.run(["pgrep", "-f", str(nodes[0].data_dir.parent)], capture_output=True, text=True).stdout
    return [int(pid) for pid in pids.split()]


def test_noop_job_one_at_a_time(nodes):
    load = Load(nodes[0].api_url)
    load.prepare()
    pids = pids_of(nodes)
    before = cpu_s(pids)
    took = load.run(100, 1)
    row("no-op, 5 of 5, one submitter: p50", load.p50_ms, 45, "ms")
    row("  p95", load.p95_ms, 90, "ms")
    row("  jobs per second", 100 / took, 20, "/s", at_most=False)
    row("  CPU per job, all processes", (cpu_s(pids) - before) * 10, 50, "ms")
    assert load.lost == 0


def test_noop_jobs_sixteen_in_flight(nodes):
    load = Load(nodes[0].api_url)
    load.prepare()
    pids = pids_of(nodes)
    before = cpu_s(pids)
    took = load.run(400, 16)
    row("no-op, 16 in flight, 400 jobs: jobs per second", 400 / took, 40, "/s", at_most=False)
    row("  CPU per job, all processes", (cpu_s(pids) - before) * 1000 / 400, 50, "ms")
    assert load.lost == 0


def test_noop_job_on_one_node(tmp_path):
    with running(Plan(folder=tmp_path / "nodes", count=1)) as started:
        load = Load(started.nodes[0].api_url, runs=1)
        load.prepare()
        load.run(100, 1)
        row("no-op, one node, no verifier: p50", load.p50_ms, 20, "ms")
        row("  from acceptance to proposal, warm: p50", load.executions_p50_ms, 5, "ms")
        cold = Load(started.nodes[0].api_url, runs=1, isolation="process")
        cold.prepare()
        cold.run(50, 1)
        row("  the same, each in a fresh process: p50", cold.executions_p50_ms, 25, "ms")
        took = load.run(400, 8)
        row("  jobs per second, eight submitters", 400 / took, 50, "/s", at_most=False)
    assert load.lost == cold.lost == 0


def test_idle_node(tmp_path):
    begun = time.perf_counter()
    with running(Plan(folder=tmp_path / "nodes", count=1)) as started:
        ready = time.perf_counter() - begun
        (pid,) = pids_of(started.nodes)
        before = cpu_s([pid])
        time.sleep(IDLE_S)  # What is measured is a node to which nothing happens.
        row("idle node: ready after", ready, 3, "s")
        row("  resident memory", rss_mb(pid), 130, "MB")
        row("  share of a core", (cpu_s([pid]) - before) / IDLE_S * 100, 1, "%")


def test_help():
    command = [sys.executable, "-P", "-m", "cli.main", "--help"]
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - begun)
    row("node --help", sorted(times)[2], 0.4, "s")
