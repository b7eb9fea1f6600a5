"""Files of this machine as a blob: from an offset, once, each with its own bytes, and never more than an error."""

from __future__ import annotations

import os

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.ambient import inline
from node.errors import BlobRefused, StorageError
from node.transport.files import _Chunks, file_blob, files_blob

FILES = {"a": b"aa", "d/b": b"", "d/c": b"c" * 300_000, "e": b"", "f": b"f"}
NAMED = [(name, len(content)) for name, content in FILES.items()]


def read(path, offset=0, meanwhile=None):
    async def main():
        blob = await file_blob(path, offset, inline)
        if meanwhile is not None:
            meanwhile()
        body, error = await sent(blob)
        if error is not None:
            assert len(body) < blob.size
        return blob.size, body

    return trio.run(main)


def read_all(folder, files=NAMED, offset=0, meanwhile=None):
    """The size announced, what was sent, and the error that ended it, if one did."""

    async def main():
        blob = await files_blob(folder, files, offset, inline)
        if meanwhile is not None:
            meanwhile()
        return blob.size, *await sent(blob)

    return trio.run(main)


async def sent(blob):
    """All that comes before the end, and the error which that was; nothing stays open."""
    body, error = b"", None
    try:
        async for chunk in blob.chunks:
            assert 0 < len(chunk) <= limits.BLOB_CHUNK_BYTES
            body += chunk
    except StorageError as caught:
        error = caught
    await blob.aclose()
    assert blob.chunks._file.closed
    return body, error


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "d").mkdir()
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_a_file_is_sent_from_an_offset(tmp_path):
    (tmp_path / "f").write_bytes(b"abc" * 200_000)
    assert read(tmp_path / "f", 599_999) == (1, b"c")
    assert read(tmp_path / "f", 600_000) == (0, b"")
    assert read(tmp_path / "f") == (600_000, b"abc" * 200_000)


@pytest.mark.parametrize("offset", [4, 2**62])
def test_an_offset_behind_the_end_is_refused(tmp_path, offset):
    (tmp_path / "f").write_bytes(b"abc")
    with pytest.raises(BlobRefused, match="ends at 3"):
        read(tmp_path / "f", offset)


def test_what_is_no_regular_file_is_refused(tmp_path):
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe")
    for name in ("no", ".", "link"):
        with pytest.raises(BlobRefused):
            read(tmp_path / name)
    with pytest.raises(BlobRefused):
        read(tmp_path / "pipe")


def test_a_file_that_grows_or_shrinks_meanwhile_ends_with_what_there_is(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert read(path, meanwhile=lambda: path.write_bytes(b"abcdef")) == (3, b"abc")
    assert read(path, meanwhile=lambda: os.truncate(path, 1)) == (6, b"a")


def test_a_disk_that_fails_in_the_middle_is_an_error_that_transports_know():
    """A process's own memory from its beginning on is a file that opens and does not read."""
    with open("/proc/self/mem", "rb", buffering=0) as memory, pytest.raises(StorageError, match="any more"):
        trio.run(anext, _Chunks(memory, 10, inline))


@given(sizes=st.lists(st.sampled_from([0, 0, 1, 2, 100, limits.BLOB_CHUNK_BYTES - 1, limits.BLOB_CHUNK_BYTES])))
def test_files_are_sent_one_behind_the_other(tmp_path_factory, sizes):
    folder = tmp_path_factory.mktemp("files")
    contents = [b"first", *(bytes([number % 256]) * size for number, size in enumerate(sizes))]
    for number, content in enumerate(contents):
        (folder / str(number)).write_bytes(content)
    files = [(str(number), len(content)) for number, content in enumerate(contents)]
    whole = b"".join(contents)
    for offset in (0, 2, 5):
        assert read_all(folder, files, offset) == (len(whole) - offset, whole[offset:], None)


def test_many_small_files_take_few_visits_to_a_thread_and_one_of_them_is_open(tmp_path):
    for number in range(1_000):
        (tmp_path / str(number)).write_bytes(b"%03d" % number)
    visits, most = [], []

    async def offload(call, *args):
        visits.append(call)
        found = await inline(call, *args)
        most.append(len([name for name in os.listdir("/proc/self/fd") if leads_to(name, tmp_path)]))
        return found

    async def main():
        blob = await files_blob(tmp_path, [(str(number), 3) for number in range(1_000)], 0, offload)
        body, error = await sent(blob)
        assert (body, error) == (b"".join(b"%03d" % number for number in range(1_000)), None)

    trio.run(main)
    assert len(visits) == 3  # To open the first, to read all, to find the end.
    assert max(most) <= 1


def leads_to(descriptor, folder):
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(folder))
    except FileNotFoundError:
        return False


CHANGES = {
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "shorter": lambda path: os.truncate(path, path.stat().st_size - 1),
    "gone": lambda path: path.unlink(),
    "a link": lambda path: path.rename(path.with_name("g")) and path.symlink_to("g"),
    "a folder": lambda path: path.unlink() or path.mkdir(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_file_that_has_changed_when_its_turn_comes_ends_the_blob_in_its_place(folder, change):
    """No byte of what follows is where one of its own should be."""
    size, body, error = read_all(folder, meanwhile=lambda: change(folder / "d/c"))
    assert (size, body) == (300_003, b"aa")
    assert error is not None


def test_a_file_without_bytes_that_has_some_when_its_turn_comes_ends_the_blob(folder):
    _, body, error = read_all(folder, meanwhile=lambda: (folder / "e").write_bytes(b"x"))
    assert body == b"aa" + FILES["d/c"]
    assert error is not None


def test_a_file_that_shrinks_while_it_is_read_ends_the_blob_there(folder):
    async def main():
        blob = await files_blob(folder, NAMED, 0, inline)
        begin = await anext(blob.chunks)
        os.truncate(folder / "d/c", 299_000)
        return begin, *await sent(blob)

    begin, body, error = trio.run(main)
    assert begin + body == b"aa" + b"c" * 299_000
    assert "1000 bytes shorter" in str(error)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_files_of_which_the_first_is_not_what_it_was_are_refused(folder, change):
    change(folder / "a")
    with pytest.raises(BlobRefused):
        read_all(folder)


def test_files_that_nobody_reads_are_let_go_of(folder):
    async def main():
        blob = await files_blob(folder, NAMED, 0, inline)
        await blob.aclose()
        assert blob.chunks._file.closed

    trio.run(main)
