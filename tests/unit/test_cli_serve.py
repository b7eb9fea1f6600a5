"""From the flags of ``serve`` to a node's configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import typer

from cli.capacity import machine_memory
from cli.errors import UsageProblem
from cli.keys import NODE_KEY
from cli.serve import config
from node import supervisor
from node.config import DataConfig


def test_flags_become_a_configuration(tmp_path: Path) -> None:
    made = config(
        [
            *("--data-dir", str(tmp_path), "--host", "127.0.0.1", "--swarm-port", "0", "--api-port", "0"),
            *("--peer", "/ip4/127.0.0.1/tcp/1/p2p/x", "--peer", "/ip4/127.0.0.1/tcp/2/p2p/y"),
            *("--log-format", "json", "--log-level", "debug"),
            *("--authorized-clients", "clients", "--api-host", "0.0.0.0"),
            *("--limit-total-cpu", "4", "--limit-total-memory", "2Gi", "--limit-total-disk", "10GB"),
            *("--limit-job-cpu", "500m", "--limit-job-memory", "512Mi", "--limit-job-disk", "512MB"),
        ]
    )

    assert (made.data_dir, made.host, made.swarm_port, made.api_port) == (tmp_path, "127.0.0.1", 0, 0)
    assert made.peers == ("/ip4/127.0.0.1/tcp/1/p2p/x", "/ip4/127.0.0.1/tcp/2/p2p/y")
    assert (made.log_format, made.log_level) == ("json", "debug")
    assert (made.authorized_clients, made.api_host) == (Path("clients"), "0.0.0.0")
    capacity = made.capacity
    assert (capacity.total_cpu, capacity.total_memory_bytes, capacity.total_disk_bytes) == (4, 2**31, 10**10)
    assert (capacity.job_cpu, capacity.job_memory_bytes, capacity.job_disk_bytes) == (0.5, 2**29, 512_000_000)


def test_flags_about_data_become_a_configuration(tmp_path: Path) -> None:
    made = config(
        [
            *("--filecoin-unsealed-path", "/data/{{ cid }}", "--verify-unsealed"),
            *("--ipfs-connect", "/ip4/127.0.0.1/tcp/5001", "--ipfs-peer", "/p/1", "--ipfs-peer", "/p/2"),
            *("--ipfs-gateway", "https://a.example", "--ipfs-gateway", "https://b.example"),
            *("--ipfs-store", "1Gi", "--input-cache", "2Gi", "--ipfs-keep-published", "36h"),
            *("--local-input", str(tmp_path), "--local-input", "relative"),
            *("--object-store", "s3://bucket/prefix", "--object-store", "az://container"),
            *("--allow-url-cidr", "10.0.0.0/8", "--allow-url-cidr", "fd00::/8"),
        ]
    )
    assert made.data == DataConfig(
        filecoin_unsealed_path="/data/{{ cid }}",
        verify_unsealed=True,
        ipfs_connect="/ip4/127.0.0.1/tcp/5001",
        ipfs_peers=("/p/1", "/p/2"),
        ipfs_gateways=("https://a.example", "https://b.example"),
        ipfs_store_bytes=2**30,
        ipfs_keep_published_s=129_600,
        input_cache_bytes=2**31,
        local_inputs=(tmp_path, Path.cwd() / "relative"),
        object_stores=("s3://bucket/prefix", "az://container"),
        url_cidrs=("10.0.0.0/8", "fd00::/8"),
    )


def test_without_flags_the_machine_says_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    made = config([])

    assert made.data_dir == tmp_path / "quorate"
    assert (made.host, made.swarm_port, made.api_host, made.api_port) == ("0.0.0.0", 1235, "127.0.0.1", 1234)
    capacity = made.capacity
    assert capacity.total_cpu == capacity.job_cpu == len(os.sched_getaffinity(0))
    assert capacity.total_memory_bytes == capacity.job_memory_bytes == int(machine_memory() * 0.8)
    assert capacity.total_disk_bytes == capacity.job_disk_bytes > 0
    assert made.data.input_cache_bytes > made.data.ipfs_store_bytes > 0
    assert made.data == DataConfig(
        ipfs_store_bytes=made.data.ipfs_store_bytes, input_cache_bytes=made.data.input_cache_bytes
    )
    assert not made.data_dir.exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--limit-total-cpu", "many"], "--limit-total-cpu"),
        (["--limit-job-memory", "512m"], "--limit-job-memory"),
        (["--input-cache", "much"], "--input-cache"),
        (["--ipfs-store", "0"], "--ipfs-store"),
        (["--ipfs-keep-published", "0"], "--ipfs-keep-published"),
        (["--limit-total-cpu", "1", "--limit-job-cpu", "2"], "one job may not have more"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(flags: list[str], words: str) -> None:
    with pytest.raises(UsageProblem, match=words) as caught:
        config(flags)
    assert caught.value.hint


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(typer.TyperException, match="65535"):
        config(["--api-port", "65536"])


def test_the_command_line_looks_for_a_nodes_key_where_the_node_puts_it() -> None:
    assert NODE_KEY == supervisor.KEY_FILE
