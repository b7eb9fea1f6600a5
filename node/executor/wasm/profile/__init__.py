"""The deterministic profile: WASI preview 1 around wasmtime's own, so that a program sees the same on every node.

Three instances share a store. The *gate* is what the program imports: each function calls through a table that is
filled last. The *view* fills it: it imports the program's memory, exports it as its own (wasmtime's WASI works on the
memory of its caller) and wraps each of wasmtime's functions. What it cannot do in WASM it asks *hooks* in Python, and
they ask this machine through the gate, which has a memory of its own, so that the program's is not touched.
What is promised is in ``docs/determinism.md``; a change of what a program can see, or of the fuel that the view takes,
is a change of ``settings.PROFILE``.
"""
