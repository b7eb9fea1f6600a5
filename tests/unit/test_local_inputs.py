"""Local inputs: below listed folders, by no link, and never what is the node's own."""

from __future__ import annotations

import os
import socket

import pytest
import trio
from doubles.peers import peer

from node.ambient import inline
from node.errors import Absent, OperatorError, StorageError
from node.model import LocalInput
from node.storage.local import LocalFiles


@pytest.fixture
def listed(tmp_path):
    folder = tmp_path / "listed"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "f").write_bytes(b"found")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "f").write_bytes(b"secret")
    (tmp_path / "node").mkdir()
    return folder


def files(tmp_path, *folders):
    return LocalFiles(folders or [tmp_path / "listed"], tmp_path / "node", inline)


def ref(path):
    return LocalInput(source=str(path), path="/inputs/x")


def prepared(driver, path):
    async def main():
        async with driver.prepared(ref(path), peer(1)) as found:
            return found.path

    return trio.run(main)


def test_what_is_below_a_listed_folder_is_shown_where_it_lies(tmp_path, listed):
    for path in (listed, listed / "a", listed / "a" / "b" / "f"):
        assert prepared(files(tmp_path), path) == path
    assert trio.run(files(tmp_path).size, ref(listed)) == 5


def test_a_listed_folder_may_be_a_link_that_is_read_once(tmp_path, listed):
    link = tmp_path / "link"
    link.symlink_to(listed)
    driver = files(tmp_path, link)
    link.unlink()
    link.symlink_to(tmp_path / "secret")
    assert prepared(driver, link / "a") == listed / "a"
    with pytest.raises(Absent):
        trio.run(driver.to_fetch, ref(link / "f"))


@pytest.mark.parametrize("target", ["/etc", "../secret", "../secret/f", "/proc/self/root", ".", "/nowhere"])
@pytest.mark.parametrize("below", ["", "passwd", "f"])
def test_no_link_on_the_way_is_followed_not_even_one_that_stays_inside(tmp_path, listed, target, below):
    (listed / "link").symlink_to(target)
    driver = files(tmp_path)
    for call in (driver.to_fetch, driver.size, driver.list):
        with pytest.raises(StorageError, match="leads through a link, and links are not followed"):
            trio.run(call, ref(listed / "link" / below))
    with pytest.raises(StorageError, match="leads through a link"):
        prepared(driver, listed / "link" / below)


def test_links_in_a_folder_are_not_counted(tmp_path, listed):
    (listed / "a" / "link").symlink_to("/etc/passwd")
    (listed / "a" / "folder").symlink_to("/etc")
    driver = files(tmp_path)
    assert [entry.path for entry in trio.run(driver.list, ref(listed / "a"))] == ["", "b", "b/f"]
    assert trio.run(driver.size, ref(listed / "a")) == 5


@pytest.mark.parametrize(
    "source",
    ["/etc/passwd", "/", "{0}/secret", "{0}/listedx", "{0}", "{0}/listed/../secret", "{0}/listed/a/../../secret/f"],
)
def test_what_no_operator_listed_is_not_shown(tmp_path, listed, source):
    source = source.format(tmp_path)
    driver = files(tmp_path)
    for call in (driver.to_fetch, driver.size, driver.list):
        with pytest.raises(StorageError, match="below no folder that the operator of this node lists"):
            trio.run(call, ref(source))
    with pytest.raises(StorageError, match="--local-input"):
        prepared(driver, source)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as here:
        here.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, make_socket, lambda path: os.mknod(path, 0o20600, os.makedev(1, 3))])
def test_what_is_neither_file_nor_folder_is_refused_without_being_opened(tmp_path, listed, make):
    try:
        make(listed / "odd")
    except PermissionError:
        pytest.skip("only root makes devices")
    driver = files(tmp_path)
    for call in (driver.to_fetch, driver.size, driver.list):
        with pytest.raises(StorageError, match="neither a folder nor a regular file"):
            trio.run(call, ref(listed / "odd"))


def test_what_is_not_there_is_not_there(tmp_path, listed):
    driver = files(tmp_path)
    for path in ("nowhere", "a/nowhere", "a/b/f/below", "n" * 300):
        with pytest.raises(Absent):
            trio.run(driver.to_fetch, ref(listed / path))
        with pytest.raises(StorageError, match="is not on this node"):
            prepared(driver, listed / path)


def test_a_listed_folder_that_went_away_is_no_error_of_the_node(tmp_path, listed):
    driver = files(tmp_path)
    listed.rename(tmp_path / "moved")
    with pytest.raises(Absent):
        trio.run(driver.to_fetch, ref(listed / "a"))


def test_the_nodes_own_folder_is_not_shown_nor_one_that_holds_it(tmp_path, listed):
    (tmp_path / "node" / "key").write_bytes(b"key")
    driver = files(tmp_path, tmp_path)
    for path in (tmp_path, tmp_path / "node", tmp_path / "node" / "key"):
        with pytest.raises(StorageError, match="what this node shows to nobody"):
            prepared(driver, path)
    assert prepared(driver, listed) == listed


@pytest.mark.parametrize("folder", ["nowhere", "secret/f", "node", "loop"])
def test_what_cannot_be_listed_stops_the_node(tmp_path, listed, folder):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OperatorError, match="--local-input"):
        files(tmp_path, tmp_path / folder)


@pytest.mark.parametrize("folder", ["/proc", "/proc/self", "/sys", "/dev"])
def test_what_is_no_data_stops_the_node(tmp_path, listed, folder):
    with pytest.raises(OperatorError, match="no place for the data of jobs"):
        files(tmp_path, folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_this_process_may_not_read_is_said(tmp_path, listed):
    (listed / "a").chmod(0)
    with pytest.raises(StorageError, match=r"may not be read|Permission denied"):
        prepared(files(tmp_path), listed / "a")
