"""Where an unsealed copy may lie: the copy that is a link, and places that no name may reach."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from doubles.peers import peer

from node.ambient import inline
from node.errors import Absent, BadTemplate, StorageError
from node.model import CidInput
from node.storage.base import Entry
from node.storage.filecoin_unsealed import FilecoinUnsealed

APPLES = CidInput(cid="apples", path="/inputs")
STRANGER = 12345


class Copies:
    """A folder of copies, with a sealed piece beside it that has one file of 5 bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "copies"
        self.folder.mkdir()
        self.apples = self.folder / "apples"
        self.piece = folder / "sealing" / "piece-7"
        self.piece.mkdir(parents=True)
        (self.piece / "a").write_bytes(b"hello")
        self.data_dir = folder / "node"
        self.data_dir.mkdir()
        (self.data_dir / "node.key").touch()
        self.storage = FilecoinUnsealed(f"{self.folder}/{{{{ cid }}}}", inline, self.data_dir)


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    return Copies(tmp_path)


async def where(storage: FilecoinUnsealed) -> Path:
    async with storage.prepared(APPLES, peer(1)) as found:
        return found.path


def refused(storage: FilecoinUnsealed, says: str) -> None:
    """Every question gets the same answer."""
    questions: tuple[Callable[..., Awaitable[object]], ...] = (storage.to_fetch, storage.size, storage.list)
    for question in questions:
        with pytest.raises(StorageError, match=f"the unsealed copy of apples .*{says}"):
            trio.run(question, APPLES)
    with pytest.raises(StorageError, match=says):
        trio.run(where, storage)


def test_a_copy_that_is_a_link_is_used_where_it_leads(copies: Copies) -> None:
    copies.apples.symlink_to("../sealing/piece-7")
    storage = copies.storage
    assert trio.run(storage.to_fetch, APPLES) == 0
    assert trio.run(storage.size, APPLES) == 5
    assert trio.run(storage.list, APPLES) == (Entry("", 0, is_folder=True), Entry("a", 5, is_folder=False))
    assert trio.run(where, storage) == copies.piece


def test_a_copy_may_be_a_single_file_behind_a_link(copies: Copies) -> None:
    copies.apples.symlink_to(copies.piece / "a")
    assert trio.run(copies.storage.list, APPLES) == (Entry("", 5, is_folder=False),)
    assert trio.run(where, copies.storage) == copies.piece / "a"


def test_folders_on_the_way_to_a_copy_may_be_links_of_the_operator(copies: Copies, tmp_path: Path) -> None:
    copies.apples.mkdir()
    (tmp_path / "way").symlink_to("copies")
    assert trio.run(FilecoinUnsealed(f"{tmp_path}/way/{{{{ cid }}}}", inline).to_fetch, APPLES) == 0


def test_a_link_to_a_link_is_refused(copies: Copies) -> None:
    (copies.folder / "oranges").symlink_to(copies.piece)
    copies.apples.symlink_to("oranges")
    refused(copies.storage, "link to another link")


def test_a_link_to_itself_is_refused(copies: Copies) -> None:
    copies.apples.symlink_to("apples")
    refused(copies.storage, "link to another link")


def test_a_link_through_a_loop_leads_nowhere(copies: Copies) -> None:
    (copies.folder / "loop").symlink_to("loop")
    copies.apples.symlink_to("loop/below")
    refused(copies.storage, "nowhere|symbolic links")


def test_a_link_that_leads_nowhere_is_said_to(copies: Copies) -> None:
    copies.apples.symlink_to("gone")
    refused(copies.storage, "leads nowhere")


@pytest.mark.parametrize("place", ["/", "/proc", "/proc/1", "/sys/kernel", "/dev/pts"])
def test_a_link_among_the_machines_own_files_is_refused(copies: Copies, place: str) -> None:
    copies.apples.symlink_to(place)
    refused(copies.storage, "no data")


def test_a_link_to_a_device_is_refused(copies: Copies) -> None:
    copies.apples.symlink_to("/dev/null")
    refused(copies.storage, "neither a folder nor a regular file")


@pytest.mark.parametrize("place", ["node", "node/node.key", ""])
def test_a_link_to_the_nodes_own_data_or_around_it_is_refused(copies: Copies, place: str, tmp_path: Path) -> None:
    copies.apples.symlink_to(tmp_path / place)
    refused(copies.storage, "no data")


def test_a_name_that_happens_to_be_the_nodes_own_data_folder_is_refused(copies: Copies, tmp_path: Path) -> None:
    storage = FilecoinUnsealed(f"{tmp_path}/{{{{ cid }}}}", inline, tmp_path / "node")
    with pytest.raises(StorageError, match="no data"):
        trio.run(storage.to_fetch, CidInput(cid="node", path="/inputs"))


def test_a_folder_of_copies_that_is_a_link_hides_nothing(copies: Copies, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(".")
    storage = FilecoinUnsealed(f"{tmp_path}/way/{{{{ cid }}}}", inline, tmp_path / "node")
    with pytest.raises(StorageError, match="no data"):
        trio.run(storage.to_fetch, CidInput(cid="node", path="/inputs"))


def test_copies_inside_the_nodes_own_data_folder_are_refused_at_the_start(tmp_path: Path) -> None:
    for folder in (tmp_path / "node", tmp_path / "node" / "unsealed", Path("/proc/self")):
        with pytest.raises(BadTemplate, match="elsewhere"):
            FilecoinUnsealed(f"{folder}/{{{{ cid }}}}", inline, tmp_path / "node")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_link_that_somebody_else_put_among_the_copies_is_refused(copies: Copies) -> None:
    copies.apples.symlink_to(copies.piece)
    os.lchown(copies.apples, STRANGER, STRANGER)
    refused(copies.storage, "does not own")
    os.chown(copies.folder, STRANGER, STRANGER)
    assert trio.run(copies.storage.to_fetch, APPLES) == 0


@pytest.mark.parametrize("text", ["apples/sub/b", "/ipfs/apples/sub/b", "ipfs://apples/sub/b", "apples/sub/b/"])
def test_a_path_below_a_cid_is_a_part_of_its_copy(copies: Copies, text: str) -> None:
    (copies.apples / "sub").mkdir(parents=True)
    (copies.apples / "sub" / "b").write_bytes(b"deeper")
    ref = CidInput(cid=text, path="/inputs")

    async def main() -> None:
        assert await copies.storage.size(ref) == 6
        assert await copies.storage.list(ref) == (Entry("", 6, is_folder=False),)
        assert await copies.storage.to_fetch(ref) == 0
        async with copies.storage.prepared(ref, peer(1)) as found:
            assert found.path == copies.apples / "sub" / "b"

    trio.run(main)


def test_a_part_that_is_not_there_is_not_had_though_the_copy_is(copies: Copies) -> None:
    copies.apples.mkdir()
    with pytest.raises(Absent):
        trio.run(copies.storage.to_fetch, CidInput(cid="apples/sub", path="/inputs"))


def test_the_way_to_a_part_follows_no_link(copies: Copies) -> None:
    copies.apples.mkdir()
    (copies.apples / "etc").symlink_to("/etc")
    for text in ("apples/etc", "apples/etc/passwd"):
        with pytest.raises(StorageError, match="leads through a link"):
            trio.run(copies.storage.to_fetch, CidInput(cid=text, path="/inputs"))


@pytest.mark.parametrize(
    "text", ["apples/..", "apples/../../etc", "apples//etc", "apples/./etc", "/etc/passwd", "../x"]
)
def test_a_path_that_climbs_has_nothing(copies: Copies, text: str) -> None:
    (copies.apples / "etc").mkdir(parents=True)
    (copies.folder.parent / "etc").mkdir()
    (copies.folder.parent / "x").touch()
    with pytest.raises(Absent):
        trio.run(copies.storage.to_fetch, CidInput(cid=text, path="/inputs"))


def test_a_name_too_long_for_any_file_is_not_here(copies: Copies) -> None:
    with pytest.raises(Absent):
        trio.run(copies.storage.to_fetch, CidInput(cid="ü" * 200, path="/inputs"))


def test_reasons_do_not_tell_where_copies_lie(copies: Copies) -> None:
    os.mkfifo(copies.apples)
    with pytest.raises(StorageError) as caught:
        trio.run(copies.storage.to_fetch, APPLES)
    assert str(copies.folder) not in str(caught.value)
