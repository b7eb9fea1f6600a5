"""What machine code depends on beside the module: every setting of the engine, and the name that they have together.

Machine code is made for one of few levels of CPU, never for the very CPU that it is made on: then nodes of one level
run the same instructions, so that a stack overflows at the same depth and a NaN has the same bits. A change of what is
below, of the engine's configuration or of the profile's own code is a change of ``PROFILE``.
Does not live here: wasmtime (``engine``).
"""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import version

import msgspec

PROFILE = "2"  # Part of the engine's identity, and of the names of compiled modules.
V3, BASELINE = "x86_64-v3", "x86_64"

_CPUINFO = "/proc/cpuinfo"
# As Linux calls what the level of the x86-64 psABI is made of, without what Cranelift never uses.
_V3_FLAGS = frozenset({"pni", "ssse3", "sse4_1", "sse4_2", "popcnt", "avx", "avx2", "bmi1", "bmi2", "abm", "fma"})


class Settings(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How a module is compiled. Equal settings give equal machine code, on whatever node."""

    level: str  # of CPU
    deterministic: bool  # the profile; else ``native``
    counts_fuel: bool = False

    @property
    def key(self) -> str:
        """Part of a file name."""
        profile = "deterministic" if self.deterministic else "native"
        fuel = "-fuel" if self.counts_fuel else ""
        return f"{PROFILE}-{_wasmtime()}-{self.level}-{profile}{fuel}"


def identity(level: str) -> str:
    """What must be equal for results to be compared; the same for every job of this node."""
    return f"wasmtime {_wasmtime()}, profile {PROFILE}, {level}"


def level_here() -> str:
    """This machine's level of CPU."""
    machine = platform.machine()
    if machine != "x86_64":
        return machine
    return V3 if _cpu_flags() >= _V3_FLAGS else BASELINE


def _cpu_flags() -> frozenset[str]:
    """Those of the first CPU; none where the kernel does not tell."""
    if not os.path.exists(_CPUINFO):
        return frozenset()
    with open(_CPUINFO) as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == "flags":
                return frozenset(value.split())
    return frozenset()


@cache
def _wasmtime() -> str:
    """Its version, for which files are read."""
    return version("wasmtime")
