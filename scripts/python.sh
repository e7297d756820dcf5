#!/bin/sh
# Prints the path of a Python that Gossamer runs on: 3.11 or newer, with venv; one with headers, if there is one, since the
# hot path is compiled for it. PYTHON=... chooses another one; without it, what .venv was made with stays.
set -eu

suits() { "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
compiles() {
    [ "${GOSSAMER_NO_COMPILE:-}" = 1 ] ||
        "$1" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
}

if [ -n "${PYTHON:-}" ]; then
    if suits "$PYTHON"; then
        command -v "$PYTHON"
        exit 0
    fi
    echo "PYTHON=$PYTHON is no Python 3.11 or newer with its venv module: unset it, and one is looked for" >&2
    exit 1
fi
own=$(.venv/bin/python -c 'import sys; print(sys._base_executable)' 2>/dev/null || true)
if [ -n "$own" ] && suits "$own"; then
    echo "$own"
    exit 0
fi
# The distribution's come first: they are built with optimisation by profile, as that of the image is. One that was built by
# hand (pyenv's) mostly is not.
found=
for candidate in /usr/bin/python3 /usr/bin/python3.1[1-9] python3 python3.13 python3.12 python3.11; do
    if suits "$candidate"; then
        found=${found:-$(command -v "$candidate")}
        if compiles "$candidate"; then
            command -v "$candidate"
            exit 0
        fi
    fi
done
[ -z "$found" ] || { echo "$found"; exit 0; }
echo "Gossamer needs Python 3.11 or newer with its venv module; on Debian: apt-get install python3 python3-venv" >&2
exit 1
