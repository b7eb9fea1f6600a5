"""Unsealed before IPFS: who is asked, who serves, and what is said when neither can."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from doubles.peers import peer

from node.ambient import inline
from node.errors import Absent, NoRoom, StorageError, Unconfirmed
from node.model import CidInput, PeerId
from node.storage.base import Entry, Prepared
from node.storage.combo import Combo
from node.storage.filecoin_unsealed import FilecoinUnsealed

CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
FAR = Path("/far")


class Ipfs:
    """Has what it was told to have, 7 bytes each, and remembers what it was asked for."""

    name = "ipfs"

    def __init__(self, *cids: str, trouble: Exception | None = None) -> None:
        self._cids = cids
        self._trouble = trouble
        self.asked: list[str] = []

    async def size(self, ref: CidInput) -> int:
        return self._must(ref, 7)

    async def to_fetch(self, ref: CidInput) -> int:
        return self._must(ref, 7)

    async def list(self, ref: CidInput) -> tuple[Entry, ...]:
        return self._must(ref, (Entry("", 7, is_folder=False),))

    @asynccontextmanager
    async def prepared(self, ref: CidInput, origin: PeerId) -> AsyncIterator[Prepared]:
        yield self._must(ref, Prepared(FAR, self.name))

    def _must(self, ref, answer):
        self.asked.append(ref.cid)
        if self._trouble is not None:
            raise self._trouble
        if ref.cid not in self._cids:
            raise Absent("nobody has it")
        return answer


def ref(cid: str) -> CidInput:
    return CidInput(cid=cid, path="/inputs")


def copies(folder: Path, *names: str) -> FilecoinUnsealed:
    for name in names:
        (folder / name).mkdir()
        (folder / name / "file.txt").write_bytes(b"hello world")
    return FilecoinUnsealed(f"{folder}/{{{{ cid }}}}", inline)


async def prepared(storage: Combo, cid: str) -> tuple[Path, str]:
    async with storage.prepared(ref(cid), peer(1)) as found:
        return found.path, found.source


def test_without_a_template_everything_is_asked_of_ipfs() -> None:
    storage = Combo(None, Ipfs(CID))
    assert trio.run(storage.to_fetch, ref(CID)) == 7
    assert trio.run(prepared, storage, CID) == (FAR, "ipfs")


def test_a_name_that_is_no_cid_works_unsealed_and_ipfs_never_hears_of_it(tmp_path: Path) -> None:
    ipfs = Ipfs("apples", "pears")
    storage = Combo(copies(tmp_path, "apples"), ipfs)
    assert trio.run(storage.size, ref("apples")) == 11
    assert trio.run(storage.to_fetch, ref("apples")) == 0
    assert [entry.path for entry in trio.run(storage.list, ref("apples"))] == ["", "file.txt"]
    assert trio.run(prepared, storage, "apples") == (tmp_path / "apples", "filecoin_unsealed")
    for question in (storage.to_fetch, storage.size, storage.list):
        with pytest.raises(StorageError, match=r"no unsealed copy of pears is here, and IPFS: .*no CID"):
            trio.run(question, ref("pears"))
    assert ipfs.asked == []


def test_what_is_unsealed_is_not_asked_of_ipfs_even_if_it_has_it_too(tmp_path: Path) -> None:
    ipfs = Ipfs(CID)
    storage = Combo(copies(tmp_path, CID), ipfs)
    assert trio.run(storage.to_fetch, ref(CID)) == 0
    assert trio.run(prepared, storage, CID) == (tmp_path / CID, "filecoin_unsealed")
    assert ipfs.asked == []


def test_what_is_not_unsealed_comes_from_ipfs(tmp_path: Path) -> None:
    storage = Combo(copies(tmp_path, "apples"), Ipfs(CID))
    assert trio.run(storage.to_fetch, ref(CID)) == 7
    assert trio.run(storage.size, ref(CID)) == 7
    assert trio.run(storage.list, ref(CID)) == (Entry("", 7, is_folder=False),)
    assert trio.run(prepared, storage, CID) == (FAR, "ipfs")


def test_where_neither_has_it_both_are_named(tmp_path: Path) -> None:
    storage = Combo(copies(tmp_path), Ipfs())
    for question in (partial(storage.to_fetch, ref(CID)), partial(prepared, storage, CID)):
        with pytest.raises(Absent, match=f"no unsealed copy of {CID} is here, and IPFS: nobody has it"):
            trio.run(question)


def test_a_node_without_copies_does_not_speak_of_them() -> None:
    with pytest.raises(StorageError, match=r"^nobody has it$"):
        trio.run(prepared, Combo(None, Ipfs()), CID)


def test_a_copy_that_cannot_be_used_counts_as_none_and_the_operator_hears_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / CID)
    with caplog.at_level(logging.WARNING):
        assert trio.run(prepared, Combo(copies(tmp_path), Ipfs(CID)), CID) == (FAR, "ipfs")
    assert [record.message for record in caplog.records] == ["unsealed_copy_unusable"]
    with pytest.raises(StorageError, match="neither a folder nor a regular file, and IPFS: nobody has it"):
        trio.run(prepared, Combo(copies(tmp_path), Ipfs()), CID)


class Wrong(Ipfs):
    """Copies that were checked, in vain."""

    name = "filecoin_unsealed"


def test_a_copy_that_does_not_give_its_cid_is_not_hidden_by_one_that_does() -> None:
    ipfs = Ipfs(CID)
    storage = Combo(Wrong(trouble=Unconfirmed("it is here but its bytes do not give that CID")), ipfs)
    for question in (storage.to_fetch, storage.size, storage.list):
        with pytest.raises(Unconfirmed):
            trio.run(question, ref(CID))
    with pytest.raises(Unconfirmed):
        trio.run(prepared, storage, CID)
    assert ipfs.asked == []


def test_a_bid_and_a_run_each_ask_once(tmp_path: Path) -> None:
    """A look at a copy that is to be checked walks all of it."""
    for has_copy in (True, False):
        unsealed, ipfs = Ipfs(*[CID] * has_copy), Ipfs(CID)
        storage = Combo(unsealed, ipfs)
        trio.run(storage.to_fetch, ref(CID))
        trio.run(prepared, storage, CID)
        assert unsealed.asked == [CID] * 2
        assert ipfs.asked == ([] if has_copy else [CID] * 2)


def test_no_room_stays_no_room() -> None:
    with pytest.raises(NoRoom):
        trio.run(prepared, Combo(None, Ipfs(trouble=NoRoom("full"))), CID)


def test_what_goes_wrong_while_the_input_is_used_is_not_said_of_ipfs(tmp_path: Path) -> None:
    async def used() -> None:
        async with Combo(copies(tmp_path), Ipfs(CID)).prepared(ref(CID), peer(1)):
            raise StorageError("another input failed")

    with pytest.raises(StorageError, match=r"^another input failed$"):
        trio.run(used)


def test_the_choice_holds_for_the_whole_execution(tmp_path: Path) -> None:
    async def used() -> None:
        storage = Combo(copies(tmp_path), Ipfs(CID))
        async with storage.prepared(ref(CID), peer(1)) as found:
            copies(tmp_path, CID)
            assert found.source == "ipfs"
        assert await prepared(storage, CID) == (tmp_path / CID, "filecoin_unsealed")

    trio.run(used)
