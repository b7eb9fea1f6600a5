"""Unsealed copies that are checked before use: when, and what is said of one that does not give its CID."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from doubles.peers import peer

from node.ambient import inline
from node.errors import Absent, StorageError, Unconfirmed
from node.model import CidInput
from node.storage.confirmed import Confirmed
from node.storage.filecoin_unsealed import Check, FilecoinUnsealed
from node.storage.ipfs.cid import Cid
from node.storage.ipfs.importer import cid_of
from node.storage.ipfs.layout import V1_2025


class Copies:
    """One true copy, one false one, and one that goes by no CID."""

    def __init__(self, folder: Path) -> None:
        (folder / "true").mkdir()
        (folder / "true" / "a").write_bytes(b"hello")
        self.true = str(cid_of(folder / "true", V1_2025))
        (folder / "true").rename(folder / self.true)
        self.false = str(Cid.of(b"other", 0x55))
        (folder / self.false).write_bytes(b"another")
        (folder / "apples").write_bytes(b"apples")
        self.folder = folder

    def storage(self, *, always: bool) -> FilecoinUnsealed:
        check = Check(Confirmed(None, inline, lambda: None), always)
        return FilecoinUnsealed(f"{self.folder}/{{{{ cid }}}}", inline, check=check)


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    return Copies(tmp_path)


def verified(cid: str) -> CidInput:
    return CidInput(cid=cid, path="/inputs", verify=True)


def plain(cid: str) -> CidInput:
    return CidInput(cid=cid, path="/inputs")


async def prepared(storage: FilecoinUnsealed, ref: CidInput) -> Path:
    async with storage.prepared(ref, peer(1)) as found:
        return found.path


def test_without_being_asked_nothing_is_checked(copies: Copies) -> None:
    storage = copies.storage(always=False)
    for cid in (copies.true, copies.false, "apples"):
        assert trio.run(storage.to_fetch, plain(cid)) == 0
        assert trio.run(prepared, storage, plain(cid)) == copies.folder / cid


def test_a_job_may_ask_for_it_and_an_operator_for_all_jobs(copies: Copies) -> None:
    for storage, ask in ((copies.storage(always=False), verified), (copies.storage(always=True), plain)):
        assert trio.run(storage.to_fetch, ask(copies.true)) == 0
        assert trio.run(prepared, storage, ask(copies.true)) == copies.folder / copies.true
        for question in (storage.to_fetch, lambda ref, storage=storage: prepared(storage, ref)):
            with pytest.raises(Unconfirmed, match=f"{copies.false} is here but its bytes do not give that CID"):
                trio.run(question, ask(copies.false))
            with pytest.raises(Unconfirmed, match=r"cannot be checked: .*no CID"):
                trio.run(question, ask("apples"))


def test_what_is_not_here_is_not_here_and_not_unconfirmed(copies: Copies) -> None:
    with pytest.raises(Absent):
        trio.run(copies.storage(always=True).to_fetch, verified("pears"))


def test_a_copy_that_changed_after_the_bid_is_refused_at_the_run(copies: Copies) -> None:
    storage = copies.storage(always=True)
    assert trio.run(storage.to_fetch, plain(copies.true)) == 0
    (copies.folder / copies.true / "a").write_bytes(b"rotten")
    with pytest.raises(Unconfirmed):
        trio.run(prepared, storage, plain(copies.true))


def test_what_a_check_cannot_read_is_named_without_its_place(copies: Copies) -> None:
    (copies.folder / copies.true / "link").symlink_to("/etc")
    with pytest.raises(Unconfirmed, match=f"could not be checked: {copies.true}/link is a symbolic link") as caught:
        trio.run(copies.storage(always=True).to_fetch, plain(copies.true))
    assert str(copies.folder) not in str(caught.value)


def test_a_copy_is_listed_and_measured_without_reading_it(copies: Copies) -> None:
    storage = copies.storage(always=True)
    assert trio.run(storage.size, verified(copies.false)) == 7
    assert len(trio.run(storage.list, verified(copies.false))) == 1
    with pytest.raises(StorageError, match="no unsealed copy"):
        trio.run(storage.size, verified("pears"))


def test_a_part_is_checked_as_a_part_of_the_whole(copies: Copies) -> None:
    storage = copies.storage(always=False)
    assert trio.run(prepared, storage, verified(f"{copies.true}/a")) == copies.folder / copies.true / "a"
    (copies.folder / copies.true / "b").touch()
    with pytest.raises(Unconfirmed):
        trio.run(prepared, storage, verified(f"{copies.true}/a"))
