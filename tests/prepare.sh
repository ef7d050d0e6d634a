#!/bin/sh
# Have what the tests need beyond Python: the servers of which they start throw-away ones of their own, PostgreSQL
# (tests/postgres.py), RabbitMQ and Redis (tests/brokers.py); and a browser (tests/browser.py).
set -eu

has_postgresql() {
    command -v pg_ctl >/dev/null && return
    for file in /usr/lib/postgresql/*/bin/pg_ctl; do
        [ -x "$file" ] && return
    done
    return 1
}

has_rabbitmq() { [ -x /usr/sbin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null; }

has_redis() { command -v redis-server >/dev/null; }

has_browser() { command -v chromium >/dev/null && command -v chromedriver >/dev/null; }

# Prints the packages that are missing.
missing() {
    has_postgresql || echo postgresql
    has_rabbitmq || echo rabbitmq-server
    has_redis || echo redis-server
    has_browser || echo chromium chromium-driver
}

install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
    echo "tests: installing $* (once)" >&2
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    { apt-get update && apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1 || tail -n 5 "$log" >&2
    rm -f "$log"
}

lacking=$(missing)
# shellcheck disable=SC2086 # names of packages, to be split
[ -z "$lacking" ] || install $lacking
lacking=$(missing | tr '\n' ' ')
if [ -n "$lacking" ]; then
    echo "tests: programs are missing. Debian and Ubuntu: apt install $lacking" >&2
    [ -z "${CI:-}" ] || exit 1
    echo "tests: the tests that need them will be skipped" >&2
fi
