"""The example program does what its readme says, and is what its source says."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import wasmtime
from needs import Need

CENSUS = Path(__file__).parents[2] / "examples" / "census"
DEBIAN_12 = "on Debian 12: apt-get install --no-install-recommends rustc libstd-rust-dev-wasm32 lld"


@dataclass(frozen=True)
class Ran:
    """What a run left."""

    exit_code: int
    csv: str | None
    out: str
    err: str


class Runner:
    """Runs the committed module over ``inputs``; each run has an ``/outputs`` of its own."""

    def __init__(self, folder: Path) -> None:
        self.inputs = folder / "inputs"
        self.inputs.mkdir()
        self._folder = folder
        self._runs = 0
        self._engine = wasmtime.Engine()
        self._module = wasmtime.Module.from_file(self._engine, str(CENSUS / "census.wasm"))

    def write(self, name: str, source: str | bytes) -> None:
        """An input file."""
        path = self.inputs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else source.encode())

    def __call__(self, *args: str, inputs: Path | None = None) -> Ran:
        self._runs += 1
        folder = self._folder / f"run-{self._runs}"
        outputs = folder / "outputs"
        outputs.mkdir(parents=True)
        config = wasmtime.WasiConfig()
        config.argv = ["census", *args]
        config.preopen_dir(str(inputs or self.inputs), "/inputs")
        config.preopen_dir(str(outputs), "/outputs", fs_mutable=True)
        config.stdout_file, config.stderr_file = str(folder / "out"), str(folder / "err")
        exit_code = self._run(config)
        csv = outputs / "imports.csv"
        return Ran(
            exit_code,
            csv.read_text() if csv.exists() else None,
            (folder / "out").read_text(),
            (folder / "err").read_text(),
        )

    def _run(self, config: wasmtime.WasiConfig) -> int:
        store, linker = wasmtime.Store(self._engine), wasmtime.Linker(self._engine)
        store.set_wasi(config)
        linker.define_wasi()
        start = linker.instantiate(store, self._module).exports(store)["_start"]
        assert isinstance(start, wasmtime.Func)
        try:
            start(store)
        except wasmtime.ExitTrap as end:
            return int(end.code)
        return 0


@pytest.fixture
def census(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def counted(census: Runner, source: str) -> dict[str, int]:
    """Imports by module in one file."""
    census.write("module.py", source)
    csv = census().csv
    assert csv is not None
    return {module: int(imports) for module, _, imports in (row.split(",") for row in csv.splitlines()[1:])}


def test_rows_come_most_imported_first_and_then_by_name(census: Runner) -> None:
    census.write("a.py", "import os\nimport sys\n")
    census.write("b/c.py", "import sys\nfrom sys import path\nimport abc\n")

    assert census().csv == "module,files,imports\nsys,2,3\nabc,1,1\nos,1,1\n"


def test_the_summary_counts_files_bytes_lines_and_modules(census: Runner) -> None:
    census.write("a.py", "import os\nimport os")
    census.write("b.py", "")

    assert census().out == (
        "2 Python files, 19 bytes, 2 lines: 2 imports of 1 modules. The most imported is os: 2 times in 1 files.\n"
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a, b as c, d.e\n", {"a": 1, "b": 1, "d.e": 1}),
        ("from a.b import c, d\n", {"a.b": 1}),
        ("from . import a\nfrom ..b import c\n", {".": 1, "..b": 1}),
        ("from a import (\n    b,  # import x\n    c as d,\n)\nimport e\n", {"a": 1, "e": 1}),
        ("import a, \\\n    b\nfrom c \\\r\n  import d\n", {"a": 1, "b": 1, "c": 1}),
        ("try: import a\nexcept ImportError: import b; import c\n", {"a": 1, "b": 1, "c": 1}),
        ("import a\rimport b\r\nimport c", {"a": 1, "b": 1, "c": 1}),
        ("import naïve\n", {"naïve": 1}),
        ("if 1:\n\tfrom a import *\n", {"a": 1}),
    ],
)
def test_every_way_to_import_counts(census: Runner, source: str, expected: dict[str, int]) -> None:
    assert counted(census, source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "'''\nimport x\n'''\n",
        '"""doc \\""" import x\nimport y\n"""\n',
        "r'\\' ; import x'\n",
        "f'''\nfrom x import y\n'''\n",
        "# import x\n",
        "raise A from b\nyield from c\n",
        "reimport = important = 1\n",
        "f(a,\nimport_, x[1:\n2])\n",
        "d = {1:\n0}\n",
        "'not closed ; import x\n",
    ],
)
def test_what_only_looks_like_an_import_does_not_count(census: Runner, source: str) -> None:
    assert counted(census, source + "import real\n") == {"real": 1}


def test_files_that_are_no_python_do_not_count(census: Runner) -> None:
    census.write("a.txt", "import os\n")
    census.write("py", "import os\n")

    assert census().out.startswith("0 Python files, 0 bytes, 0 lines: 0 imports of 0 modules.")


def test_a_file_that_is_not_utf8_counts_and_is_named(census: Runner) -> None:
    census.write("latin.py", b"# caf\xe9\nimport os\n")

    ran = census()

    assert ran.csv == "module,files,imports\nos,1,1\n"
    assert ran.err == "census: latin.py: not UTF-8, read as bytes\n"


def test_what_cannot_be_read_is_left_out_and_named_in_order(census: Runner) -> None:
    census.write("b/long.py", b"#" * (16 * 1024 * 1024 + 1))
    census.write("c.py", "import os\n")
    (census.inputs / "a.py").symlink_to("c.py")

    ran = census()

    assert ran.exit_code == 0
    assert ran.csv == "module,files,imports\nos,1,1\n"
    assert ran.err == (
        "census: a.py: left out, not a regular file\ncensus: b/long.py: left out, longer than 16777216 bytes\n"
    )


def test_the_order_of_the_folder_and_the_times_of_files_do_not_matter(census: Runner, tmp_path: Path) -> None:
    names = [f"{letter}{number}.py" for number in range(20) for letter in "zam"]
    for name in names:
        census.write(name, f"import {name[0]}\n")
    other = tmp_path / "other"
    other.mkdir()
    for name in reversed(names):
        shutil.copyfile(census.inputs / name, other / name)
        os.utime(other / name, (1, 1))

    assert census() == census(inputs=other)


def test_other_folders_can_be_named(census: Runner) -> None:
    census.write("sub/a.py", "import os\n")

    assert census("/inputs/sub").out.startswith("1 Python files")
    assert census("/inputs/sub", "/outputs").csv == "module,files,imports\nos,1,1\n"


def test_a_folder_that_is_not_there_is_an_error(census: Runner) -> None:
    ran = census("/inputs/none")

    assert (ran.exit_code, ran.csv) == (1, None)
    assert ran.err.startswith("census: /inputs/none: cannot be listed")


def test_a_third_argument_is_a_usage_error(census: Runner) -> None:
    ran = census("a", "b", "c")

    assert (ran.exit_code, ran.err) == (2, "usage: census [INPUT_DIR [OUTPUT_DIR]]\n")


def test_it_cannot_even_ask_for_the_time_or_for_randomness(tmp_path: Path) -> None:
    module = wasmtime.Module.from_file(wasmtime.Engine(), str(CENSUS / "census.wasm"))

    asked = {wanted.name for wanted in module.imports}

    assert not asked & {"clock_time_get", "clock_res_get", "random_get", "poll_oneoff"}


def test_the_committed_module_is_what_the_source_gives(tmp_path: Path, need: Need) -> None:
    compiler = need("/usr/bin/rustc", DEBIAN_12)
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("rustc 1.63."):
        need.lacking(f"{version.strip()} gives other bytes; {DEBIAN_12}")
    need("wasm-ld", DEBIAN_12)
    rebuilt = tmp_path / "census.wasm"

    subprocess.run([CENSUS / "build.sh", rebuilt], check=True, timeout=300)

    assert rebuilt.read_bytes() == (CENSUS / "census.wasm").read_bytes()
