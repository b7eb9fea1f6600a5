# Sourced: whether a compiler or a runtime that is missing may be fetched into .tools for the tests.
# shellcheck shell=bash

may_fetch() {
  [ "${CI:-}" = true ] || { [ "${SYSTEM:-}" != no ] && [ "$(id -u)" = 0 ] && grep -qs '^ID=debian$' /etc/os-release; }
}
