"""Results that are published, as a user meets them: where they are, what proves them, and what cannot be downloaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlparse

import obstore
import pytest
from doubles.kubo import Kubo
from doubles.objectservers import ObjectServer
from doubles.realnode import RealNode, real_node
from e2e.users import User

HELLO = b"hello world\n"


@contextmanager
def two_nodes(folder: Path, *flags: str) -> Iterator[RealNode]:
    """The first of two that know each other; both have the flags."""
    with (
        real_node(folder / "one", *flags) as one,
        real_node(folder / "two", *flags, "--peer", one.ready["addresses"][0]),
    ):
        yield one


def published(user: User, node: RealNode, where: str) -> tuple[str, str]:
    """The location of what a job of two nodes left, and the job; its receipt lies in the user's home."""
    (user.home / "file.txt").write_bytes(HELLO)
    deal = ("--verifier", "deterministic", "--concurrency", "2", "--confidence", "2")
    ran = user.asks(
        node, "wasm", "run", str(user.cat), "--input-file", "file.txt", *deal, "--publisher", where, "--json"
    )
    assert ran.returncode == 0, ran.stderr
    job = json.loads(ran.stdout)
    (shard,) = job["details"]
    kept = user.asks(node, "job", "receipt", job["id"], "--output", "receipt.json", "--force")
    assert kept.returncode == 0, kept.stderr
    return shard["results"]["location"], job["id"]


def verified(user: User, node: RealNode, folder: Path) -> bool:
    checked = user.asks(node, "verify", "receipt.json", str(folder))
    return checked.returncode == 0


def test_results_in_a_shared_folder(user: User, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    with two_nodes(tmp_path, "--local-publish", str(tmp_path / "shared")) as node:
        location, job = published(user, node, f"local:{tmp_path}/shared/mine")
        folder = Path(unquote(urlparse(location).path))
        assert folder.parents[3] == tmp_path / "shared" / "mine"
        assert folder.parts[-3:-1] == (job, "0")
        assert (folder / "stdout").read_bytes() == HELLO
        assert verified(user, node, folder)
        (folder / "stdout").write_bytes(b"Hello")
        assert not verified(user, node, folder)
        got = user.asks(node, "job", "get", job)
        assert (got.returncode, location in got.stderr.replace("\n", "")) == (1, True)
        assert location in user.asks(node, "job", "describe", job).stdout
        refused = user.asks(node, "wasm", "run", str(user.cat), "--publisher", "local:/tmp/elsewhere")
        assert "--local-publish" in refused.stderr


@pytest.mark.parametrize("has_copies", [False, True], ids=["no unsealed copies", "with unsealed copies"])
def test_results_on_ipfs_without_a_daemon_are_the_input_of_the_next_job(
    user: User, tmp_path: Path, has_copies: bool
) -> None:
    """And so the three cases of unsealed copies and IPFS hold where there is no Kubo at all."""
    (tmp_path / "copies" / "apples").mkdir(parents=True)
    (tmp_path / "copies" / "apples" / "file.txt").write_bytes(HELLO)
    template = ("--filecoin-unsealed-path", f"{tmp_path}/copies/{{{{ cid }}}}") if has_copies else ()
    with two_nodes(tmp_path, *template) as node:
        location, _ = published(user, node, "ipfs")
        assert user.prints(node, f"{location.removeprefix('ipfs://')}/stdout", "/inputs/file.txt") == HELLO
        if has_copies:
            assert user.prints(node, "apples") == HELLO


def test_results_on_ipfs_by_a_daemon_are_everybodys(user: User, kubo: Kubo, tmp_path: Path) -> None:
    with two_nodes(tmp_path, "--ipfs-connect", kubo.api) as node:
        location, _ = published(user, node, "ipfs")
        cid = location.removeprefix("ipfs://")
        assert cid in kubo.ipfs("pin", "ls", "--type=recursive", "-q").decode()
        kubo.ipfs("get", cid, "--output", str(tmp_path / "got"))
        assert verified(user, node, tmp_path / "got")


def test_results_in_an_object_store(user: User, tmp_path: Path, objects: ObjectServer) -> None:
    bucket = objects.bucket()
    with two_nodes(tmp_path, "--object-publish", f"{bucket}/results") as node:
        location, job = published(user, node, f"{bucket}/results")
        assert location.startswith(f"{bucket}/results/")
        assert f"/{job}/0/" in location
        prefix = location.removeprefix(f"{bucket}/")
        (tmp_path / "got").mkdir()
        for meta in obstore.list(objects.store(bucket), prefix).collect():
            path = tmp_path / "got" / meta["path"].removeprefix(f"{prefix}/")
            path.write_bytes(obstore.get(objects.store(bucket), meta["path"]).bytes().to_bytes())
        assert (tmp_path / "got" / "stdout").read_bytes() == HELLO
        assert verified(user, node, tmp_path / "got")


def test_results_that_nobody_keeps_leave_a_receipt(user: User, tmp_path: Path) -> None:
    with two_nodes(tmp_path) as node:
        location, job = published(user, node, "none")
        assert location == ""
        assert "nobody" in user.asks(node, "job", "get", job).stderr
        assert user.asks(node, "verify", "receipt.json").returncode == 0
