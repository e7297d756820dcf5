#!/bin/sh
# Renews the lock files: versions and hashes, and never the address that they were downloaded from.
set -eu

lock() { # output, more options
    output=$1
    shift
    CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options "$@" \
        --output-file "$output" pyproject.toml
}
lock requirements/dev.txt --all-extras
# xds-protos asks for grpcio, which its messages do not need: the sidecar is installed with --no-deps.
lock requirements/sidecar.txt --extra xds --no-allow-unsafe --unsafe-package grpcio --constraint requirements/dev.txt
# What the image holds, and what it is built with.
lock requirements/image.txt --extra xds --extra controlplane --extra injector --extra cli --constraint requirements/dev.txt
lock requirements/build.txt --only-build-deps --build-deps-for wheel --constraint requirements/dev.txt
if grep -n '://' requirements/*.txt; then
    echo "an address got into a lock file" >&2
    exit 1
fi
