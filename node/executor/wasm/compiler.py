"""A compiler process: one module in, machine code out, and the end.

It is forked by the zygote and gets the file to write to as a descriptor, so that it needs no access to the cache:
whoever can write there decides what workers execute. The node gives the finished file its name.
Does not live here: the cache (``modules``), what a module may be (``engine``).
"""

from __future__ import annotations

import hashlib
import os
import socket

from node import limits
from node.executor.wasm import engine
from node.executor.wasm.confine import COMPILE_MEMORY_BYTES, confine_compiler
from node.executor.wasm.protocol import PARTS, Answer, Broken, Compiled, CompilerSpec, Failed, frame


def serve(channel: socket.socket, target: int, spec: CompilerSpec) -> None:
    """The life of the process."""
    wasm = _wasm(spec)  # Before the files are out of reach.
    confine_compiler()
    channel.sendall(frame(_answer(wasm, target, spec) if isinstance(wasm, bytes) else wasm))


def _wasm(spec: CompilerSpec) -> bytes | Answer:
    """The module; none of a part of the profile."""
    if spec.what in PARTS:
        return b""
    try:
        with open(spec.module, "rb") as file:
            wasm = file.read(limits.MODULE_BYTES_MAX + 1)
    except OSError as error:
        return Broken(f"the module cannot be read: {error.strerror}")
    if hashlib.sha256(wasm).hexdigest() != spec.what:
        return Failed("module", "the file is not the module that it is named after; upload the module again")
    return wasm


def _answer(wasm: bytes, target: int, spec: CompilerSpec) -> Answer:
    try:
        if spec.what in PARTS:
            code = engine.compiled_part(spec.what, spec.settings)
        else:
            code = engine.compiled(wasm, spec.settings)
    except engine.Refused as refused:
        return Failed("module", str(refused))
    except MemoryError:
        return Failed("module", f"the module needs more than {COMPILE_MEMORY_BYTES} bytes to compile; make it smaller")
    try:
        with os.fdopen(target, "wb") as file:
            file.write(code)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Broken(f"the compiled module cannot be kept: {error.strerror}")
    return Compiled()
