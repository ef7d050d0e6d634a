#!/bin/sh
# Have what the tests need beyond Python: the PostgreSQL server, whose own throw-away cluster tests/postgres.py starts.
set -eu

has_postgresql() {
    command -v pg_ctl >/dev/null && return
    for file in /usr/lib/postgresql/*/bin/pg_ctl; do
        [ -x "$file" ] && return
    done
    return 1
}

install_postgresql() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
    echo "tests: installing PostgreSQL (once)" >&2
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    { apt-get update && apt-get install -y --no-install-recommends postgresql; } >"$log" 2>&1 || tail -n 5 "$log" >&2
    rm -f "$log"
}

has_postgresql || install_postgresql
if ! has_postgresql; then
    echo "tests: no PostgreSQL server (pg_ctl) found. Debian and Ubuntu: apt install postgresql" >&2
    [ -z "${CI:-}" ] || exit 1
    echo "tests: the tests marked 'db' will be skipped" >&2
fi
