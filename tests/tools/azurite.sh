#!/bin/bash
# Prints the path of Azurite's blob server, a program for `node`, installed from npm by tests/tools/azurite into .tools
# (once; half a minute, 190 MB). It is the last version that runs on the Node.js 20 of Debian. Exit 3: there is no npm.
# Run it with the path that this prints first, not with `node`: in this project's environment that is our own command.
set -euo pipefail
cd "$(dirname "$0")/azurite"
source ../npm_install.sh

install_once azurite "$(sed -n 's|.*"azurite": "\([0-9.]*\)".*|\1|p' package.json)"
echo "$node $home/node_modules/azurite/dist/src/blob/main.js"
