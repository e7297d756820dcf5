#!/bin/sh
# Installs what the tests and the benchmarks use from Debian: peers to compare with, load generators, a C compiler,
# and what pods run on in the tests' Kubernetes.
# Without root, or elsewhere than on Debian, it only says what is missing: tests that need it are then skipped, with the reason.
set -eu

missing=""
need() { # program, package
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}
need gcc gcc
need nghttpd nghttp2-server
need h2load nghttp2-client
need nghttpx nghttp2-proxy
need haproxy haproxy
need nginx nginx
need wrk wrk
need redis-server redis-server
need redis-cli redis-tools
need containerd containerd
need runc runc
need buildah buildah
need mmdebstrap mmdebstrap
need iptables iptables
need ip iproute2
need setpriv util-linux
[ -e /usr/lib/cni/bridge ] || [ -e /opt/cni/bin/bridge ] || missing="$missing containernetworking-plugins"
[ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"
[ -e /usr/include/nghttp2/nghttp2.h ] || missing="$missing libnghttp2-dev"
header=$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
[ -e "$header" ] || missing="$missing python3-dev"

[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing from Debian:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # The packages would start servers of their own; policy-rc.d is Debian's way to say no.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of names
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "missing, and what needs it is skipped:$missing; on Debian, as root: apt-get install$missing" >&2
fi
