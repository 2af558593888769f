#!/bin/sh
# Tests of the PostgreSQL registry run a server of their own: make sure its programs are there, or say what is skipped.
set -eu

has_server() {
    command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
}

if has_server; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    printf 'PostgreSQL server programs (apt) ... '
    log=$(mktemp)
    if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql; } \
        >"$log" 2>&1 && has_server; then
        printf 'done\n'
        rm -f "$log"
        exit 0
    fi
    printf 'failed:\n'
    tail -n 5 "$log"
    rm -f "$log"
fi
printf 'The PostgreSQL tests will be skipped: no initdb on the PATH or in /usr/lib/postgresql (Debian package: postgresql).\n'
