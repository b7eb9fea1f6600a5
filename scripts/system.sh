#!/bin/bash
# What tests need beyond Python: as root on Debian it is installed, and said so. SYSTEM=no leaves the machine alone.
# Elsewhere those tests are skipped and say how to get it; on CI (CI=true) they fail.
set -euo pipefail

# rustc and its two: examples/census is rebuilt and compared with what is committed.
packages=(rustc libstd-rust-dev-wasm32 lld)

[ "${SYSTEM:-}" != no ] || exit 0
[ "$(id -u)" = 0 ] && grep -qs '^ID=debian$' /etc/os-release || exit 0

missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "system: installing for the tests: ${missing[*]} (SYSTEM=no leaves the machine alone)" >&2
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install --quiet --quiet --yes --no-install-recommends "${missing[@]}")
{ "${install[@]}" || { apt-get update --quiet --quiet && "${install[@]}"; }; } >/dev/null </dev/null ||
  echo "system: apt-get failed; the tests that need them say so" >&2
