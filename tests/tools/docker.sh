#!/bin/bash
# Prints the path of dockerd. As root on Debian it is installed first, with the busybox that the tests' images are made of,
# a registry that serves them, and gVisor. Exit 3: there is none, or one that takes somebody else to start.
set -euo pipefail
cd "$(dirname "$0")"
source ./may_fetch.sh
PATH=$PATH:/usr/sbin:/sbin

packages=(docker.io busybox-static docker-registry runsc)

[ "$(id -u)" = 0 ] || exit 3
missing() {
  for package in "${packages[@]}"; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

if [ -n "$(missing)" ] && may_fetch && command -v apt-get >/dev/null; then
  tools=$(realpath -m ../../.tools)
  mkdir -p "$tools"
  exec 9>"$tools/docker.lock" # Several test processes ask at once: the second waits, and finds all installed.
  flock 9
  mapfile -t wanted < <(missing)
  if [ ${#wanted[@]} -gt 0 ]; then
    echo "docker.sh: installing for the tests: ${wanted[*]} (SYSTEM=no leaves the machine alone)" >&2
    export DEBIAN_FRONTEND=noninteractive
    # Tests start their own engine, so that none has to run on this machine because of them.
    install=(env RUNLEVEL=1 apt-get install --quiet --quiet --yes --no-install-recommends "${wanted[@]}")
    { "${install[@]}" || { apt-get update --quiet --quiet && "${install[@]}"; }; } >/dev/null </dev/null 9>&- ||
      echo "docker.sh: apt-get failed" >&2
  fi
fi
command -v dockerd || exit 3
