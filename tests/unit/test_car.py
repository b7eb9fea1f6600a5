"""CAR files: what is written comes back in pieces of any size; what is cut, changed or of another kind is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.blocks import HeldBlocks
from doubles.trees import FOLDERS, Tree, bytes_of, planted
from hypothesis import given
from hypothesis import strategies as st

from node import varint
from node.errors import StorageError
from node.limits import BLOCK_BYTES_MAX, CAR_HEADER_BYTES_MAX, MiB
from node.storage.ipfs import car
from node.storage.ipfs.car import CarReader
from node.storage.ipfs.cid import DAG_PB, RAW, Cid
from node.storage.ipfs.layout import PROFILES, V0_2015, V1_2025, Profile
from node.storage.ipfs.packing import pack

A, B = Cid.of(b"a", RAW), Cid.of(b"bb", DAG_PB, version=0)
CAR = car.header([A]) + car.section(A, b"a") + car.section(B, b"bb")


def read(data: bytes, piece: int = 1 << 20) -> tuple[tuple[Cid, ...], list[tuple[Cid, bytes]]]:
    reader = CarReader()
    found = [one for at in range(0, len(data), piece) for one in reader.feed(data[at : at + piece])]
    reader.end()
    return reader.roots, found


def with_header(body: bytes) -> bytes:
    return varint.encode(len(body)) + body


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
def test_blocks_come_back_in_pieces_of_any_size(piece: int) -> None:
    assert read(CAR, piece) == ((A,), [(A, b"a"), (B, b"bb")])


@pytest.mark.parametrize("roots", [[], [A], [B, A], [Cid.parse("bafkqaaa")], [A] * 30, [A] * 300])
def test_roots_come_back(roots: list[Cid]) -> None:
    assert read(car.header(roots)) == (tuple(roots), [])


@given(st.integers(0, len(CAR) - 1))
def test_a_file_that_is_cut_off_is_an_error_unless_between_blocks(end: int) -> None:
    ends = {len(car.header([A])), len(car.header([A]) + car.section(A, b"a"))}
    if end in ends:
        read(CAR[:end])
        return
    with pytest.raises(ValueError, match="cut off"):
        read(CAR[:end])


@given(st.integers(0, len(CAR) - 1), st.integers(1, 255))
def test_a_flipped_bit_is_an_error_and_never_a_wrong_block(at: int, flip: int) -> None:
    data = bytearray(CAR)
    data[at] ^= flip
    try:
        roots, found = read(bytes(data))
    except ValueError:
        return
    assert roots != (A,) or [block for _, block in found] == [b"a", b"bb"]


@given(st.binary(max_size=200))
def test_bytes_are_a_car_file_or_a_value_error(data: bytes) -> None:
    try:
        read(data)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cut off"),
        (b"\x00", "no CAR file"),
        (with_header(b"\xa1\x67version\x02") + bytes(40), "version 2"),
        (with_header(b"\xa1\x67version\x01"), "no CAR file"),
        (with_header(b"\xa2\x65roots\x80\x67version\x02"), "no CAR file"),
        (with_header(b"\xa2\x65roots\x81\x40\x67version\x01"), "no CID"),
        (with_header(b"\xa2\x65roots\x81\xd8\x2a\x41\x01\x67version\x01"), "no CID"),
        (with_header(b"\xa2\x65roots\x9f\xff\x67version\x01"), "not DAG-CBOR"),
        (with_header(b"\xa2\x65roots\x98\x01\x67version\x01"), "not DAG-CBOR"),
        (with_header(b"\xa2\x65roots\x80\x80\x67version\x01"), "not one"),
        (varint.encode(CAR_HEADER_BYTES_MAX + 1), "a section of"),
        (b"\xff" * 20, "varint"),
        (car.header([A]) + b"\x00", "varint"),
        (car.header([A]) + varint.encode(BLOCK_BYTES_MAX + 1000), "a section of"),
        (car.header([A]) + car.section(A, b"b"), "a block that is not"),
        (car.header([A]) + with_header(A.raw[:20]), "cut off"),
        (car.header([A]) + with_header(b"\x01\x71" + A.raw[2:] + b"a"), "dag-cbor"),
    ],
)
def test_what_is_no_car_file_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(data)


def test_a_block_over_the_limit_is_refused_and_one_at_it_is_not() -> None:
    large, larger = bytes(BLOCK_BYTES_MAX), bytes(BLOCK_BYTES_MAX + 1)
    assert read(car.header([A]) + car.section(Cid.of(large, RAW), large))[1]

    with pytest.raises(ValueError, match="a block of"):
        read(car.header([A]) + car.section(Cid.of(larger, RAW), larger))


@pytest.mark.parametrize(
    ("profile", "name"),
    [(profile, name) for profile in PROFILES for name in ("no entries", "nested")] + [(V1_2025, "sharded in sharded")],
)
def test_a_packed_folder_has_each_of_its_blocks_once_the_root_first(
    tmp_path: Path, profile: Profile, name: str
) -> None:
    folder, held = planted(tmp_path / "tree", FOLDERS[name]()), HeldBlocks()
    out = bytearray()

    root = pack(folder, profile, out.extend)

    roots, found = read(bytes(out))
    assert roots == (root,) == (held.imported(folder, profile),)
    assert found[0][0] == root
    assert dict(found) == held.blocks
    assert len(found) == len(held.blocks)


def test_files_and_folders_that_repeat_are_packed_once(tmp_path: Path) -> None:
    same: Tree = {f"{name}/below/file": b"1" for name in "abc"}
    folder, held, out = planted(tmp_path / "tree", same), HeldBlocks(), bytearray()

    pack(folder, V1_2025, out.extend)

    held.imported(folder)
    assert [cid for cid, _ in read(bytes(out))[1]] == list(reversed(held.blocks))


def test_parts_that_repeat_are_packed_once_and_what_follows_them_is_right(tmp_path: Path) -> None:
    data = bytes(180 * 256 * 1024) + bytes_of(MiB) + bytes(180 * 256 * 1024) + b"end"
    (tmp_path / "file").write_bytes(data)
    out, held = bytearray(), HeldBlocks()

    pack(tmp_path / "file", V0_2015, out.extend)

    held.imported(tmp_path / "file", V0_2015)
    assert dict(read(bytes(out))[1]) == held.blocks
    assert len(out) < 3 * MiB


def test_a_packed_path_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes_of(3 * MiB))
    (tmp_path / "link").symlink_to("file")
    direct, linked = bytearray(), bytearray()

    pack(tmp_path / "file", V1_2025, direct.extend)
    pack(tmp_path / "link", V1_2025, linked.extend)

    assert linked == direct


def test_a_file_that_changes_between_the_readings_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes_of(3 * MiB))
    pieces: list[bytes] = []

    def out(piece: bytes) -> None:
        pieces.append(piece)
        file.write_bytes(bytes_of(3 * MiB)[::-1])

    with pytest.raises(StorageError, match="has changed"):
        pack(file, V1_2025, out)


def test_packing_ends_where_its_checkpoint_raises(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes_of(3 * MiB))
    ticks = iter(range(5))

    with pytest.raises(StopIteration):
        pack(tmp_path / "file", V1_2025, lambda _: None, lambda: next(ticks))
