#!/bin/bash
# Prints the path of tests/tools/wasip1/seen.rs, built with Debian's own rustc (the packages rustc, libstd-rust-dev-wasm32
# and lld) into .tools, once for each state of the source. RUSTC=... names another, WASI_TARGET=... what it calls the
# target: wasm32-wasi of Rust 1.63 is wasm32-wasip1 since 1.78. Exit 3: there is none.
set -euo pipefail
cd "$(dirname "$0")/wasip1"

tools=$(realpath -m ../../../.tools)
rustc=${RUSTC:-/usr/bin/rustc} # Not the first of PATH: rustup's would come before Debian's.
target=${WASI_TARGET:-wasm32-wasi}
built=$tools/seen-rust-$(sha256sum seen.rs | cut -c-16).wasm
if [ ! -e "$built" ]; then
  [ -x "$rustc" ] && [ -d "$("$rustc" --print sysroot)/lib/rustlib/$target" ] || exit 3
  mkdir -p "$tools"
  "$rustc" --edition 2021 --target "$target" -C opt-level=2 -C strip=symbols -o "$built.$$" seen.rs >&2
  mv "$built.$$" "$built"
fi
echo "$built"
