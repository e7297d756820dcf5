#!/bin/sh
# Compiles the typed modules of the sidecar in place, or takes compiled ones away where that is not wanted or fails.
# Old modules go first: a stale one would hide its source, and one that a running proxy has mapped must not be overwritten.
set -eu

find proxy -name '*.so' -delete
if [ "${GOSSAMER_NO_COMPILE:-}" = 1 ]; then
    echo "GOSSAMER_NO_COMPILE=1: the sidecar runs as plain Python"
else
    [ ! -e build/cython ] || [ build/cython -nt setup.py ] || rm -rf build
    echo "compiling the sidecar's hot path (about a minute the first time)"
    .venv/bin/python setup.py -q build_ext --inplace --parallel "$(nproc)"
fi
# Bytecode made ahead: compiling the source at each start would cost the sidecar a megabyte of memory.
.venv/bin/python -m compileall -q mesh proxy
