#!/bin/sh
# Write constraints.txt (what a user runs), constraints-mesh.txt (that, and what a fleet needs) and constraints-dev.txt (all that,
# and what tests and checks need): every version pinned, every file's hash named, for all platforms and Python versions at once.
# Versions that are pinned already stay, unless --upgrade or --upgrade-package NAME is given.
set -eu
cd "$(dirname "$0")/.."

# A machine's own indexes and local wheels must not shape what everybody installs.
unset UV_INDEX UV_DEFAULT_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_CONSTRAINT UV_OVERRIDE || true

resolve() {
    output=$1
    shift
    .venv/bin/uv pip compile pyproject.toml --group build "$@" \
        --quiet --no-config --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-emit-build-options \
        --custom-compile-command "make lock" --output-file "$output"
}

resolve constraints.txt "$@"
# All extras but foundry, whose library wants one version of onnxruntime exactly, to which it would hold onnx and encoder, and has
# no build for Linux on ARM, where nothing else would be installed for want of it. Its tests have an environment of its own.
resolve constraints-dev.txt --extra fast --extra onnx --extra encoder --extra openvino --extra keyring --extra nvidia \
    --extra mesh --extra dev --constraints constraints.txt "$@"
resolve constraints-mesh.txt --extra mesh --constraints constraints-dev.txt "$@"
