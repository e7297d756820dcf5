#!/bin/sh
# Makes .venv and installs what is locked. `venv.sh STAMP` touches the stamp where something was done. A .venv is made anew only
# where another Python is wanted than it has, and never one that somebody else made.
set -eu

base() { "$1" -c 'import os, sys; print(os.path.realpath(sys._base_executable))' 2>/dev/null || true; }

stamp=$1
python=$(sh scripts/python.sh)
if [ "$(base .venv/bin/python)" != "$(base "$python")" ]; then
    if [ -L .venv ] || { [ -e .venv ] && [ ! -e .venv/stamps ]; }; then
        echo "there is a .venv that make did not make: move it away first" >&2
        exit 1
    fi
    echo "installing with $("$python" --version) into .venv (about a minute, once)"
    "$python" -m venv --clear .venv
    mkdir -p .venv/stamps
elif [ "$stamp" -nt requirements/dev.txt ]; then
    exit 0
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
mkdir -p .venv/stamps
touch "$stamp"
