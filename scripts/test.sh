#!/bin/bash
# Everything that can be checked, all of it also when the first thing fails. Ends with pytest's own summary line.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=()
check() {
  echo "== $*" >&2
  .venv/bin/"$@" || failed+=("$1")
}

check ruff check --quiet .
check ruff format --check --quiet .
check mypy
check lint-imports
if [ "${1:-}" = lint ]; then
  [ ${#failed[@]} -eq 0 ] || echo "failed: ${failed[*]}" >&2
  exit $((${#failed[@]} > 0))
fi

[ ${#failed[@]} -eq 0 ] || echo "== this will fail in the end, because of: ${failed[*]}" >&2
# One for each core: most tests wait for daemons and processes of their own, and some look at deadlines.
check pytest --numprocesses "$(nproc)" --dist loadfile --ignore tests/bench
exit $((${#failed[@]} > 0))
