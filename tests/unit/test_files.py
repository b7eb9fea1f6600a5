"""A file of this machine as a blob: from an offset, once, and never more than an error of its own."""

from __future__ import annotations

import os

import pytest
import trio

from node.ambient import inline
from node.errors import BlobRefused, StorageError
from node.transport.files import _Chunks, file_blob


def read(path, offset=0, meanwhile=None):
    async def main():
        blob = await file_blob(path, offset, inline)
        if meanwhile is not None:
            meanwhile()
        body = b"".join([chunk async for chunk in blob.chunks])
        await blob.chunks.aclose()
        return blob.size, body

    return trio.run(main)


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
