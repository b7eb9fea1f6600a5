"""A tool that never heard of us checks our receipts: cosign 2 says "Verified OK" for every result file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from needs import Need
from unit.receipts import FILES, ONE_LIAR, REQUESTER, finished, identity, planted, spec_of

from node.identity import pem_of
from node.receipt.sign import make
from node.receipt.statement import PREDICATE_TYPE

COMMAND = ["verify-blob-attestation", "--key", "key.pem", "--signature", "receipt.json", "--insecure-ignore-tlog"]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def cosign() -> str:
    return Need().built(
        "cosign.sh", "cosign is built with Go: install Go 1.21 or later (https://go.dev/dl), or cosign 2 itself"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A receipt, its key and its results."""
    (tmp_path / "receipt.json").write_bytes(make(REQUESTER, finished(spec_of(), ONE_LIAR)))
    (tmp_path / "key.pem").write_text(pem_of(REQUESTER.public_key))
    planted(tmp_path / "results")
    return tmp_path


def verified(cosign: str, folder: Path, name: str, predicate_type: str = PREDICATE_TYPE) -> tuple[int, str]:
    """Exit code and words. A proxy that nobody listens on keeps the tool off the network."""
    told = subprocess.run(
        [cosign, *COMMAND, "--type", predicate_type, f"results/{name}"],
        cwd=folder,
        env=os.environ | {"HOME": str(folder), "HTTPS_PROXY": NOWHERE, "HTTP_PROXY": NOWHERE},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return told.returncode, told.stdout


@pytest.mark.parametrize("name", FILES)
def test_cosign_verifies_every_result_file(cosign: str, folder: Path, name: str) -> None:
    code, words = verified(cosign, folder, name)
    assert code == 0, words
    assert "Verified OK" in words


@pytest.mark.parametrize("name", FILES)
def test_cosign_refuses_a_changed_result_file(cosign: str, folder: Path, name: str) -> None:
    with (folder / "results" / name).open("ab") as file:
        file.write(b"\0")
    code, words = verified(cosign, folder, name)
    assert code != 0
    assert "no matching subject digest" in words


def test_cosign_refuses_the_key_of_another(cosign: str, folder: Path) -> None:
    (folder / "key.pem").write_text(pem_of(identity(9).public_key))
    code, words = verified(cosign, folder, "stdout")
    assert code != 0
    assert "Verified OK" not in words


def test_cosign_refuses_a_changed_receipt(cosign: str, folder: Path) -> None:
    receipt = (folder / "receipt.json").read_bytes()
    (folder / "receipt.json").write_bytes(receipt.replace(b'"sig":"', b'"sig":"AAAA', 1))
    code, words = verified(cosign, folder, "stdout")
    assert code != 0
    assert "Verified OK" not in words


def test_cosign_refuses_another_kind_of_statement(cosign: str, folder: Path) -> None:
    code, words = verified(cosign, folder, "stdout", "urn:quorate:receipt:v2")
    assert code != 0
    assert "invalid predicate type" in words
