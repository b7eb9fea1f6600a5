"""wasmtime: how modules are compiled, loaded and run. The only importer of it, in child processes alone.

The configuration is WebAssembly 2.0 with SIMD and nothing after it: no threads, no relaxed SIMD, no 64-bit or second
memory, no GC, exceptions or tail calls, because what is on is promised. NaN bits are not canonicalised: it makes
floating-point loops two to three times slower and x86-64 nodes agree without it. No fuel and no epochs either: a run is
ended by ending its process, so the code it runs pays for neither.
A change of it is a change of ``protocol.PROFILE``.
Does not live here: limits of processes (``confine``, ``worker``), messages (``protocol``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wasmtime import (
    Config,
    Engine,
    Func,
    FuncType,
    Instance,
    Linker,
    Memory,
    MemoryType,
    Module,
    Store,
    Trap,
    TrapCode,
    ValType,
    WasiConfig,
    WasmtimeError,
)

ARGV_0 = "module.wasm"  # The same on every node: a program may print it.

_OFF = (
    "threads",
    "relaxed_simd",
    "memory64",
    "multi_memory",
    "tail_call",
    "gc",
    "exceptions",
    "function_references",
    "wide_arithmetic",
    "custom_page_sizes",
    "stack_switching",
    "component_model",
)
_STACK_BYTES = 1 << 20  # Over 2 MiB wasmtime aborts the process.
_TABLES_MAX = 4
_TABLE_ELEMENTS_MAX = 1_000_000  # 8 bytes each, outside the memory that the job asks for.
_WASI = "wasi_snapshot_preview1"
_ADVICE = "build it for wasm32-wasi (WASI preview 1), as a command"


class Refused(Exception):
    """The module is none that this engine runs; the text says what to do."""


class Unloadable(Exception):
    """The compiled module is of another version or CPU, or damaged."""


class Unopened(Exception):
    """A folder or stream of the run cannot be opened; the text names guest paths alone."""


class Trapped(Exception):
    """The run ended in a trap."""

    def __init__(self, code: Literal["trap", "memory"], reason: str) -> None:
        super().__init__(reason)
        self.code: Literal["trap", "memory"] = code
        self.reason = reason


class _Exit(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run as the engine sees it: files and folders exist."""

    args: Sequence[str]
    env: Sequence[tuple[str, str]]
    read_only: Sequence[tuple[str, str]]  # (host folder, guest path)
    writable: Sequence[tuple[str, str]]
    stdout: bytes
    stderr: bytes


def compiled(wasm: bytes) -> bytes:
    """Machine code for this CPU and this version. Raises Refused."""
    if not wasm.startswith(b"\0asm"):
        raise Refused(f"the module is no WASM binary; {_ADVICE}")
    engine = _engine()
    try:
        module = Module(engine, wasm)
    except WasmtimeError as error:
        raise Refused(f"the module does not compile: {_cause(error)}; {_ADVICE}") from error
    _check_imports(module)
    _check_exports(module)
    try:
        _linker(engine).instantiate_pre(module)
    except WasmtimeError as error:
        name = str(error).splitlines()[0]
        raise Refused(f"the module imports what is not there: {name}; {_ADVICE}") from error
    return bytes(module.serialize())


class Program:
    """A compiled module, loaded once, run many times, each time in a store of its own."""

    def __init__(self, path: str, memory_bytes: int) -> None:
        """Raises Unloadable."""
        self._engine = _engine()
        self._memory_bytes = memory_bytes
        try:
            module = Module.deserialize_file(self._engine, path)
        except WasmtimeError as error:
            raise Unloadable(_cause(error)) from error
        self._linked = _linker(self._engine).instantiate_pre(module)

    def run(self, plan: Plan) -> int:
        """To the end; the exit code, cut to 8 bits as POSIX does. Raises Trapped, Unopened."""
        store = Store(self._engine)
        try:
            store.set_limits(self._memory_bytes, _TABLE_ELEMENTS_MAX, 1, _TABLES_MAX, 1)
            store.set_wasi(_wasi(plan))
            return self._run(store)
        finally:
            store.close()

    def _run(self, store: Store) -> int:
        instance: Instance | None = None
        try:
            instance = self._linked.instantiate(store)
            start = instance.exports(store)["_start"]
            assert isinstance(start, Func)
            start(store)
        except _Exit as end:
            return end.code
        except Trap as trap:
            raise self._trapped(trap, store, instance) from trap
        except WasmtimeError as error:
            raise self._refused(error, instance) from error
        return 0

    def _trapped(self, trap: Trap, store: Store, instance: Instance | None) -> Trapped:
        reason = trap.message.rpartition("wasm trap: ")[2].strip()
        if trap.trap_code is TrapCode.UNREACHABLE and instance is not None:
            memory = instance.exports(store)["memory"]
            assert isinstance(memory, Memory)
            used = memory.data_len(store)
            if used > self._memory_bytes - self._memory_bytes // 8:  # What compilers emit where malloc fails.
                return Trapped("memory", f"it gave up ({reason}) with {used} of {self._memory_bytes} bytes in use")
        return Trapped("trap", reason)

    def _refused(self, error: WasmtimeError, instance: Instance | None) -> Trapped:
        cause = _cause(error)
        return Trapped("memory" if instance is None and "memory" in cause else "trap", cause)


def _engine() -> Engine:
    config = Config()
    for proposal in _OFF:
        setattr(config, f"wasm_{proposal}", False)
    config.max_wasm_stack = _STACK_BYTES
    return Engine(config)


def _linker(engine: Engine) -> Linker:
    linker = Linker(engine)
    linker.define_wasi()
    linker.allow_shadowing = True
    # wasmtime's own refuses codes over 125, which a program may well use.
    linker.define_func(_WASI, "proc_exit", FuncType([ValType.i32()], []), _proc_exit)
    return linker


def _proc_exit(code: int) -> None:
    raise _Exit(code & 0xFF)


def _wasi(plan: Plan) -> WasiConfig:
    """Without a stdin it is empty."""
    wasi = WasiConfig()
    wasi.argv = [ARGV_0, *plan.args]
    wasi.env = plan.env
    what = "the standard streams"
    try:
        wasi.stdout_file = plan.stdout  # Bytes, because a data folder need not be UTF-8.
        wasi.stderr_file = plan.stderr
        for host, what in plan.read_only:
            wasi.preopen_dir(host, what, fs_mutable=False)
        for host, what in plan.writable:
            wasi.preopen_dir(host, what)
    except WasmtimeError as error:
        raise Unopened(f"{what} cannot be opened") from error
    return wasi


def _check_imports(module: Module) -> None:
    for item in module.imports:
        if item.module != _WASI:
            raise Refused(f"the module imports `{item.module}::{item.name}`, and only `{_WASI}` is given; {_ADVICE}")


def _check_exports(module: Module) -> None:
    exports = {item.name: item.type for item in module.exports}
    start = exports.get("_start")
    if not isinstance(start, FuncType) or start.params or start.results:
        raise Refused(f"the module has no `_start` function to run (a library or reactor?); {_ADVICE}")
    if not isinstance(exports.get("memory"), MemoryType):
        raise Refused(f"the module does not export its memory as `memory`; {_ADVICE}")


def _cause(error: WasmtimeError) -> str:
    """The innermost line of wasmtime's chain; nothing that could name a path of this machine."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1].partition(" (at offset")[0] if lines else ""
    return last if last and "/" not in last else "an error inside the engine"
