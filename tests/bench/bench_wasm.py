"""What the deterministic profile costs: each program under wasmtime as it comes, and under our profiles, in one run.

``python -m tests.bench.bench_wasm``. CPU seconds of the fastest of some rounds; ratios are against the library.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
for place in (ROOT, ROOT / "tests"):
    if str(place) not in sys.path:  # Also when started by path.
        sys.path.insert(0, str(place))

import trio  # noqa: E402
import wasmtime  # noqa: E402
from contract.executors import serving  # noqa: E402
from contract.wasm_modules import READ, Text, Wasm, command, wat  # noqa: E402
from doubles.collecting import stays  # noqa: E402

from node import limits  # noqa: E402
from node.ambient import Threads, inline  # noqa: E402
from node.compute.borrowed import borrowed  # noqa: E402
from node.executor.base import Mount, RunLimits, Task  # noqa: E402
from node.executor.wasm import engine  # noqa: E402
from node.executor.wasm.executor import WasmExecutor  # noqa: E402
from node.executor.wasm.protocol import PARTS  # noqa: E402
from node.executor.wasm.settings import Settings, level_here  # noqa: E402
from node.model import ExecutionId, WasmEngine  # noqa: E402

ROUNDS = 7
INTEGER_RATIO_MAX = 1.15
MEMORY_BYTES = 256 * limits.MiB
READ_BYTES = 100 * limits.MiB
LOOKS = 1_000_000
FILES = 20_000
NOOPS = 500

INTEGER = wat("""(module (memory (export "memory") 32)
  (func (export "_start") (local $i i32) (local $x i64) (local $at i32)
    (local.set $x (i64.const 88172645463325252))
    (loop $again
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
      (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
      (local.set $at (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 0x1ffff8)))
      (i64.store (local.get $at) (i64.add (i64.popcnt (local.get $x)) (i64.load (local.get $at))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 50000000))))))""")
MANDELBROT = wat("""(module (memory (export "memory") 1)
  (func (export "_start") (local $p i32) (local $k i32) (local $cx f64) (local $a f64) (local $b f64) (local $q f64)
    (loop $point
      (local.set $cx (f64.sub (f64.div (f64.convert_i32_u (local.get $p)) (f64.const 100000)) (f64.const 2)))
      (local.set $a (f64.const 0)) (local.set $b (f64.const 0)) (local.set $k (i32.const 0))
      (loop $step
        (local.set $q (f64.add (f64.sub (f64.mul (local.get $a) (local.get $a)) (f64.mul (local.get $b) (local.get $b)))
          (local.get $cx)))
        (local.set $b (f64.add (f64.mul (f64.mul (f64.const 2) (local.get $a)) (local.get $b)) (f64.const 0.1)))
        (local.set $a (local.get $q))
        (local.set $k (i32.add (local.get $k) (i32.const 1)))
        (br_if $step (i32.and (i32.lt_u (local.get $k) (i32.const 100)) (f64.lt (f64.add
          (f64.mul (local.get $a) (local.get $a)) (f64.mul (local.get $b) (local.get $b))) (f64.const 4)))))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br_if $point (i32.lt_u (local.get $p) (i32.const 300000))))))""")
PRODUCT = wat("""(module (memory (export "memory") 64)
  (func (export "_start") (local $n i32) (local $at i32)
    (loop $again
      (local.set $at (i32.const 0))
      (loop $row
        (f64.store offset=0x200000 (local.get $at) (f64.add (f64.load offset=0x200000 (local.get $at))
          (f64.mul (f64.const 1.5) (f64.load (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $row (i32.lt_u (local.get $at) (i32.const 0x80000))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $n) (i32.const 800))))))""")
CLOCK = command(
    "(loop $again (call $must (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 512)))"
    " (local.set $n (i64.add (local.get $n) (i64.const 1)))"
    f" (br_if $again (i64.lt_u (local.get $n) (i64.const {LOOKS}))))"
)
NOTHING = command("")


def reading() -> Wasm:
    """Reads the file ``data`` in pieces of 64 KiB."""
    text = Text()
    return command(
        f"""(call $must (call $open (i32.const 3) {text(b"data")} (i32.const 0) {READ}))
        (loop $again (call $must (call $read (i32.load (i32.const 12)) (i32.const 0x20000) (i32.const 0x10000)))
          (br_if $again (i32.load (i32.const 8))))""",
        text,
    )


@dataclass(frozen=True)
class Bench:
    """A folder with ``inputs`` in it."""

    folder: Path

    def under_library(self, wasm: Wasm) -> Callable[[], None]:
        """As wasmtime comes."""
        here = wasmtime.Engine()
        module = wasmtime.Module(here, wasm.data)
        linker = wasmtime.Linker(here)
        linker.define_wasi()
        linked = linker.instantiate_pre(module)

        def run() -> None:
            store, wasi = wasmtime.Store(here), wasmtime.WasiConfig()
            wasi.preopen_dir(str(self.folder / "inputs"), "/inputs", fs_mutable=False)
            wasi.stdout_file = str(self.folder / "stdout")
            store.set_wasi(wasi)
            start = linked.instantiate(store).exports(store)["_start"]
            assert isinstance(start, wasmtime.Func)
            start(store)

        return run

    def under(self, settings: Settings, wasm: Wasm) -> Callable[[], None]:
        """As a worker runs it."""
        parts = PARTS if settings.deterministic else ()
        code = {"module": engine.compiled(wasm.data, settings)}
        code |= {part: engine.compiled_part(part, settings) for part in parts}
        for name, data in code.items():
            (self.folder / name).write_bytes(data)
        where = engine.Code(*(str(self.folder / name).encode() for name in code))
        program = engine.Program(where, settings, MEMORY_BYTES)
        stream = str(self.folder / "stream").encode()
        plan = engine.Plan(
            args=(),
            env=(),
            read_only=((str(self.folder / "inputs"), "/inputs"),),
            writable=(),
            stdout=stream,
            stderr=stream,
            fuel=2**62 if settings.counts_fuel else None,
        )

        def run() -> None:
            assert program.run(plan) == 0

        return run


def best_s(run: Callable[[], None]) -> float:
    """CPU seconds of the fastest round."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        run()
        rounds.append(time.process_time() - begun)
    return min(rounds)


def median_ms(run: Callable[[], None]) -> float:
    """Wall time."""
    rounds = []
    for _ in range(NOOPS):
        begun = time.perf_counter()
        run()
        rounds.append(time.perf_counter() - begun)
    return sorted(rounds)[NOOPS // 2] * 1000


def main() -> None:
    """Print one row for each program."""
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch))
        (bench.folder / "inputs").mkdir()
        (bench.folder / "inputs" / "data").write_bytes(bytes(READ_BYTES))
        profiles(bench)
        no_ops(bench)
        looking(bench.folder)
    trio.run(executions)


def profiles(bench: Bench) -> None:
    """Programs that compute, look at the clock, read."""
    level = level_here()
    native, fixed = Settings(level, deterministic=False), Settings(level, deterministic=True)
    fuelled = Settings(level, deterministic=True, counts_fuel=True)
    print(f"  {'CPU seconds':<28}{'library':>10}{'native':>10}{'determ.':>10}{'fuel':>10}  ratio of determ.")
    for name, wasm in (
        ("integers", INTEGER),
        ("floats, Mandelbrot", MANDELBROT),
        ("floats, scaled sums", PRODUCT),
        (f"{LOOKS} looks at the clock", CLOCK),
        ("reading 100 MiB", reading()),
    ):
        library = best_s(bench.under_library(wasm))
        times = [best_s(bench.under(settings, wasm)) for settings in (native, fixed, fuelled)]
        row = "".join(f"{each:>10.3f}" for each in (library, *times))
        bound = f"  (at most {INTEGER_RATIO_MAX})" if wasm is INTEGER else ""
        print(f"  {name:<28}{row}{times[1] / library:>8.2f}{bound}")


def no_ops(bench: Bench) -> None:
    """What a run costs inside a warm worker."""
    for deterministic in (False, True):
        run = bench.under(Settings(level_here(), deterministic), NOTHING)
        name = "deterministic" if deterministic else "native"
        print(f"  no-op inside a warm worker, {name:<14} {median_ms(run):>8.3f} ms")


def looking(folder: Path) -> None:
    """What it costs to look whether an input can be shown, and how it lies: once before a run and once after it."""
    tree = folder / "tree"
    for index in range(FILES):
        path = tree / f"{index % 100:02}" / str(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    took = best_s(lambda: trio.run(borrowed, inline, [Mount(tree, "/inputs")], {}))
    print(f"  looking at an input of {FILES} files           {took / FILES * 1e6:>8.2f} us for each")


async def executions() -> None:
    """No-ops through the executor: cold with a warm cache of modules, then warm."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        executor = WasmExecutor(folder / "cache", Threads())
        async with serving(executor):
            times = [await _execution(executor, folder, number) for number in range(NOOPS)]
            cold = [await _execution(executor, folder, NOOPS + n, isolation="process") for n in range(NOOPS // 10)]
    print(f"  no-op execution, warm worker, p50                {sorted(times[1:])[NOOPS // 2]:>8.2f} ms  (at most 5)")
    print(f"  no-op execution, cold worker, p50                {sorted(cold)[len(cold) // 2]:>8.2f} ms  (at most 25)")


async def _execution(executor: WasmExecutor, folder: Path, number: int, isolation: str = "shared") -> float:
    results = folder / str(number)
    results.mkdir()
    task = Task(
        execution=ExecutionId(hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()),
        tenant="somebody",
        engine=WasmEngine(module=NOTHING.sha256, isolation="process" if isolation == "process" else "shared"),
        module=NOTHING.kept(folder),
        inputs=(Mount(folder, "/inputs"),),
        outputs=(("outputs", "/outputs"),),
        limits=RunLimits(wall_s=60, cpu_s=60, memory_bytes=MEMORY_BYTES, output_bytes=1 << 30, output_files=1000),
    )
    begun = time.perf_counter()
    await executor.run(task, results, stays)
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    main()
