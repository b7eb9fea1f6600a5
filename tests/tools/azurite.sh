#!/bin/bash
# Prints the path of Azurite's blob server, a program for `node`, installed from npm by tests/tools/azurite into .tools
# (once; half a minute, 190 MB). It is the last version that runs on the Node.js 20 of Debian. No script of a package is
# run. Exit 3: there is no npm.
# Run it with the path that this prints first, not with `node`: in this project's environment that is our own command.
set -euo pipefail
cd "$(dirname "$0")/azurite"

tools=$(realpath -m ../../../.tools)
version=$(sed -n 's|.*"azurite": "\([0-9.]*\)".*|\1|p' package.json)
home=$tools/azurite-$version

# Node.js and npm as if the project's environment were not there.
PATH=$(tr ':' '\n' <<<"$PATH" | while read -r folder; do [ -e "$folder/activate" ] || echo "$folder"; done | paste -sd:)
node=$(command -v node) && command -v npm >/dev/null || exit 3
"$node" --version | grep -q '^v[0-9]' || exit 3

if [ ! -d "$home" ]; then
  mkdir -p "$tools"
  exec 9>"$tools/azurite.lock"
  flock 9
  if [ ! -d "$home" ]; then
    echo "fetching Azurite $version (once)" >&2
    rm -rf "$home.partial"
    mkdir "$home.partial"
    cp package.json package-lock.json "$home.partial"
    npm ci --prefix "$home.partial" --ignore-scripts --no-fund --no-audit --loglevel=error >&2
    mv "$home.partial" "$home"
  fi
fi
echo "$node $home/node_modules/azurite/dist/src/blob/main.js"
