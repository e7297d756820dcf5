#!/usr/bin/env bash
# Renews the pinned versions of the cluster's programs: pin.sh KUBERNETES COREDNS, for example pin.sh v1.35.4 v1.14.7.
# go.mod and go.sum of each folder are the one place where they are pinned, with the hash of every module in them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
[ $# = 2 ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
kubernetes=$1 coredns=$2
go=${GO:-go}
export GOTOOLCHAIN=local GOFLAGS=-mod=mod

# Kubernetes' own go.mod points to its staging modules by path, which an importing module must replace by their versions.
mod_of() { "$go" mod download -json "$1" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p'; }
mod=$(mod_of "k8s.io/kubernetes@$kubernetes")
{
    printf 'module gossamer.mesh/tests/cluster/kubernetes\n\n%s\n\n' "$(grep '^go ' "$mod")"
    printf 'require k8s.io/kubernetes %s\n\nreplace (\n' "$kubernetes"
    awk -v version="v0.${kubernetes#v1.}" '/=> \.\/staging/ { print "\t" $1, "=>", $1, version }' "$mod"
    echo ')'
} >kubernetes/go.mod
rm -f kubernetes/go.sum
(cd kubernetes && "$go" mod tidy)

{
    printf 'module gossamer.mesh/tests/cluster/coredns\n\n%s\n\n' "$(grep '^go ' "$(mod_of "github.com/coredns/coredns@$coredns")")"
    printf 'require github.com/coredns/coredns %s\n' "$coredns"
} >coredns/go.mod
rm -f coredns/go.sum
(cd coredns && "$go" mod tidy)
