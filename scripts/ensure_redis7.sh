#!/bin/sh
# Tests of the online store run on Redis 6.2 (a wheel's) and on 7: make sure that one is there, or say what is skipped.
set -eu

has_server() {
    command -v redis-server >/dev/null 2>&1 && redis-server --version | grep -Eq 'v=([7-9]|[1-9][0-9])\.'
}

if has_server; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    printf 'Redis 7 (apt) ... '
    log=$(mktemp)
    if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends redis-server; } \
        >"$log" 2>&1 && has_server; then
        printf 'done\n'
        rm -f "$log"
        exit 0
    fi
    printf 'failed:\n'
    tail -n 5 "$log"
    rm -f "$log"
fi
printf 'Tests on Redis 7 and of TLS will be skipped: no redis-server 7 or newer on the PATH (Debian package: redis-server).\n'
