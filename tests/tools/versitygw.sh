#!/bin/bash
# Prints the path of versitygw, an S3 server over a folder, built from tests/tools/versitygw into .tools (once; two
# minutes and 1 GB while it builds, 45 MB after). Exit 3: there is no Go to build it with.
# Why this one: it checks signatures, conditions (If-Match, If-None-Match) and ranges as S3 does, pages its listings, takes
# multipart uploads, and a bucket is a folder. MinIO has twice as many packages (1301 to 589) and is no longer developed in
# the open; SeaweedFS is four servers, and its releases are no Go versions; moto's server (PyPI) checks no signature, so
# no test of wrong credentials could fail. None of them keeps keys that cannot be paths (`a//b`, `../a`): tests answer
# those by hand.
set -euo pipefail
cd "$(dirname "$0")/versitygw"
source ../build_go.sh

module=github.com/versity/versitygw
build_once versitygw "$module" "$module/cmd/versitygw"
