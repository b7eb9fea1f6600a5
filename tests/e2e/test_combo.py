"""Data by CID as a user and an operator meet it: unsealed copies, a Kubo daemon, and IPFS without one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doubles.kubo import Kubo
from doubles.realnode import real_node
from e2e.users import User

HELLO = b"hello world\n"
WAYS = ("by the RPC of Kubo", "by bitswap alone")


@pytest.fixture
def cid(kubo: Kubo, tmp_path: Path) -> str:
    """A folder with one file, on Kubo."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file.txt").write_bytes(HELLO)
    return kubo.add(tmp_path / "folder")


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """Unsealed copies; one of them goes by a name that is no CID."""
    (tmp_path / "copies" / "apples").mkdir(parents=True)
    (tmp_path / "copies" / "apples" / "file.txt").write_bytes(HELLO)
    return tmp_path / "copies"


def ipfs_of(kubo: Kubo, way: str) -> tuple[str, str]:
    return ("--ipfs-connect", kubo.api) if way == WAYS[0] else ("--ipfs-peer", kubo.swarm)


def over(copies: Path) -> tuple[str, str]:
    return "--filecoin-unsealed-path", f"{copies}/{{{{ cid }}}}"


@pytest.mark.parametrize("way", WAYS)
def test_without_a_template_data_comes_from_ipfs(user: User, kubo: Kubo, cid: str, tmp_path: Path, way: str) -> None:
    with real_node(tmp_path / "node", *ipfs_of(kubo, way)) as node:
        assert node.ready["inputs"] == ["ipfs", "url", "inline"]
        assert user.prints(node, cid) == HELLO
        assert user.prints(node, f"{cid}/file.txt", at="/inputs/file.txt") == HELLO


def test_a_name_that_is_no_cid_is_served_from_an_unsealed_copy(user: User, copies: Path, tmp_path: Path) -> None:
    with real_node(tmp_path / "node", *over(copies)) as node:
        assert node.ready["inputs"] == ["filecoin_unsealed", "ipfs", "url", "inline"]
        assert user.prints(node, "apples") == HELLO


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_among_the_copies_comes_from_ipfs(
    user: User, kubo: Kubo, cid: str, copies: Path, tmp_path: Path, way: str
) -> None:
    with real_node(tmp_path / "node", *over(copies), *ipfs_of(kubo, way)) as node:
        assert user.prints(node, cid) == HELLO
        assert user.prints(node, "apples") == HELLO


def test_describe_and_the_receipt_say_where_each_input_came_from(
    user: User, kubo: Kubo, cid: str, copies: Path, tmp_path: Path
) -> None:
    with real_node(tmp_path / "node", *over(copies), "--ipfs-connect", kubo.api) as node:
        assert user.downloads(node, "-v", "apples:/inputs", "-v", f"{cid}:/more") == HELLO
        (job,) = json.loads(user.asks(node, "job", "list", "--json").stdout)["jobs"]
        told = json.loads(user.asks(node, "job", "describe", job["id"], "--json").stdout)
        described = user.asks(node, "job", "describe", job["id"])
    assert "filecoin_unsealed" in described.stdout + described.stderr
    for said in (told, receipt_of(user)):
        assert list(found(said, "sources")) == [["filecoin_unsealed", "ipfs"]]


def receipt_of(user: User) -> Any:
    """What is signed in the receipt that was downloaded."""
    envelope = json.loads((user.home / "results.receipt.json").read_text())
    return json.loads(base64.b64decode(envelope["payload"]))


def found(told: Any, name: str) -> Iterator[Any]:
    """Every value of that name, however deep."""
    if isinstance(told, dict):
        yield from (value for key, value in told.items() if key == name)
    if isinstance(told, dict | list):
        for inner in told.values() if isinstance(told, dict) else told:
            yield from found(inner, name)


def test_data_comes_from_another_of_our_nodes_once_that_has_it(
    user: User, kubo: Kubo, cid: str, tmp_path: Path
) -> None:
    with real_node(tmp_path / "first", "--ipfs-peer", kubo.swarm) as first:
        assert user.prints(first, cid) == HELLO
        kubo.stop()
        with real_node(tmp_path / "second", "--peer", first.address) as second:
            assert user.prints(second, cid) == HELLO


def test_a_gateway_alone_serves_several_inputs_in_time_for_a_bid(
    user: User, kubo: Kubo, cid: str, tmp_path: Path
) -> None:
    (tmp_path / "other").write_bytes(HELLO * 2)
    other = kubo.add(tmp_path / "other")
    with (
        real_node(tmp_path / "neighbour") as neighbour,
        real_node(tmp_path / "node", "--ipfs-gateway", kubo.gateway_url, "--peer", neighbour.address) as node,
    ):
        assert user.downloads(node, "-v", f"{cid}:/inputs", "-v", f"{other}:/other.txt") == HELLO


def test_where_nobody_has_the_data_a_user_reads_what_both_sources_say(user: User, copies: Path, tmp_path: Path) -> None:
    with real_node(tmp_path / "node", *over(copies)) as node:
        said = user.is_refused(node, "pears")
        assert "no unsealed copy of pears is here, and IPFS:" in said
        assert "no CID" in said


def test_copies_that_do_not_give_their_cid_are_declined_where_that_is_checked(
    user: User, kubo: Kubo, cid: str, copies: Path, tmp_path: Path
) -> None:
    (copies / cid).mkdir()
    (copies / cid / "file.txt").write_bytes(b"hello rot\n")
    with real_node(tmp_path / "lax", *over(copies)) as node:
        assert user.prints(node, cid) == b"hello rot\n"
    with real_node(tmp_path / "strict", *over(copies), "--verify-unsealed") as node:
        assert f"{cid} is here but its bytes do not give that CID" in user.is_refused(node, cid)
        (copies / cid / "file.txt").write_bytes(HELLO)
        assert user.prints(node, cid) == HELLO


def test_a_node_whose_daemon_is_not_there_says_so_once_and_serves_what_it_has(
    user: User, copies: Path, tmp_path: Path
) -> None:
    with real_node(tmp_path / "node", *over(copies), "--ipfs-connect", "/ip4/127.0.0.1/tcp/1") as node:
        assert user.prints(node, "apples") == HELLO
        assert "does not answer" in user.is_refused(node, "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")
    assert sum('"no_kubo"' in line for line in node.said) == 1
