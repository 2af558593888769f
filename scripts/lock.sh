#!/bin/sh
# Resolve pyproject.toml into requirements.lock: every package pinned and hashed, no address of any index in it.
set -eu

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
if [ ! -x .build/uv/bin/uv ]; then
    echo "the installer is not there yet; run: make setup" >&2
    exit 1
fi
compile() {
    scripts/uv.sh pip compile --quiet --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
        ${upgrade:+--upgrade} "$@" >/dev/null
}

upgrade=${1:-}
compile --universal --python-version 3.11 --extra dev --output-file requirements.lock pyproject.toml
if grep -n '://' requirements.lock; then
    echo "requirements.lock names an address; see the lines above" >&2
    exit 1
fi
echo "requirements.lock: $(grep -c '^[a-z0-9]' requirements.lock) packages"
