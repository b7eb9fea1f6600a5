"""The view, in WAT: wasmtime's functions over the program's memory, each with what must not be seen taken out.

Does not live here: what takes Python (``hooks``).
"""

from __future__ import annotations

from node.executor.wasm.profile.calls import CALLS, INVAL, TROUBLE, WASI, Call
from node.executor.wasm.profile.clock import START_NS, TICK_NS

IO_BYTES_MAX = 64 << 20  # A longer read or write is shortened, which WASI allows; wasmtime fails over 128 MiB.

_ANSWERED_BY_HOOKS = frozenset({"random_get", "poll_oneoff", "fd_readdir"})
_ON_BUFFERS = frozenset({"fd_read", "fd_write", "fd_pread", "fd_pwrite"})
_CLOCK_IDS = 4  # realtime, monotonic, process and thread CPU time: all one clock
_DEVICE = 1
_FOLDER_BYTES = 4096

# What hooks are told once a function has succeeded, with which of its arguments.
_TOLD = {
    "fd_close": ("closed", (0,)),
    "fd_renumber": ("renumbered", (0, 1)),
    "path_unlink_file": ("gone", ()),
    "path_remove_directory": ("gone", ()),
    "path_rename": ("gone", ()),
}
# Where the name that is about to go stands among the arguments: folder, path, length.
_GOING = {"path_unlink_file": (0, 1, 2), "path_remove_directory": (0, 1, 2), "path_rename": (3, 4, 5)}

_HOOKS = """
  (import "hook" "trouble" (func $trouble (param i32)))
  (import "hook" "number" (func $number (param i64 i64) (result i64)))
  (import "hook" "closed" (func $closed (param i32)))
  (import "hook" "renumbered" (func $renumbered (param i32 i32)))
  (import "hook" "going" (func $going (param i32 i32 i32)))
  (import "hook" "gone" (func $gone))"""


def view_wat() -> str:
    """The module. It imports ``guest.memory`` and ``gate.table``, and exports ``memory`` and the clock, ``now``."""
    places = " ".join(f"$view_{call.name}" for call in CALLS)
    return f"""(module
  {"".join(_import(call) for call in CALLS if call.name not in _CLOCKS)}
  {_HOOKS}
  (import "guest" "memory" (memory 0))
  (import "gate" "table" (table {len(CALLS)} {len(CALLS)} funcref))
  (export "memory" (memory 0))
  (global $now (export "now") (mut i64) (i64.const {START_NS}))
  {_CHECKED}
  {_TOO_LONG}
  {_TAMED}
  {"".join(map(_function, CALLS))}
  (elem (i32.const 0) func {places}))"""


def _import(call: Call) -> str:
    whose = "hook" if call.name in _ANSWERED_BY_HOOKS else WASI
    return f"""
  (import "{whose}" "{call.name}" (func ${call.name} {call.type}))"""


def _function(call: Call) -> str:
    return f"""
  (func $view_{call.name} {call.type} (local $errno i32) (local $at i32) (local $size i32)
    {_body(call)})"""


def _body(call: Call) -> str:
    direct = f"(call ${call.name} {call.arguments})"
    if call.name in _CLOCKS:
        return _CLOCKS[call.name]
    if call.name in _ANSWERED_BY_HOOKS:
        return direct
    if call.name in _ON_BUFFERS:
        return _shortened(direct)
    before, after = "", ""
    if call.name in _GOING:
        before = f"(call $going {_locals(_GOING[call.name])})"
    if call.name.endswith("_filestat_get"):
        after = f"(call $tame (local.get {len(call.params) - 1}))"
    if call.name in _TOLD:
        hook, arguments = _TOLD[call.name]
        after = f"(call ${hook} {_locals(arguments)})"
    return f"""{before} (local.set $errno (call $checked {direct}))
    (if (i32.eqz (local.get $errno)) (then {after}))
    (local.get $errno)"""


def _shortened(direct: str) -> str:
    """Put a shorter length in its place, call, and put the length back."""
    return f"""(local.set $at (call $too_long (local.get 1) (local.get 2)))
    (if (local.get $at) (then
      (local.set $size (i32.load (local.get $at)))
      (i32.store (local.get $at) (i32.const {IO_BYTES_MAX}))))
    (local.set $errno {direct})
    (if (local.get $at) (then (i32.store (local.get $at) (local.get $size))))
    (call $checked (local.get $errno))"""


def _locals(indices: tuple[int, ...]) -> str:
    return " ".join(f"(local.get {index})" for index in indices)


_NO_SUCH_CLOCK = f"(if (i32.ge_u (local.get 0) (i32.const {_CLOCK_IDS})) (then (return (i32.const {INVAL}))))"
_CLOCKS = {
    "clock_res_get": f"""{_NO_SUCH_CLOCK}
    (i64.store (local.get 1) (i64.const {TICK_NS})) (i32.const 0)""",
    "clock_time_get": f"""{_NO_SUCH_CLOCK}
    (global.set $now (i64.add (global.get $now) (i64.const {TICK_NS})))
    (if (i64.lt_s (global.get $now) (i64.const 0)) (then unreachable))
    (i64.store (local.get 2) (global.get $now)) (i32.const 0)""",
}

_LOW = sum(1 << errno for errno in TROUBLE if errno < 64)
_HIGH = sum(1 << (errno - 64) for errno in TROUBLE if errno >= 64)
_CHECKED = f"""(func $checked (param $errno i32) (result i32)
    (if (i32.wrap_i64 (i64.and (i64.const 1) (i64.shr_u
          (select (i64.const {_HIGH}) (i64.const {_LOW}) (i32.ge_u (local.get $errno) (i32.const 64)))
          (i64.extend_i32_u (local.get $errno)))))
      (then (call $trouble (local.get $errno))))
    (local.get $errno))"""

# Where the length of the first buffer that is not empty stands, when it is too long; else 0. wasmtime uses that buffer
# alone.
_TOO_LONG = f"""(func $too_long (param $buffer i32) (param $count i32) (result i32) (local $size i32)
    (loop $next
      (if (i32.eqz (local.get $count)) (then (return (i32.const 0))))
      (local.set $size (i32.load offset=4 (local.get $buffer)))
      (if (local.get $size) (then (return (select
        (i32.add (local.get $buffer) (i32.const 4)) (i32.const 0)
        (i32.gt_u (local.get $size) (i32.const {IO_BYTES_MAX}))))))
      (local.set $buffer (i32.add (local.get $buffer) (i32.const 8)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $next))
    unreachable)"""

# A filestat: device 0, inode 8, type 16, links 24, size 32, three times from 40 on.
_TAMED = f"""(func $tame (param $at i32)
    (i64.store (local.get $at) (i64.const {_DEVICE}))
    (i64.store offset=8 (local.get $at)
      (call $number (i64.load offset=8 (local.get $at)) (i64.load offset=24 (local.get $at))))
    (i64.store offset=24 (local.get $at) (i64.const 1))
    (if (i32.eq (i32.load8_u offset=16 (local.get $at)) (i32.const 3))
      (then (i64.store offset=32 (local.get $at) (i64.const {_FOLDER_BYTES}))))
    (i64.store offset=40 (local.get $at) (i64.const 0))
    (i64.store offset=48 (local.get $at) (i64.const 0))
    (i64.store offset=56 (local.get $at) (i64.const 0)))"""
