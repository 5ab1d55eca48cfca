#!/bin/sh
# Install the YAML language server that the editor tests talk to, or bring it up to date. Needs npm; where there is none,
# the editor tests say so.
set -eu
cd "$(dirname "$0")/../tests/editor"
command -v npm >/dev/null 2>&1 || { echo "no npm: the editor tests will fail; sudo apt-get install npm" >&2; exit 0; }
if [ -f node_modules/installed ] && cmp -s package-lock.json node_modules/installed; then exit 0; fi
echo "installing the YAML language server into tests/editor" >&2
npm ci --no-audit --no-fund --loglevel=error >&2
cp package-lock.json node_modules/installed
