#!/bin/bash
# Prints the path of a cosign 2: the one on PATH, else one built from tests/tools/cosign into .tools (once; some minutes
# and about 4 GB while it builds, 100 MB after). Exit 3: there is no Go to build it with.
set -euo pipefail
cd "$(dirname "$0")/cosign"

version=$(sed -n 's|.*github.com/sigstore/cosign/v2 \(v[0-9.]*\).*|\1|p' go.mod)
tools=$(realpath -m ../../../.tools)
built=$tools/cosign-$version

found=$(command -v cosign || true)
if [ -n "$found" ] && "$found" version 2>&1 | grep -q '^GitVersion: *v2\.'; then
  echo "$found"
  exit
fi
if [ ! -x "$built" ]; then
  command -v go >/dev/null || exit 3
  mkdir -p "$tools"
  exec 9>"$tools/cosign.lock"
  flock 9
  if [ ! -x "$built" ]; then
    # Caches of its own, so that nothing is left in anybody's home; auto: a Go that is too old fetches the one it needs.
    export GOMODCACHE=$tools/cosign-build/mod GOCACHE=$tools/cosign-build/cache GOTOOLCHAIN=auto GOFLAGS=-modcacherw
    echo "building cosign $version (once, some minutes)" >&2
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X sigs.k8s.io/release-utils/version.gitVersion=$version" \
      -o "$built.partial" github.com/sigstore/cosign/v2/cmd/cosign >&2
    mv "$built.partial" "$built"
    rm -rf "$tools/cosign-build"
  fi
fi
echo "$built"
