#!/bin/sh
# Prints the path of a Python that Gossamer runs on: 3.11 or newer, with venv. PYTHON=... chooses another one.
set -eu

suits() { "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

for candidate in ${PYTHON:-python3 /usr/bin/python3 python3.13 python3.12 python3.11}; do
    if suits "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
done
echo "Gossamer needs Python 3.11 or newer with its venv module; on Debian: apt-get install python3 python3-venv" >&2
exit 1
