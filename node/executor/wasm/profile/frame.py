"""Gate and view around a program: loaded once for each worker, instantiated for each run.

Does not live here: the engine and its limits (``node.executor.wasm.engine``).
"""

from __future__ import annotations

from wasmtime import Engine, Global, Instance, Linker, Memory, Module, Store

from node.executor.wasm.profile.calls import WASI
from node.executor.wasm.profile.hooks import Hooks, Run
from node.executor.wasm.profile.host import Host

INSTANCES = 3
MEMORIES = 2
TABLES = 1  # beside the program's


class Frame:
    """What stands between one program and this machine."""

    def __init__(self, program: Module, ends: Linker, gate: Module, view: Module) -> None:
        """``ends``: a linker with the functions that end a run; it is this object's from here on."""
        engine = ends.engine
        self._program = program
        self._of_program = ends
        self._gate = _linker(engine).instantiate_pre(gate)
        self._view = view
        self._of_view = _linker(engine)
        self._hooks = Hooks(self._of_view)

    def instantiate(self, store: Store, seed: str) -> Instance:
        """The program in a store that has a WASI. What a linker still has of the run before is shadowed."""
        gate = self._gate.instantiate(store)
        self._of_program.define_instance(store, WASI, gate)
        run = Run(store, Host(store, self._of_program), seed)
        self._hooks.begin(run)
        program = self._of_program.instantiate(store, self._program)
        memory = program.exports(store)["memory"]
        assert isinstance(memory, Memory)
        self._of_view.define(store, "guest", "memory", memory)
        self._of_view.define(store, "gate", "table", self._of_program.get(store, WASI, "table"))
        now = self._of_view.instantiate(store, self._view).exports(store)["now"]
        assert isinstance(now, Global)
        run.place(memory, now)
        return program


def _linker(engine: Engine) -> Linker:
    linker = Linker(engine)
    linker.allow_shadowing = True
    linker.define_wasi()
    return linker
