#!/usr/bin/env bash
# Builds the Go tools of the tests (h2spec, gRPC's interop client and server) once for each set of pinned versions.
# Prints their directory on stdout and its progress on stderr; does nothing when they are there. Needs Go, of the
# version that go.mod names, or Python's pip, with which it installs one beside the tools.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/tools/go.sh
. "$here/go.sh"
name=tests/tools/build.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gossamer/tools

version_of() { awk -v module="$1" '$1 == module { print $2; exit }' "$here/go.mod"; }
sum=$(cat "$here/go.mod" "$here/go.sum" "$here/tools.go" | sha256sum | cut -c1-8)
bin=$cache/h2spec-$(version_of github.com/summerwind/h2spec)-grpc-$(version_of google.golang.org/grpc)-$sum

build() {
    local go part=$bin.part
    go=$(find_go "$here/go.mod")
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
bash "$here/helm/build.sh" >/dev/null
echo "$bin"
