"""Which inputs a node has by its flags, and what it refuses about them before it makes anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from doubles.peers import peer

from cli.serve import config
from node import inputs
from node.ambient import Ambient, inline
from node.errors import OperatorError
from node.transport.memory import Network

PEER = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWGvGMgFLMyy4AAGKf5GiKPnA2TxEZqX39DHYwJr9NgtRN"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--verify-unsealed"], "--verify-unsealed: there are no unsealed copies; give --filecoin-unsealed-path"),
        (["--filecoin-unsealed-path", "/data/{{ piece }}"], "--filecoin-unsealed-path.*'piece'; the only field is cid"),
        (["--filecoin-unsealed-path", "{data}/copies/{{ cid }}"], "--filecoin-unsealed-path.*keep copies elsewhere"),
        (["--local-input", "/"], "--local-input /: .*name the folders that are meant"),
        (["--local-input", "{data}"], "--local-input"),
        (["--local-input", "/no/such/folder"], r"\A--local-input /no/such/folder: No such file or directory\Z"),
        (["--local-input", "/etc/passwd"], "--local-input.*/etc/passwd"),
        (["--object-store", "http://bucket"], "--object-store.*http://bucket"),
        (["--object-store", "s3://"], "--object-store"),
        (["--object-publish", "x"], r"\A--object-publish: 'x'"),
        (["--allow-url-cidr", "10.0.0.1/8"], "--allow-url-cidr '10.0.0.1/8'.*host bits.*expected a network like"),
        (["--allow-url-cidr", "intranet"], "--allow-url-cidr 'intranet'"),
        (["--ipfs-connect", "127.0.0.1:5001"], "--ipfs-connect.*127.0.0.1:5001"),
        (["--ipfs-connect", "/ip4/127.0.0.1/tcp/5001", "--ipfs-peer", PEER], "--ipfs-peer: .*or leave --ipfs-connect"),
        (["--ipfs-peer", "/ip4/127.0.0.1/tcp/4001"], "--ipfs-peer /ip4/127.0.0.1/tcp/4001: .*`ipfs id`"),
        (["--ipfs-gateway", "ipfs.example"], "--ipfs-gateway.*ipfs.example"),
        (["--ipfs-gateway", "ftp://ipfs.example"], "--ipfs-gateway.*ipfs.example"),
        (["--input-cache", "1"], "--input-cache: 1 bytes are too few"),
        (["--ipfs-store", "2MB"], "--ipfs-store: 2000000 bytes are too few"),
    ],
)
def test_flags_that_cannot_be_meant_are_refused_before_anything_is_made(
    tmp_path: Path, flags: list[str], says: str
) -> None:
    data = tmp_path / "node"
    given = [flag.replace("{data}", str(data)) for flag in flags]
    with pytest.raises(OperatorError, match=says):
        inputs.check(config(["--data-dir", str(data), *given]))
    assert not data.exists()


def test_flags_that_can_be_meant_are_not(tmp_path: Path) -> None:
    inputs.check(
        config(
            [
                *("--data-dir", str(tmp_path / "node"), "--filecoin-unsealed-path", "/data/{{ cid }}"),
                *("--verify-unsealed", "--local-input", str(tmp_path), "--object-store", "s3://bucket/prefix"),
                *("--allow-url-cidr", "10.0.0.0/8", "--input-cache", "1Gi", "--ipfs-store", "1Gi"),
                *("--ipfs-peer", PEER, "--ipfs-gateway", "https://ipfs.example"),
            ]
        )
    )


@pytest.mark.parametrize(
    ("flags", "names", "services"),
    [
        ([], ("ipfs", "url", "inline"), 1),
        (["--filecoin-unsealed-path", "/data/{{ cid }}"], ("filecoin_unsealed", "ipfs", "url", "inline"), 1),
        (["--ipfs-connect", "/ip4/127.0.0.1/tcp/5001"], ("ipfs", "url", "inline"), 1),
        (["--ipfs-gateway", "https://ipfs.example", "--ipfs-peer", PEER], ("ipfs", "url", "inline"), 1),
        (["--object-store", "s3://bucket"], ("ipfs", "url", "inline", "object_store"), 1),
        (["--local-input", "/usr"], ("ipfs", "url", "inline", "local"), 1),
    ],
)
def test_what_there_is_follows_the_flags(
    tmp_path: Path, flags: list[str], names: tuple[str, ...], services: int
) -> None:
    (tmp_path / "node").mkdir()
    network = Network(Random(1)).join(peer(1))
    made = inputs.inputs(config(["--data-dir", str(tmp_path / "node"), *flags]), network, Ambient(offload=inline))
    assert made.sources.names == names
    assert len(made.services) == services


def test_large_libraries_are_not_imported_before_somebody_needs_them() -> None:
    program = "import sys, node.inputs; print({'httpx', 'obstore', 'ipfshttpclient'} & sys.modules.keys())"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert loaded == "set()\n"
