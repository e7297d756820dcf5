#!/usr/bin/env bash
# Builds Helm, with which the tests render the chart, once for each pinned version (go.mod, go.sum); half a minute to two.
# Prints its directory on stdout and its progress on stderr; does nothing when it is there.
#   build.sh --print    only where it lies, built or not
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/tools/go.sh
. "$here/../go.sh"
name=tests/tools/helm/build.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gossamer/tools

version_of() { awk -v module="$1" '$1 == "require" { $1 = ""; $0 = $0 } $1 == module { print $2; exit }' "$here/go.mod"; }
sum=$(cat "$here/go.mod" "$here/go.sum" "$here/tools.go" "$here/build.sh" | sha256sum | cut -c1-8)
bin=$cache/helm-$(version_of helm.sh/helm/v3)-$sum

build() {
    local go minor flags
    go=$(find_go "$here/go.mod")
    minor=$(version_of k8s.io/client-go) minor=${minor#v0.} minor=${minor%%.*}
    # The version of Kubernetes for which `helm template` renders and `helm lint` judges, if nothing else is said.
    for package in chartutil lint/rules; do
        flags="${flags:-} -X helm.sh/helm/v3/pkg/$package.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/$package.k8sVersionMinor=$minor"
    done
    say "building helm"
    (cd "$here" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly "$go" build -trimpath -buildvcs=false \
        -ldflags "-s -w $flags" -o "$bin.part/helm" helm.sh/helm/v3/cmd/helm >&2) || fail "helm could not be built (see above)"
    mv "$bin.part" "$bin"
}

if [ "${1:-}" = --print ]; then
    echo "$bin"
    exit
fi
mkdir -p "$cache"
exec 9>"$cache/helm.lock"
flock 9 # two test runs at a time build once
[ -d "$bin" ] || build
echo "$bin"
