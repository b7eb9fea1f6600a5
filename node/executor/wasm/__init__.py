"""The WASM engine: WASI preview 1 modules in killable worker processes. The only importer of wasmtime."""
