#!/bin/bash
# Prints the path of dockerd. As root on Debian it is installed first, with the busybox that the tests' images are made of,
# a registry that serves them, and gVisor. Exit 3: there is none, or one that takes somebody else to start.
set -euo pipefail
cd "$(dirname "$0")"
source ./may_fetch.sh
PATH=$PATH:/usr/sbin:/sbin

packages=(docker.io busybox-static docker-registry runsc)

[ "$(id -u)" = 0 ] || exit 3
missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ] && may_fetch && command -v apt-get >/dev/null; then
  echo "docker.sh: installing for the tests: ${missing[*]} (SYSTEM=no leaves the machine alone)" >&2
  export DEBIAN_FRONTEND=noninteractive
  # Tests start their own engine, so that none has to run on this machine because of them.
  install=(env RUNLEVEL=1 apt-get install --quiet --quiet --yes --no-install-recommends "${missing[@]}")
  { "${install[@]}" || { apt-get update --quiet --quiet && "${install[@]}"; }; } >/dev/null </dev/null ||
    echo "docker.sh: apt-get failed" >&2
fi
command -v dockerd || exit 3
