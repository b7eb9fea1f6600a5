"""What a program could see of its machine and does not: each leak of wasmtime's own WASI, and what stands for it."""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from contract.executors import ROOMY
from contract.wasm_modules import CREATE, OPENED, READ, WRITE, Text, Wasm, command, wat
from integration.wasm_runs import Ended, Run, ended

from node.errors import DriverUnavailable
from node.executor.base import Mount
from node.executor.wasm.profile.clock import END_NS, START_NS, TICK_NS

AT = 0x20000  # Where programs put what they print.
STAT = struct.Struct("<QQB7xQQQQQ")  # device, inode, type, links, size, three times
FOLDER_RIGHTS = "(i64.const 0x4000)"  # to list it
_ENTRY = struct.Struct("<QQIB3x")
_INVAL, _FAULT = 28, 21


def shown(size: int, at: int = AT) -> str:
    """Print what lies there."""
    return f"(call $must (call $write (i32.const 1) (i32.const {at}) (i32.const {size})))"


def look(clock: int, at: int = AT) -> str:
    return f"(call $must (call $clock_time_get (i32.const {clock}) (i64.const 0) (i32.const {at})))"


def stat(place: str, at: int = AT, folder: int = 3) -> str:
    return f"(call $must (call $path_filestat_get (i32.const {folder}) (i32.const 0) {place} (i32.const {at})))"


def stats(end: Ended) -> list[tuple[int, ...]]:
    assert end.exit_code == 0, (end.exit_code, end.failure)
    return list(STAT.iter_unpack(end.stdout))


def entries(listed: bytes) -> list[tuple[int, int, int, bytes]]:
    """Cookie, inode, type and name of each."""
    found = []
    while listed:
        cookie, inode, length, kind = _ENTRY.unpack_from(listed)
        found.append((cookie, inode, kind, listed[_ENTRY.size : _ENTRY.size + length]))
        listed = listed[_ENTRY.size + length :]
    return found


def page(folder: str, cookie: int, room: int = 0x10000) -> str:
    """List a folder from an entry on."""
    at = f"(i32.const {AT}) (i32.const {room}) (i64.const {cookie}) (i32.const 8)"
    return f"(call $must (call $fd_readdir {folder} {at}))"


def listing(folder: str = "(i32.const 3)", room: int = 0x10000, cookie: int = 0) -> str:
    """The same, and print it."""
    printed = f"(call $must (call $write (i32.const 1) (i32.const {AT}) (i32.load (i32.const 8))))"
    return page(folder, cookie, room) + printed


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for name in ("z", "b", "ä", "a", "B", "10", "9"):
        (folder / name).write_text(name)
    return folder


def over(tree: Path, wasm: Wasm) -> Ended:
    return ended(tree.parent, Run(wasm=wasm, inputs=(Mount(tree, "/inputs"),)))


def test_every_clock_is_one_that_begins_at_a_fixed_time_and_passes_with_each_look(tmp_path: Path) -> None:
    body = "".join(look(clock, AT + 8 * clock) for clock in range(4)) + shown(32)
    times = struct.unpack("<4Q", ended(tmp_path, Run(wasm=command(body))).stdout)
    assert times == tuple(START_NS + TICK_NS * look for look in (1, 2, 3, 4))


def test_the_clocks_resolution_is_what_a_look_takes_and_there_is_no_fifth_clock(tmp_path: Path) -> None:
    body = f"""(call $must (call $clock_res_get (i32.const 1) (i32.const {AT}))) {shown(8)}
      (call $proc_exit (call $clock_time_get (i32.const 4) (i64.const 0) (i32.const {AT})))"""
    end = ended(tmp_path, Run(wasm=command(body)))
    assert (end.stdout, end.exit_code) == (TICK_NS.to_bytes(8, "little"), _INVAL)


def test_who_waits_by_looking_at_the_clock_comes_to_an_end(tmp_path: Path) -> None:
    body = (
        f"(loop $again {look(0)} (br_if $again (i64.lt_u (i64.load (i32.const {AT})) (i64.const {START_NS + 10**9}))))"
    )
    assert ended(tmp_path, Run(wasm=command(body))).exit_code == 0


def test_a_sleep_passes_in_virtual_time_and_takes_none(tmp_path: Path) -> None:
    body = f"(call $sleep (i64.const {3600 * 10**9})) {look(0)} {shown(8)}"
    end = ended(tmp_path, Run(wasm=command(body), limits=replace(ROOMY, wall_s=30)))
    assert int.from_bytes(end.stdout, "little") == START_NS + 3600 * 10**9 + TICK_NS


@pytest.mark.parametrize("sleep_ns", [END_NS - START_NS + 1, 2**64 - 1])
def test_who_sleeps_past_the_end_of_time_is_stopped(tmp_path: Path, sleep_ns: int) -> None:
    end = ended(tmp_path, Run(wasm=command(f"(call $sleep (i64.const {sleep_ns}))")))
    assert (end.code, "2262" in end.detail) == ("trap", True)


@pytest.mark.parametrize(("count", "errno"), [("0", _INVAL), ("5000", _INVAL), ("4096", _FAULT)])
def test_a_poll_of_nothing_too_much_or_elsewhere_is_an_error_of_the_program(
    tmp_path: Path, count: str, errno: int
) -> None:
    body = f"(call $proc_exit (call $poll_oneoff (i32.const 0xf0000) (i32.const 0) (i32.const {count}) (i32.const 8)))"
    assert ended(tmp_path, Run(wasm=command(body))).exit_code == errno


def test_randomness_is_of_the_seed_and_the_number_of_the_call(tmp_path: Path) -> None:
    body = f"""(call $must (call $random_get (i32.const {AT}) (i32.const 40)))
      (call $must (call $random_get (i32.const {AT + 40}) (i32.const 24))) {shown(64)}"""
    first = hashlib.shake_256(b"quorate random 0 of seed").digest(40) + hashlib.shake_256(
        b"quorate random 1 of seed"
    ).digest(24)
    assert ended(tmp_path, Run(wasm=command(body))).stdout == first
    assert ended(tmp_path, Run(wasm=command(body), seed="other")).stdout != first


@pytest.mark.parametrize(("at", "size"), [(0xFFFFF, 2), (0, 0x7FFFFFFF), (-1, -1)])
def test_randomness_for_elsewhere_is_an_error_of_the_program(tmp_path: Path, at: int, size: int) -> None:
    body = f"(call $proc_exit (call $random_get (i32.const {at}) (i32.const {size})))"
    assert ended(tmp_path, Run(wasm=command(body))).exit_code == _FAULT


def test_a_folder_is_listed_in_the_order_of_its_names_with_numbers_as_first_seen(tree: Path) -> None:
    found = entries(over(tree, command(listing())).stdout)
    names = [b".", b"..", b"10", b"9", b"B", b"a", b"b", b"sub", b"z", "ä".encode()]
    assert [name for *_, name in found] == names
    assert [cookie for cookie, *_ in found] == list(range(1, len(names) + 1))
    assert [inode for _, inode, *_ in found] == [2, *range(2, 1 + len(names))]  # "." and ".." are one


def test_a_listing_in_small_pieces_is_the_same(tree: Path) -> None:
    """Each piece has room for one entry and a part of the next, which is asked for again."""
    body = f"""(block $end (loop $more
      (call $must (call $fd_readdir (i32.const 3) (i32.const {AT}) (i32.const 32) (local.get $n) (i32.const 8)))
      (br_if $end (i32.lt_u (i32.load (i32.const 8)) (i32.const 25)))
      (call $must (call $write (i32.const 1) (i32.const {AT})
        (i32.add (i32.const 24) (i32.load (i32.const {AT + 16})))))
      (local.set $n (i64.load (i32.const {AT})))
      (br $more)))"""
    assert over(tree, command(body)).stdout == over(tree, command(listing())).stdout


def test_a_listing_under_way_is_of_when_it_began(tmp_path: Path) -> None:
    text = Text()
    first, second = text(b"first"), text(b"second")
    sized = "(call $must (call $write (i32.const 1) (i32.const 8) (i32.const 4)))"
    begun, gone_on = (page("(i32.const 3)", cookie) + sized for cookie in (0, 1))
    body = f"""(call $must (call $open (i32.const 3) {first} {CREATE} {WRITE})) {begun}
      (call $must (call $open (i32.const 3) {second} {CREATE} {WRITE})) {gone_on} {begun}"""
    sizes = struct.unpack("<3I", ended(tmp_path, Run(wasm=command(body, text))).stdout)
    whole = sum(24 + len(name) for name in (".", "..", "first"))
    assert sizes == (whole, whole - 25, whole + 24 + len("second"))


def test_a_listing_moves_with_its_descriptor_and_ends_with_it(tmp_path: Path) -> None:
    text = Text()
    sub, old, new = text(b"sub"), text(b"sub/old"), text(b"sub/zzz")
    opened = f"(call $must (call $open (i32.const 3) {sub} (i32.const 2) {FOLDER_RIGHTS}))"
    fifth, sixth = "(i32.const 5)", "(i32.const 6)"
    body = f"""(call $must (call $path_create_directory (i32.const 3) {sub}))
      (call $must (call $open (i32.const 3) {old} {CREATE} {WRITE}))
      {opened} {opened} {listing(fifth)} (call $must (call $open (i32.const 3) {new} {CREATE} {WRITE}))
      (call $must (call $fd_renumber {fifth} {sixth})) {listing(sixth, cookie=2)}
      (call $must (call $fd_close {sixth})) {opened} {listing(OPENED, cookie=2)}"""
    names = [name for *_, name in entries(ended(tmp_path, Run(wasm=command(body, text))).stdout)]
    assert names == [b".", b"..", b"old", b"old", b"old", b"zzz"]


def test_a_million_files_can_be_listed_in_the_end(tree: Path) -> None:
    """Not a million: more than the first attempt has room for."""
    for number in range(5_000):
        (tree / "sub" / f"{number:05}").touch()
    text = Text()
    sub = text(b"sub")
    body = f"(call $must (call $open (i32.const 3) {sub} (i32.const 2) {FOLDER_RIGHTS})) {listing(OPENED, 0x80000)}"
    found = entries(over(tree, command(body, text)).stdout)
    assert [name for *_, name in found[2:]] == [b"%05d" % number for number in range(5_000)]


def test_a_file_has_no_times_one_name_and_a_number_of_the_programs_own(tree: Path) -> None:
    os.utime(tree / "a", (1, 2))
    for number in range(1_000):  # On most file systems the folder grows with it.
        (tree / "sub" / f"{number:0100}").touch()
    text = Text()
    b, a, sub = text(b"b"), text(b"a"), text(b"sub")
    found = stats(over(tree, command("".join(stat(name) + shown(64) for name in (b, a, sub, b)), text)))
    assert found == [
        (1, 2, 4, 1, 1, 0, 0, 0),
        (1, 3, 4, 1, 1, 0, 0, 0),
        (1, 4, 3, 1, 4096, 0, 0, 0),
        (1, 2, 4, 1, 1, 0, 0, 0),
    ]


def test_the_number_of_a_deleted_file_is_not_given_again(tmp_path: Path) -> None:
    """File systems use an inode again at once, or never: what is seen of it is a number that is never used again."""
    text = Text()
    name, other = text(b"name"), text(b"other")
    made = f"(call $must (call $open (i32.const 3) {name} {CREATE} {WRITE}))"
    made_other = f"(call $must (call $open (i32.const 3) {other} {CREATE} {WRITE}))"
    closed = f"(call $must (call $fd_close {OPENED}))"
    unlinked = f"(call $must (call $path_unlink_file (i32.const 3) {name}))"
    folder = f"(call $must (call $path_create_directory (i32.const 3) {name}))"
    removed = f"(call $must (call $path_remove_directory (i32.const 3) {name}))"
    renamed = f"(call $must (call $path_rename (i32.const 3) {other} (i32.const 3) {name}))"
    seen, seen_other = stat(name) + shown(64), stat(other) + shown(64)
    body = f"""{made} {closed} {seen} {unlinked} {made} {closed} {seen} {unlinked}
      {folder} {seen} {removed} {made} {closed} {seen}
      {made_other} {closed} {seen_other} {renamed} {seen} {made_other} {closed} {seen_other}"""
    found = stats(ended(tmp_path, Run(wasm=command(body, text))))
    assert [inode for _, inode, *_ in found] == [2, 3, 4, 5, 6, 6, 7]


def test_a_file_that_could_not_be_deleted_keeps_its_number(tree: Path) -> None:
    text = Text()
    name = text(b"a")
    body = f"{stat(name)} {shown(64)} (drop (call $path_unlink_file (i32.const 3) {name})) {stat(name)} {shown(64)}"
    found = stats(over(tree, command(body, text)))
    assert found[0] == found[1]


@pytest.mark.parametrize("where", [None, "/dev/shm"], ids=["linked", "copied"])
def test_a_file_that_is_shown_twice_is_one_file_however_it_was_put_there(tmp_path: Path, where: str | None) -> None:
    with tempfile.NamedTemporaryFile(dir=where or tmp_path) as file:
        host = Path(file.name)
        text = Text()
        name = text(b"x")
        body = stat(name) + shown(64) + stat(name, folder=4) + shown(64)
        mounts = (Mount(host, "/one/x"), Mount(host, "/two/x"))
        found = stats(ended(tmp_path, Run(wasm=command(body, text), inputs=mounts)))
    assert [inode for _, inode, *_ in found] == [2, 2]


def test_parts_look_the_same_mounted_linked_and_copied(tmp_path: Path) -> None:
    text = Text()
    places = [(text(b"z"), 3), (text(b"sub/b"), 3), (text(b"x"), 4)]
    body = listing() + listing("(i32.const 4)") + "".join(stat(at, folder=on) + shown(64) for at, on in places)

    def told(where: str | Path, *, is_bound: bool) -> bytes:
        with tempfile.TemporaryDirectory(dir=where) as name:
            root = Path(name)
            (root / "sub").mkdir()
            for file in ("z", "a", "sub/b", "x", "not shown"):
                (root / file).write_text(file)
            parts = [Mount(root / part, f"/in/{part}", "/in", root, is_bound) for part in ("z", "sub", "a")]
            mounts = (*parts, Mount(root / "x", "/one/x", is_bound=is_bound))
            end = ended(tmp_path, Run(wasm=command(body, text), inputs=mounts))
        assert end.exit_code == 0, (end.exit_code, end.failure)
        return end.stdout

    mounted, linked = told("/dev/shm", is_bound=True), told(tmp_path, is_bound=False)
    assert mounted == linked == told("/dev/shm", is_bound=False)
    assert [size for *_, size, _, _, _ in STAT.iter_unpack(mounted[-3 * 64 :])] == [1, 5, 1]


def test_an_open_file_without_a_name_is_number_one_and_a_stream_none(tmp_path: Path) -> None:
    text = Text()
    name = text(b"name")
    body = f"""(call $must (call $open (i32.const 3) {name} {CREATE} {WRITE}))
      (call $must (call $path_unlink_file (i32.const 3) {name}))
      (call $must (call $fd_filestat_get {OPENED} (i32.const {AT}))) {shown(64)}
      (call $must (call $fd_filestat_get (i32.const 1) (i32.const {AT}))) {shown(64)}"""
    found = stats(ended(tmp_path, Run(wasm=command(body, text))))
    assert [inode for _, inode, *_ in found] == [1, 0]


def test_trouble_of_this_machine_is_no_result(tmp_path: Path) -> None:
    """A program that opens files until there are no more descriptors does not see the error."""
    text = Text()
    body = f"(loop $again (call $must (call $open (i32.const 3) {text(b'file')} {CREATE} {WRITE})) (br $again))"
    with pytest.RaisesGroup(pytest.RaisesExc(DriverUnavailable, match=r"not its own \(io\)")):
        ended(tmp_path, Run(wasm=command(body, text)))


def test_a_long_read_is_shortened_and_the_programs_own_length_put_back(tree: Path) -> None:
    with (tree / "large").open("wb") as file:
        file.truncate(200 << 20)
    text = Text()
    body = f"""(call $must (call $open (i32.const 3) {text(b"large")} (i32.const 0) {READ}))
      (call $must (call $read {OPENED} (i32.const {AT}) (i32.const {150 << 20})))
      (call $proc_exit (i32.or (i32.ne {"(i32.load (i32.const 8))"} (i32.const {64 << 20}))
        (i32.ne (i32.load (i32.const 4)) (i32.const {150 << 20}))))"""
    run = Run(
        wasm=command(body, text, pages=3000),
        inputs=(Mount(tree, "/inputs"),),
        limits=replace(ROOMY, memory_bytes=256 << 20),
    )
    assert ended(tree.parent, run).exit_code == 0


def test_a_file_of_more_than_4_gib_is_read_right_to_its_end(tree: Path) -> None:
    with (tree / "huge").open("wb") as file:
        file.seek(6 << 30)
        file.write(b"the end")
    text = Text()
    huge = text(b"huge")
    body = f"""{stat(huge)} {shown(64)} (call $must (call $open (i32.const 3) {huge} (i32.const 0) (i64.const 0x6)))
      (call $must (call $fd_seek {OPENED} (i64.const {6 << 30}) (i32.const 0) (i32.const 16)))
      (call $must (call $read {OPENED} (i32.const {AT}) (i32.const 7))) {shown(7)}
      (i32.store (i32.const 0) (i32.const {AT})) (i32.store (i32.const 4) (i32.const 3))
      (call $must (call $fd_pread {OPENED} (i32.const 0) (i32.const 1) (i64.const {(6 << 30) + 4}) (i32.const 8)))
      {shown(3)}"""
    end = over(tree, command(body, text))
    assert (end.exit_code, end.stdout[64:]) == (0, b"the endend")
    assert STAT.unpack(end.stdout[:64])[4] == (6 << 30) + 7


def test_nan_has_one_spelling(tmp_path: Path) -> None:
    """What this machine's processor makes of 0/0 has the sign bit set."""
    body = f"""(f64.store (i32.const {AT}) (f64.div (f64.load (i32.const 512)) (f64.load (i32.const 512))))
      (f32.store (i32.const {AT + 8}) (f32.sqrt (f32.sub (f32.load (i32.const 512)) (f32.const 1)))) {shown(12)}"""
    assert ended(tmp_path, Run(wasm=command(body))).stdout == bytes.fromhex("000000000000f87f0000c07f")


def test_a_stack_overflows_at_the_same_depth_on_every_cpu_of_a_level(tmp_path: Path) -> None:
    """The depth is counted in output. It is of the machine code, which does not depend on the very CPU."""
    module = wat("""(module
      (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 8) "\\10\\00\\00\\00\\01\\00\\00\\00x")
      (func $deeper (param i64) (result i64)
        (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 32)))
        (i64.add (local.get 0) (call $deeper (i64.add (local.get 0) (i64.const 1)))))
      (func (export "_start") (drop (call $deeper (i64.const 0)))))""")
    depths = set()
    for fuel in (None, None, 10**9):
        end = ended(tmp_path, Run(wasm=module, fuel=fuel))
        assert end.code == "trap"
        depths.add((fuel, len(end.stdout)))
    assert len(depths) == 2
    assert min(depth for _, depth in depths) > 5_000
