"""wasmtime: how modules are compiled, loaded and run. It and ``profile`` import it, in child processes alone.

The configuration is WebAssembly 2.0 with SIMD and nothing after it: no threads, no relaxed SIMD, no 64-bit or second
memory, no GC, exceptions or tail calls, because what is on is promised. NaN bits are made canonical in the
deterministic profile (``docs/adr/0016``). Fuel is counted where it is asked for; no epochs: a run is ended by ending
its process, so the code it runs pays for neither.
Does not live here: what a program sees (``profile``), limits of processes (``confine``, ``worker``), messages
(``protocol``).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
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
from wasmtime._bindings import wasmtime_config_cranelift_flag_enable

from node.executor.wasm.profile import frame
from node.executor.wasm.profile.calls import WASI
from node.executor.wasm.profile.gate import gate_wat
from node.executor.wasm.profile.hooks import Stopped
from node.executor.wasm.profile.view import view_wat
from node.executor.wasm.settings import V3, Settings

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
_V3_FLAGS = ("sse3", "ssse3", "sse41", "sse42", "popcnt", "avx", "avx2", "bmi1", "bmi2", "lzcnt", "fma")
_TABLE_ELEMENTS_MAX = 1_000_000  # 8 bytes each, outside the memory that the job asks for.
_ADVICE = "build it for wasm32-wasi (WASI preview 1), as a command"


class Refused(Exception):
    """The module is none that this engine runs; the text says what to do."""


class Unloadable(Exception):
    """The compiled module is of another version or CPU, or damaged."""


class Unopened(Exception):
    """A folder or stream of the run cannot be opened; the text names guest paths alone."""


class OutOfFuel(Exception):
    """The run has used up what it was given: at the same instruction on every node."""


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
    stdin: str | None = None  # a path; None: it is empty
    fuel: int | None = None  # of a program whose code counts it
    seed: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """Where machine code lies: the program's, and in the deterministic profile what goes around it."""

    module: bytes
    gate: bytes | None = None
    view: bytes | None = None


def compiled_part(part: str, settings: Settings) -> bytes:
    """Machine code of a part of the deterministic profile, "gate" or "view"."""
    return bytes(Module(_engine(settings), gate_wat() if part == "gate" else view_wat()).serialize())


def compiled(wasm: bytes, settings: Settings) -> bytes:
    """Machine code for this version. Raises Refused."""
    if not wasm.startswith(b"\0asm"):
        raise Refused(f"the module is no WASM binary; {_ADVICE}")
    engine = _engine(settings)
    try:
        module = Module(engine, wasm)
    except WasmtimeError as error:
        raise Refused(f"the module does not compile: {_cause(error)}; {_ADVICE}") from error
    _check_imports(module)
    _check_exports(module)
    try:
        _linker(engine, gives_wasi=True).instantiate_pre(module)
    except WasmtimeError as error:
        name = str(error).splitlines()[0]
        raise Refused(f"the module imports what is not there: {name}; {_ADVICE}") from error
    return bytes(module.serialize())


class Program:
    """A compiled module, loaded once, run many times, each time in a store of its own."""

    def __init__(self, code: Code, settings: Settings, memory_bytes: int) -> None:
        """Raises Unloadable."""
        self._engine = _engine(settings)
        self._memory_bytes = memory_bytes
        module = self._loaded(code.module)
        if code.gate is None or code.view is None:
            linked = _linker(self._engine, gives_wasi=True).instantiate_pre(module)
            self._instance: Callable[[Store, str], Instance] = lambda store, _: linked.instantiate(store)
        else:
            ends = _linker(self._engine, gives_wasi=False)
            self._instance = frame.Frame(module, ends, self._loaded(code.gate), self._loaded(code.view)).instantiate

    def run(self, plan: Plan) -> int:
        """To the end; the exit code, cut to 8 bits as POSIX does. Raises Trapped, Unopened, OutOfFuel, HostTrouble."""
        store = Store(self._engine)
        try:
            store.set_limits(
                self._memory_bytes,
                _TABLE_ELEMENTS_MAX,
                frame.INSTANCES,
                _TABLES_MAX + frame.TABLES,
                frame.MEMORIES,
            )
            if plan.fuel is not None:
                store.set_fuel(plan.fuel)
            store.set_wasi(_wasi(plan))
            return self._run(store, plan.seed)
        finally:
            store.close()

    def _loaded(self, path: bytes) -> Module:
        try:
            return Module.deserialize_file(self._engine, os.fsdecode(path))
        except WasmtimeError as error:
            raise Unloadable(_cause(error)) from error

    def _run(self, store: Store, seed: str) -> int:
        instance: Instance | None = None
        try:
            instance = self._instance(store, seed)
            start = instance.exports(store)["_start"]
            assert isinstance(start, Func)
            start(store)
        except _Exit as end:
            return end.code
        except Stopped as stopped:
            raise Trapped(stopped.code, stopped.reason) from stopped
        except Trap as trap:
            if trap.trap_code is TrapCode.OUT_OF_FUEL:
                raise OutOfFuel from trap
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


def _engine(settings: Settings) -> Engine:
    config = Config()
    for proposal in _OFF:
        setattr(config, f"wasm_{proposal}", False)
    config.max_wasm_stack = _STACK_BYTES
    config.cranelift_nan_canonicalization = settings.deterministic
    config.consume_fuel = settings.counts_fuel
    config.target = f"{platform.machine()}-unknown-linux-gnu"  # And with it no feature of this very CPU,
    for flag in _V3_FLAGS if settings.level == V3 else ():  # but those of its level; wasmtime checks that it has them.
        wasmtime_config_cranelift_flag_enable(config.ptr(), f"has_{flag}".encode())
    return Engine(config)


def _linker(engine: Engine, *, gives_wasi: bool) -> Linker:
    linker = Linker(engine)
    linker.allow_shadowing = True
    if gives_wasi:
        linker.define_wasi()
    # wasmtime's own refuses codes over 125, which a program may well use.
    linker.define_func(WASI, "proc_exit", FuncType([ValType.i32()], []), _proc_exit)
    return linker


def _proc_exit(code: int) -> None:
    raise _Exit(code & 0xFF)


def _wasi(plan: Plan) -> WasiConfig:
    wasi = WasiConfig()
    wasi.argv = [ARGV_0, *plan.args]
    wasi.env = plan.env
    what = "the standard streams"
    try:
        wasi.stdout_file = plan.stdout  # Bytes, because a data folder need not be UTF-8.
        wasi.stderr_file = plan.stderr
        if plan.stdin is not None:
            wasi.stdin_file = plan.stdin
        for host, what in plan.read_only:
            wasi.preopen_dir(host, what, fs_mutable=False)
        for host, what in plan.writable:
            wasi.preopen_dir(host, what)
    except WasmtimeError as error:
        raise Unopened(f"{what} cannot be opened") from error
    return wasi


def _check_imports(module: Module) -> None:
    for item in module.imports:
        if item.module != WASI:
            raise Refused(f"the module imports `{item.module}::{item.name}`, and only `{WASI}` is given; {_ADVICE}")


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
