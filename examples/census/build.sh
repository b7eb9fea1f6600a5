#!/bin/bash
# Rebuilds census.wasm from the source beside it, byte for byte, with Debian 12's own compiler:
#   apt-get install --no-install-recommends rustc libstd-rust-dev-wasm32 lld
# build.sh [OUTPUT]: where to write, by default ./census.wasm. Any other rustc builds a program that does the same and
# whose bytes differ; RUSTC=... names it. By default not the first rustc of PATH: rustup's would come before Debian's.
set -euo pipefail

output=$(realpath -m "${1:-$(dirname "$0")/census.wasm}")
cd "$(dirname "$0")"

# As in Cargo.toml. The paths that panics name are the only trace that the place of the build could leave.
exec "${RUSTC:-/usr/bin/rustc}" --crate-name census --edition 2021 --crate-type bin --target wasm32-wasi \
  -C opt-level=s -C lto=fat -C codegen-units=1 -C panic=abort -C strip=symbols \
  --remap-path-prefix "$PWD=census" -o "$output" src/main.rs
