"""What a docker no-op costs as a job, beside the same without a node. ``make bench``"""

from __future__ import annotations

from bench.bench_docker import IMAGE, DockerLoad, in_turn, p50_ms
from bench.test_node import row
from doubles.dockers import Docker
from doubles.realnode import real_node

from cli.demo.nodes import Plan, running

VERIFIED = {"verifier": "deterministic", "deal": {"concurrency": 5, "confidence": 4, "min_bids": 5}}


def test_noop_through_one_node(docker: Docker, tmp_path):
    docker.image(name=IMAGE)
    with real_node(tmp_path / "node", "--docker-host", docker.host) as node:
        load = DockerLoad(node.ready["api_url"])
        load.prepare()
        load.run(2)
        jobs, runs = in_turn(docker, load, rounds=5, each=4)
    row("docker no-op, one node, no verifier: p50", p50_ms(jobs), round(p50_ms(runs)), "ms")
    row("  of a bare docker run", p50_ms(jobs) / p50_ms(runs), 1.0, "x")


def test_noop_verified_by_five(docker: Docker, tmp_path, monkeypatch):
    docker.image(name=IMAGE)
    monkeypatch.setenv("DOCKER_HOST", docker.host)
    with running(Plan(folder=tmp_path / "nodes", count=5)) as started:
        load = DockerLoad(started.nodes[0].api_url, VERIFIED)
        load.prepare()
        load.run(1)
        jobs, runs = in_turn(docker, load, rounds=5, each=2)
    row("docker no-op, 5 of 5: p50", p50_ms(jobs) / p50_ms(runs), 1.9, "x")
    row("  jobs per second", len(jobs) / sum(jobs), 2.0, "/s", at_most=False)
