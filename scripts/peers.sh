#!/bin/sh
# Make .venv-peers, or bring it up to date: the peers that the benchmarks compare with, away from our own dependencies.
set -eu
cd "$(dirname "$0")/.."

if [ -f .venv-peers/installed ] && cmp -s scripts/peers.txt .venv-peers/installed; then
    exit 0
fi
echo "installing the peers into .venv-peers" >&2
.venv/bin/python -m venv --clear .venv-peers
.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --requirement scripts/peers.txt
cp scripts/peers.txt .venv-peers/installed
