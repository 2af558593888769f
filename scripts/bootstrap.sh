#!/bin/sh
# Make .venv from the lock, then find Java, Spark, Delta and Redis. Safe to repeat: does nothing when nothing changed.
set -eu

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
venv=.venv
stamp=$venv/.featurestore-setup
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV PIP_REQUIRE_VIRTUALENV

step() {
    printf '%s ... ' "$1"
    step_started=$(date +%s)
}
finish() {
    printf '%s (%s s)\n' "${1:-done}" "$(($(date +%s) - step_started))"
}
fail() {
    printf '\nset-up failed: %s\n' "$1" >&2
    exit 1
}
is_supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' >/dev/null 2>&1
}
find_python() {
    for name in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3 python; do
        if command -v "$name" >/dev/null 2>&1 && is_supported "$name"; then
            command -v "$name"
            return
        fi
    done
}
fingerprint() {
    { "$1" -c 'import sys; print(sys.version, sys.prefix)'
      cat requirements.lock pyproject.toml scripts/uv-requirements.txt scripts/bootstrap.sh
    } | "$1" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'
}

if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && [ "$(fingerprint "$venv/bin/python")" = "$(cat "$stamp")" ]; then
    exit 0
fi

started=$(date +%s)
python=$(find_python)
[ -n "$python" ] || fail "no Python 3.11 or 3.12 on the PATH (python3 is $(python3 --version 2>&1 || :));
install one, or name it: make setup PYTHON=/path/to/python3.11"

if ! { [ -x "$venv/bin/python" ] && is_supported "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; }; then
    step "virtual environment from $python"
    rm -rf "$venv"
    "$python" -m venv "$venv" >.venv-log 2>&1 || fail "$(cat .venv-log)
(Debian and Ubuntu: install the package python3-venv)"
    rm -f .venv-log
    finish
fi
rm -f "$stamp"

if ! cmp -s scripts/uv-requirements.txt .build/uv/requirements.txt; then
    step "installer (uv)"
    rm -rf .build/uv
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --no-deps \
        --target .build/uv --requirement scripts/uv-requirements.txt || fail "pip could not install uv; see above"
    cp scripts/uv-requirements.txt .build/uv/requirements.txt
    finish
fi

step "packages of requirements.lock"
scripts/uv.sh pip sync --quiet --python "$venv/bin/python" --require-hashes requirements.lock \
    || fail "uv could not install the locked packages; see above"
scripts/uv.sh pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable . \
    || fail "uv could not install the project itself; see above"
finish "$("$venv/bin/python" -c 'import importlib.metadata as m; print(len(list(m.distributions())), "packages")')"

printf 'tools:\n'
"$venv/bin/python" -m featurestore.embedded.setup \
    || fail "a tool is missing; see above"

fingerprint "$venv/bin/python" >"$stamp"
printf 'set-up complete in %s s; the environment is %s/%s\n' "$(($(date +%s) - started))" "$root" "$venv"
