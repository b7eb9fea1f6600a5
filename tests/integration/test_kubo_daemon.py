"""The Kubo daemon of the tests is alone in the world, keeps its addresses, and leaves nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx
import pytest
from doubles.kubo import Kubo, kubo_daemon

HELLO = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"


def test_it_knows_nobody_and_looks_for_nobody(quiet_kubo: Kubo) -> None:
    assert quiet_kubo.ipfs("swarm", "peers") == b""
    config = json.loads(quiet_kubo.ipfs("config", "show"))
    assert config["Bootstrap"] == []
    assert config["Routing"]["Type"] == "none"
    assert not config["Discovery"]["MDNS"]["Enabled"]
    assert not config["AutoConf"]["Enabled"]
    assert not config["AutoTLS"]["Enabled"]
    assert config["Addresses"]["Swarm"] == ["/ip4/127.0.0.1/tcp/0"]


def test_it_adds_and_serves(quiet_kubo: Kubo, tmp_path: Path) -> None:
    (tmp_path / "hello").write_bytes(b"hello world\n")
    assert quiet_kubo.add(tmp_path / "hello", "--cid-version=1") == HELLO
    assert httpx.get(f"{quiet_kubo.gateway_url}/ipfs/{HELLO}?format=raw").content == b"hello world\n"


def test_two_of_them_can_be_connected(quiet_kubo: Kubo, kubo: Kubo) -> None:
    kubo.swarm_connect(quiet_kubo.swarm)
    assert quiet_kubo.peer_id in kubo.ipfs("swarm", "peers").decode()


def test_it_is_where_it_was_after_a_restart_and_after_a_kill(kubo: Kubo, tmp_path: Path) -> None:
    (tmp_path / "hello").write_bytes(b"hello world\n")
    kubo.add(tmp_path / "hello", "--cid-version=1")
    before = kubo.api, kubo.gateway_url, kubo.swarm
    kubo.restart()
    kubo.kill()
    kubo.start()
    assert (kubo.api, kubo.gateway_url, kubo.swarm) == before
    assert kubo.ipfs("cat", HELLO) == b"hello world\n"


def test_nothing_of_it_is_left(ipfs_program: str, tmp_path: Path) -> None:
    with kubo_daemon(ipfs_program, tmp_path / "repo") as kubo:
        pid = kubo.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
