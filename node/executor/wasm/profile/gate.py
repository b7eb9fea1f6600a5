"""The gate, in WAT: what the program imports, and a memory of its own through which hooks ask this machine.

Does not live here: what the functions do (``view``).
"""

from __future__ import annotations

from node.executor.wasm.profile.calls import CALLS, WASI

PAGE_BYTES = 65_536
LISTING_BYTES_MAX = 48 << 20  # A folder of a million files has some 34 MB. With more the run ends.

_PAGES_MIN = 2
_PAGES_MAX = 1 + LISTING_BYTES_MAX // PAGE_BYTES  # The first page is for a hook's arguments.

_ASKING = """
  (func (export "host_fd_readdir") (param i32 i32 i32 i64 i32) (result i32)
    (call $fd_readdir (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)))
  (func (export "host_path_filestat_get") (param i32 i32 i32 i32 i32) (result i32)
    (call $path_filestat_get (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)))"""


def gate_wat() -> str:
    """The module. It exports the functions, ``table`` for the view to fill, and what ``host`` uses."""
    return f"""(module
  (import "{WASI}" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "{WASI}" "path_filestat_get" (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") {_PAGES_MIN} {_PAGES_MAX})
  (table (export "table") {len(CALLS)} {len(CALLS)} funcref)
  {_ASKING}
  {"".join(map(_function, range(len(CALLS))))})"""


def _function(place: int) -> str:
    call = CALLS[place]
    return f"""
  (func (export "{call.name}") {call.type} (call_indirect {call.type} {call.arguments} (i32.const {place})))"""
