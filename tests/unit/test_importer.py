"""Trees of this machine as CIDs: those that Kubo gave them; hostile and changing trees; what is confirmed."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from doubles.kubo_cids import KUBO_CIDS
from doubles.trees import FILES, FOLDERS, bytes_of, planted

from node.errors import StorageError
from node.limits import INPUT_DEPTH_MAX, KiB, MiB
from node.storage.ipfs import unixfs
from node.storage.ipfs.cid import DAG_PB, Cid
from node.storage.ipfs.importer import cid_of, confirms, import_tree
from node.storage.ipfs.layout import PROFILES, V0_2015, V1_2025, V1_RAW_LEAVES, Profile
from node.storage.ipfs.unixfs import Kind


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listener(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # A socket's path is short.
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def loop(path: Path) -> None:
    path.symlink_to(path)


def link_out(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def link_to_folder(path: Path) -> None:
    path.symlink_to("..")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_has_the_cids_that_kubo_gives_it(tmp_path: Path, name: str) -> None:
    folder = planted(tmp_path / "tree", FOLDERS[name]())

    assert [str(cid_of(folder, profile)) for profile in PROFILES] == list(KUBO_CIDS[name])


@pytest.mark.parametrize(
    ("name", "profile", "kind"),
    [
        ("v0 at the limit", V0_2015, Kind.DIRECTORY),
        ("v0 over the limit", V0_2015, Kind.SHARD),
        ("v1 at the limit", V1_RAW_LEAVES, Kind.DIRECTORY),
        ("v1 over the limit", V1_RAW_LEAVES, Kind.SHARD),
        ("2025 at the limit", V1_2025, Kind.DIRECTORY),
        ("2025 over the limit", V1_2025, Kind.SHARD),
        ("2025 over it by a folder's size", V1_2025, Kind.SHARD),
    ],
)
def test_the_trees_at_the_limits_are_at_the_limits(tmp_path: Path, name: str, profile: Profile, kind: Kind) -> None:
    blocks: dict[Cid, bytes] = {}

    root = import_tree(planted(tmp_path / "tree", FOLDERS[name]()), profile, blocks.__setitem__).cid

    assert unixfs.decode(blocks[root]).kind is kind


def test_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    folder = planted(tmp_path / "tree", {"a": b"12", "b/c": b"345", "b/d": None})

    assert import_tree(folder, V1_2025).size == 5


def test_the_path_itself_may_be_a_link(tmp_path: Path) -> None:
    folder = planted(tmp_path / "tree", {"a": b"12"})
    (tmp_path / "link").symlink_to(folder)

    assert cid_of(tmp_path / "link", V1_2025) == cid_of(folder, V1_2025)


@pytest.mark.parametrize("plant", [fifo, listener, loop, link_out, link_to_folder])
def test_what_is_no_file_and_no_folder_is_refused_with_its_path(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    folder = planted(tmp_path / "tree", {"below/file": b"12"})
    plant(folder / "below" / "odd")

    with pytest.raises(StorageError, match=r"tree/below/odd is (a symbolic link|neither)"):
        cid_of(folder, V1_2025)


@pytest.mark.parametrize("plant", [fifo, loop])
def test_a_path_that_is_no_file_and_no_folder_is_refused(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    plant(tmp_path / "odd")

    with pytest.raises(StorageError, match="odd"):
        cid_of(tmp_path / "odd", V1_2025)


def test_a_device_is_refused_unopened() -> None:
    with pytest.raises(StorageError, match="/dev/zero is neither"):
        cid_of(Path("/dev/zero"), V1_2025)


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    folder = planted(tmp_path / "tree", {"a": b""})
    with open(os.fsencode(folder) + b"/\xff", "wb"):
        pass

    with pytest.raises(StorageError, match=r"tree/\\xff: the name is not UTF-8"):
        cid_of(folder, V1_2025)


def test_what_is_nowhere_or_forbidden_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere cannot be read: No such file"):
        cid_of(tmp_path / "nowhere", V1_2025)


def test_folders_that_are_too_deep_are_refused(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(INPUT_DEPTH_MAX):
        folder /= "d"
    folder.mkdir(parents=True)
    cid_of(tmp_path / "d", V1_2025)
    (folder / "one more").mkdir()

    with pytest.raises(StorageError, match="folders deep"):
        cid_of(tmp_path / "d", V1_2025)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: os.truncate(file, 3 * MiB),
        lambda file: os.truncate(file, 5 * MiB),
        lambda file: os.utime(file, ns=(1, 1)),
    ],
    ids=["shrinks", "grows", "is written to"],
)
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, change: Callable[[Path], None]) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes_of(4 * MiB))
    ticks = iter(range(100))

    with pytest.raises(StorageError, match="has changed while it was read"):
        cid_of(file, V1_2025, lambda: next(ticks) or change(file))


def to_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("plant", [fifo, link_out, link_to_folder, to_folder])
def test_what_was_listed_as_a_file_and_is_opened_as_something_else_is_refused(
    tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    folder = planted(tmp_path / "tree", {"a": bytes(MiB), "b": b"12"})
    ticks = iter(range(100))

    def swap() -> None:
        if next(ticks) == 2:  # Both are listed, and the first has been read.
            (folder / "b").unlink()
            plant(folder / "b")

    with pytest.raises(StorageError, match=r"b (has changed|cannot be read)"):
        cid_of(folder, V1_2025, swap)


def test_a_file_that_grows_for_ever_is_not_read_for_ever(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"1")
    reads = []

    def grow() -> None:
        reads.append(1)
        assert len(reads) < 10
        with file.open("ab") as more:
            more.write(bytes(MiB))

    with pytest.raises(StorageError, match="has changed"):
        cid_of(file, V1_2025, grow)


def test_an_import_ends_where_its_checkpoint_raises(tmp_path: Path) -> None:
    folder = planted(tmp_path / "tree", {"a": bytes(4 * MiB), "b": b""})
    reads, handles = iter([None, None, None, None]), len(os.listdir("/proc/self/fd"))

    with pytest.raises(StopIteration):
        cid_of(folder, V1_2025, lambda: next(reads))
    assert len(os.listdir("/proc/self/fd")) == handles


def test_what_becomes_of_the_blocks_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    folder = planted(tmp_path / "tree", {"a": b"12"})

    def put(cid: Cid, block: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        import_tree(folder, V1_2025, put)


@pytest.mark.parametrize(
    ("profile", "name"),
    [(profile, name) for profile in PROFILES for name in ("nested", "a wrapped file")] + [(V1_2025, "sharded")],
)
def test_a_folder_is_confirmed_in_every_profile(tmp_path: Path, name: str, profile: Profile) -> None:
    folder = planted(tmp_path / "tree", FOLDERS[name]())
    cid = Cid.parse(KUBO_CIDS[name][PROFILES.index(profile)])

    assert confirms(folder, cid)
    (folder / "one more").write_bytes(b"")
    assert not confirms(folder, cid)


@pytest.mark.parametrize("name", ["empty", "a chunk", "a chunk and one", "a large chunk and one"])
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_file_is_confirmed_in_every_profile_and_not_with_a_bit_flipped(
    tmp_path: Path, name: str, profile: Profile
) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes_of(FILES[name]))
    cid = Cid.parse(KUBO_CIDS[name][PROFILES.index(profile)])

    assert confirms(file, cid)
    file.write_bytes(bytes_of(FILES[name])[:-1] + b"\xff")
    assert not confirms(file, cid)


def test_a_cid_of_version_0_written_as_version_1_is_confirmed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes_of(256 * KiB + 1))

    assert confirms(file, Cid(1, DAG_PB, cid_of(file, V0_2015).multihash))


def test_a_file_does_not_confirm_the_folder_that_wraps_it_nor_the_reverse(tmp_path: Path) -> None:
    folder = planted(tmp_path / "tree", FOLDERS["a wrapped file"]())
    file = folder / "file.txt"

    assert not confirms(file, cid_of(folder, V1_2025))
    assert not confirms(folder, cid_of(file, V1_2025))
