"""Small WASI programs, written in WAT where they are used: the frame they share, and a few pieces.

Memory: bytes 0 to 63 are scratch for calls, 64 to 1023 for the pieces, strings lie from 1024 on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import wasmtime

_IMPORTS = {
    "args_get": "(param i32 i32) (result i32)",
    "args_sizes_get": "(param i32 i32) (result i32)",
    "clock_res_get": "(param i32 i32) (result i32)",
    "clock_time_get": "(param i32 i64 i32) (result i32)",
    "environ_get": "(param i32 i32) (result i32)",
    "environ_sizes_get": "(param i32 i32) (result i32)",
    "fd_close": "(param i32) (result i32)",
    "fd_fdstat_get": "(param i32 i32) (result i32)",
    "fd_filestat_get": "(param i32 i32) (result i32)",
    "fd_filestat_set_size": "(param i32 i64) (result i32)",
    "fd_filestat_set_times": "(param i32 i64 i64 i32) (result i32)",
    "fd_read": "(param i32 i32 i32 i32) (result i32)",
    "fd_pread": "(param i32 i32 i32 i64 i32) (result i32)",
    "fd_readdir": "(param i32 i32 i32 i64 i32) (result i32)",
    "fd_renumber": "(param i32 i32) (result i32)",
    "fd_seek": "(param i32 i64 i32 i32) (result i32)",
    "fd_write": "(param i32 i32 i32 i32) (result i32)",
    "path_create_directory": "(param i32 i32 i32) (result i32)",
    "path_filestat_get": "(param i32 i32 i32 i32 i32) (result i32)",
    "path_filestat_set_times": "(param i32 i32 i32 i32 i64 i64 i32) (result i32)",
    "path_link": "(param i32 i32 i32 i32 i32 i32 i32) (result i32)",
    "path_open": "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)",
    "path_remove_directory": "(param i32 i32 i32) (result i32)",
    "path_rename": "(param i32 i32 i32 i32 i32 i32) (result i32)",
    "path_symlink": "(param i32 i32 i32 i32 i32) (result i32)",
    "path_unlink_file": "(param i32 i32 i32) (result i32)",
    "poll_oneoff": "(param i32 i32 i32 i32) (result i32)",
    "proc_exit": "(param i32)",
    "random_get": "(param i32 i32) (result i32)",
}

_PIECES = """
  (func $write (param $fd i32) (param $at i32) (param $size i32) (result i32)
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $size))
    (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
  (func $read (param $fd i32) (param $at i32) (param $size i32) (result i32)
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $size))
    (call $fd_read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
  (func $open (param $folder i32) (param $at i32) (param $size i32) (param $flags i32) (param $rights i64) (result i32)
    (call $path_open (local.get $folder) (i32.const 1) (local.get $at) (local.get $size) (local.get $flags)
      (local.get $rights) (local.get $rights) (i32.const 0) (i32.const 12)))
  (func $must (param $errno i32) (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))
  (func $sleep (param $ns i64)
    (i64.store (i32.const 64) (i64.const 0)) (i64.store (i32.const 72) (i64.const 0))
    (i64.store (i32.const 80) (i64.const 1)) (i64.store (i32.const 88) (local.get $ns))
    (i64.store (i32.const 96) (i64.const 0)) (i64.store (i32.const 104) (i64.const 0))
    (call $must (call $poll_oneoff (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8))))
"""

READ = "(i64.const 0x2)"  # rights, as WASI counts them
WRITE = "(i64.const 0x40)"
CREATE = "(i32.const 9)"  # create, truncate
OPENED = "(i32.load (i32.const 12))"  # the descriptor that $open made
COUNT = "(i32.load (i32.const 8))"  # what $read and $write moved

LOOP = "(loop $again (br $again))"
TRAP = "unreachable"
MEMORY_BOMB = """(loop $again
  (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
  (memory.fill (i32.const 0x10000) (i32.const 1) (i32.mul (i32.sub (memory.size) (i32.const 1)) (i32.const 0x10000)))
  (br $again))"""


class Text:
    """Strings of a program: ``text(b"...")`` gives the WAT of its place and length."""

    def __init__(self) -> None:
        self._at = 1024
        self.segments: list[str] = []

    def __call__(self, content: bytes) -> str:
        escaped = "".join(f"\\{byte:02x}" for byte in content)
        self.segments.append(f'(data (i32.const {self._at}) "{escaped}")')
        place = f"(i32.const {self._at}) (i32.const {len(content)})"
        self._at += len(content)
        return place


@dataclass(frozen=True)
class Wasm:
    """A module's bytes and their name."""

    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def kept(self, folder: Path) -> Path:
        """As the vault keeps it."""
        path = folder / f"{self.sha256}.wasm"
        path.write_bytes(self.data)
        return path


def wat(source: str) -> Wasm:
    """A whole module."""
    return Wasm(bytes(wasmtime.wat2wasm(source)))


def command(body: str, text: Text | None = None, pages: int = 16) -> Wasm:
    """A command whose ``_start`` is ``body``, with WASI's functions under their names."""
    imports = "\n".join(
        f'  (import "wasi_snapshot_preview1" "{name}" (func ${name} {kind}))' for name, kind in _IMPORTS.items()
    )
    segments = "\n".join(text.segments) if text is not None else ""
    return wat(f"""(module
{imports}
  (memory (export "memory") {pages})
  {segments}
{_PIECES}
  (func (export "_start") (local $i i32) (local $n i64)
    {body}))""")


def put(fd: str, place: str) -> str:
    """Write a string, or end with the errno."""
    return f"(call $must (call $write {fd} {place}))"


def copied_to_stdout(place: str) -> str:
    """Open a file of the first folder and copy its first 64 KiB to stdout, or end with the errno."""
    return f"""(call $must (call $open (i32.const 3) {place} (i32.const 0) {READ}))
    (call $must (call $read {OPENED} (i32.const 0x20000) (i32.const 0x10000)))
    (call $must (call $write (i32.const 1) (i32.const 0x20000) {COUNT}))"""


def printed(kind: str) -> str:
    """What ``args`` or ``environ`` hold, each string with its NUL, to stdout."""
    return f"""(call $must (call ${kind}_sizes_get (i32.const 16) (i32.const 20)))
    (call $must (call ${kind}_get (i32.const 0x10000) (i32.const 0x20000)))
    (call $must (call $write (i32.const 1) (i32.const 0x20000) (i32.load (i32.const 20))))"""
