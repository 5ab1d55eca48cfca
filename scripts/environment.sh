#!/bin/sh
# Make .venv, or bring it up to date: `runtime` holds what a user needs, `mesh` also what a fleet needs, `dev` also what tests and
# checks need.
# Every download is checked against the hashes of the lock. Ends at once when nothing changed.
#   sh scripts/environment.sh runtime|mesh|dev
# PYTHON names the interpreter to make it with (default: the first of the tested ones on the PATH).
set -eu
cd "$(dirname "$0")/.."

level=$1
case $level in
    runtime) lock=constraints.txt ;;
    mesh) lock=constraints-mesh.txt ;;
    dev) lock=constraints-dev.txt ;;
    *) echo "usage: environment.sh runtime|mesh|dev" >&2; exit 64 ;;
esac

is_tested() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        echo "$PYTHON"
        return
    fi
    for name in python3 python3.13 python3.12 python3.11; do
        if is_tested "$name"; then
            echo "$name"
            return
        fi
    done
    echo "error: no Python 3.11, 3.12 or 3.13 was found on the PATH." >&2
    echo "Install one (Debian, Ubuntu: sudo apt-get install python3 python3-venv), or name one: make PYTHON=/path/to/python3.12" >&2
    exit 1
}

make_venv() {
    python=$(find_python)
    rm -rf .venv
    if ! "$python" -m venv .venv; then
        rm -rf .venv
        echo "error: \`$python -m venv\` failed. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2
        exit 1
    fi
}

# What the environment is made from. The folder is part of it: the scripts of a virtual environment hold its path.
fingerprint() {
    { pwd; .venv/bin/python -V; cat "$1" pyproject.toml scripts/environment.sh; } | cksum
}

is_current() {
    [ -f ".venv/installed-$1" ] && [ "$(cat ".venv/installed-$1")" = "$(fingerprint "$2")" ]
}

if ! .venv/bin/python -c '' 2>/dev/null; then
    make_venv
fi
if is_current "$level" "$lock"; then
    exit 0
fi
# The development environment holds all that the others do.
if is_current dev constraints-dev.txt; then
    exit 0
fi

echo "installing the $level dependencies into .venv" >&2
pip_install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
}
pip_install --require-hashes --requirement "$lock"
pip_install --no-deps --no-build-isolation --editable .
fingerprint "$lock" >".venv/installed-$level"
