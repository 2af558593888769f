#!/bin/sh
# Run the pinned uv with the package source that pip is configured for: uv reads neither pip's variables nor its files.
set -eu

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
uv=$root/.build/uv/bin/uv

# pip's own answer covers its variables, and the files of the user, the machine and the environment.
settings=$("$root/.venv/bin/python" -m pip config list 2>/dev/null || :)
setting() {
    for scope in ":env:" install global; do
        value=$(printf '%s\n' "$settings" | sed -n "s/^$scope\.$1='\(.*\)'\$/\1/p" | tail -n 1)
        if [ -n "$value" ]; then
            printf '%s' "$value" | sed 's/\\n/ /g'
            return
        fi
    done
}
export_unless_set() {
    eval "current=\${$1:-}"
    if [ -z "$current" ] && [ -n "$2" ]; then
        export "$1=$2"
    fi
}

export_unless_set UV_DEFAULT_INDEX "$(setting index-url)"
export_unless_set UV_EXTRA_INDEX_URL "$(setting extra-index-url)"
export_unless_set UV_INSECURE_HOST "$(setting trusted-host)"
export_unless_set UV_HTTP_TIMEOUT "$(setting default-timeout)"
export_unless_set SSL_CERT_FILE "$(setting cert)"
[ -z "$(setting no-index)" ] || export UV_NO_INDEX=1
links=$(setting find-links)
case $links in
    '' ) ;;
    *://*) export_unless_set UV_FIND_LINKS "$links" ;;
    *) [ ! -d "$links" ] || export_unless_set UV_FIND_LINKS "$links" ;;
esac
export UV_NO_PROGRESS="${UV_NO_PROGRESS:-1}"
exec "$uv" "$@"
