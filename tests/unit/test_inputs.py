"""What a node refuses about its inputs before it makes anything, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.serve import config
from node import inputs
from node.errors import OperatorError

PEER = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWGvGMgFLMyy4AAGKf5GiKPnA2TxEZqX39DHYwJr9NgtRN"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--verify-unsealed"], "--verify-unsealed: there are no unsealed copies; give --filecoin-unsealed-path"),
        (["--filecoin-unsealed-path", "/data/{{ piece }}"], "--filecoin-unsealed-path.*'piece'; the only field is cid"),
        (["--filecoin-unsealed-path", "{data}/copies/{{ cid }}"], "--filecoin-unsealed-path.*keep copies elsewhere"),
        (["--local-input", "/"], "--local-input /: .*name the folders that are meant"),
        (["--local-input", "{data}"], "--local-input"),
        (["--local-input", "/no/such/folder"], "--local-input.*/no/such/folder"),
        (["--local-input", "/etc/passwd"], "--local-input.*/etc/passwd"),
        (["--object-store", "http://bucket"], "--object-store.*http://bucket"),
        (["--object-store", "s3://"], "--object-store"),
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
