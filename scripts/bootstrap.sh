#!/bin/sh
# Makes .venv ready: finds a Python that fits and leaves the rest to bootstrap.py. PYTHON=... names one.
set -eu
cd "$(dirname "$0")/.."

fits() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

for python in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
  if command -v "$python" >/dev/null 2>&1 && fits "$python"; then
    exec "$python" -I scripts/bootstrap.py
  fi
done

if [ -n "${PYTHON:-}" ]; then
  echo "PYTHON=$PYTHON is no Python 3.11, 3.12 or 3.13 that runs." >&2
else
  echo "Python 3.11, 3.12 or 3.13 is needed, and there is none on PATH. To get one:" >&2
  echo "  Debian 12 or 13, Ubuntu 24.04:  apt install python3" >&2
  echo "  elsewhere:                      https://www.python.org/downloads/, then PYTHON=/path/to/python3.13 make ..." >&2
fi
exit 1
