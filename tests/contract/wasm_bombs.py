"""Programs that mean harm, in the words of ``wasm_modules``: they fill, nest, name or compile without end."""

from __future__ import annotations

from contract.wasm_modules import CREATE, WRITE, Text, Wasm, wat

# A name of eight digits at 512, counted up from the last one.
_NEXT_NAME = """(local.set $i (i32.const 519))
  (block $named (loop $carry
    (i32.store8 (local.get $i) (i32.add (i32.load8_u (local.get $i)) (i32.const 1)))
    (br_if $named (i32.le_u (i32.load8_u (local.get $i)) (i32.const 57)))
    (i32.store8 (local.get $i) (i32.const 48))
    (local.set $i (i32.sub (local.get $i) (i32.const 1)))
    (br $carry)))"""
_FIRST_NAME = "(i64.store (i32.const 512) (i64.const 0x3030303030303030))"
_NAME = "(i32.const 512) (i32.const 8)"

MANY_BIG_FILES = f"""{_FIRST_NAME} (loop $again {_NEXT_NAME}
  (call $must (call $open (i32.const 3) {_NAME} {CREATE} {WRITE}))
  (call $must (call $write (i32.load (i32.const 12)) (i32.const 0x1000) (i32.const 0x8000)))
  (call $must (call $fd_close (i32.load (i32.const 12)))) (br $again))"""
_ONE_FILE = f"""(call $must (call $open (i32.const 3) {_NAME} {CREATE} {WRITE}))
  (call $must (call $fd_close (i32.load (i32.const 12))))"""
MANY_FILES = f"{_FIRST_NAME} (loop $again {_NEXT_NAME} {_ONE_FILE} (br $again))"
MANY_FOLDERS = f"""{_FIRST_NAME} (loop $again {_NEXT_NAME}
  (drop (call $path_create_directory (i32.const 3) {_NAME})) (br $again))"""
DEEP_FOLDERS = """(i32.store8 (i32.const 512) (i32.const 100)) (local.set $i (i32.const 3))
  (loop $again
    (drop (call $path_create_directory (local.get $i) (i32.const 512) (i32.const 1)))
    (call $must (call $open (local.get $i) (i32.const 512) (i32.const 1) (i32.const 2) (i64.const 0x6200)))
    (if (i32.ne (local.get $i) (i32.const 3)) (then (call $must (call $fd_close (local.get $i)))))
    (local.set $i (i32.load (i32.const 12))) (br $again))"""
SLEEP = "(call $sleep (i64.const 3600000000000))"


def flood(descriptor: int) -> str:
    """One write of 64 KiB after the other, whatever comes of it."""
    return f"(loop $again (drop (call $write (i32.const {descriptor}) (i32.const 0) (i32.const 0x10000))) (br $again))"


def one_large_file(text: Text) -> str:
    """The same into a file."""
    return f"""(call $must (call $open (i32.const 3) {text(b"bomb")} {CREATE} {WRITE}))
  (local.set $i (i32.load (i32.const 12)))
  (loop $again (drop (call $write (local.get $i) (i32.const 0) (i32.const 0x10000))) (br $again))"""


def files(count: int) -> str:
    """So many empty ones, and then the end."""
    return f"""{_FIRST_NAME} (loop $again {_NEXT_NAME} {_ONE_FILE}
      (local.set $n (i64.add (local.get $n) (i64.const 1)))
      (br_if $again (i64.lt_u (local.get $n) (i64.const {count}))))"""


def sparse_file(text: Text, size: int) -> str:
    """One byte behind so many that nobody wrote."""
    return f"""(call $must (call $open (i32.const 3) {text(b"sparse")} {CREATE} (i64.const 0x44)))
      (local.set $i (i32.load (i32.const 12)))
      (call $must (call $fd_seek (local.get $i) (i64.const {size}) (i32.const 0) (i32.const 16)))
      (drop (call $write (local.get $i) (i32.const 0) (i32.const 1)))"""


def many_functions() -> Wasm:
    """A hundred thousand."""
    return wat(f'(module (memory (export "memory") 1) {"(func)" * 100_000} (func (export "_start")))')


def slow_to_compile() -> Wasm:
    """64 KB whose compilation takes some 40 s and 1.5 GB: thousands of variables, all alive in thousands of blocks."""
    count = 4_000
    blocks = "".join(
        f"(local.set {i} (i64.add (local.get {i * 7 % count}) (local.get {(i * 13 + 1) % count})))"
        f"(br_if 0 (i32.wrap_i64 (local.get {i * 31 % count})))"
        for i in range(count)
    )
    bomb = f"(func (local {'i64 ' * count}) (loop {blocks}))"
    return wat(f'(module (memory (export "memory") 1) {bomb} (func (export "_start")))')
