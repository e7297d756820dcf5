#!/usr/bin/env bash
# Builds the programs of the tests' cluster, once for each set of pinned versions (programs/*/go.mod), from their Go modules.
# Prints where they lie, as a PATH, on stdout and its progress on stderr; a stopped build goes on where it was.
#   build.sh            all of them: about 8 minutes the first time on two cores
#   build.sh --print    only where they lie, built or not
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/tools/go.sh
. "$here/../tools/go.sh"
name=tests/cluster/build.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gossamer/cluster
kubernetes=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "$here/programs/kubernetes/go.mod")
minor=${kubernetes#v1.} minor=${minor%%.*}
version=k8s.io/component-base/version

# Where the programs of module $1 lie: one directory for each state of its source.
place() {
    local sum
    sum=$(cd "$here/programs/$1" && cat -- * | sha256sum | cut -c1-8)
    echo "$cache/$1-$sum"
}

build() { # $1 module, $2 package, $3 program: built unless it is there, and never seen half-written
    local out
    out=$(place "$1")/$3
    [ ! -x "$out" ] || return 0
    go=${go:-$(find_go "$here/programs/backend/go.mod")}
    say "building $3"
    mkdir -p "${out%/*}"
    (cd "$here/programs/$1" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly "$go" build -trimpath -buildvcs=false \
        -ldflags "-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor" \
        -o "$out.part" "$2" >&2) || fail "$3 could not be built (see above)"
    mv "$out.part" "$out"
}

print_path() {
    echo "$(place kubernetes):$(place coredns):$(place backend)"
}

if [ "${1:-}" = --print ]; then
    print_path
    exit
fi
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two test runs at a time build once
build kubernetes go.etcd.io/etcd/server/v3 etcd
for program in kube-apiserver kube-controller-manager kubectl kube-scheduler kubelet kube-proxy; do
    build kubernetes k8s.io/kubernetes/cmd/$program $program
done
build coredns github.com/coredns/coredns coredns
build backend . backend
print_path
