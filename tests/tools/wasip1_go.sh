#!/bin/bash
# Prints the path of tests/tools/wasip1/seen.go, built with GOOS=wasip1 into .tools (once for each state of the source).
# Where there is no Go, one comes from PyPI into .tools, but only on CI and as root on Debian without SYSTEM=no. Exit 3:
# there is no Go to build it with.
set -euo pipefail
cd "$(dirname "$0")/wasip1"
source ../build_go.sh

built=$tools/seen-go-$(cat seen.go go.mod | sha256sum | cut -c-16).wasm
if [ ! -e "$built" ]; then
  export GOOS=wasip1 GOARCH=wasm
  mkdir -p "$tools"
  exec 9>"$tools/build.lock"
  flock 9
  [ -e "$built" ] || build "$built" . ""
fi
echo "$built"
