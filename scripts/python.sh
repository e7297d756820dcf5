#!/bin/sh
# Prints the path of a Python that Gossamer runs on: 3.11 or newer, with venv; one with headers, if there is one, since the
# hot path is compiled for it. PYTHON=... chooses another one.
set -eu

suits() { "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
has_headers() { "$1" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'; }

# The distribution's comes first: it is built with optimisation by profile, as that of the image is. One that was built by hand
# (pyenv's) mostly is not, and a request costs a tenth more with it.
found=
for candidate in ${PYTHON:-/usr/bin/python3 python3 python3.13 python3.12 python3.11}; do
    if suits "$candidate"; then
        found=${found:-$(command -v "$candidate")}
        if has_headers "$candidate"; then
            command -v "$candidate"
            exit 0
        fi
    fi
done
[ -z "$found" ] || { echo "$found"; exit 0; }
echo "Gossamer needs Python 3.11 or newer with its venv module; on Debian: apt-get install python3 python3-venv" >&2
exit 1
