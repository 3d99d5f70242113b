#!/usr/bin/env bash
# Builds github.com/nektos/act, which "make bench" compares with, from the Go module proxy into a cache
# folder outside the checkout, once, and prints the binary's path. It is no module of ours.
set -euo pipefail
version=v0.2.89
dir=${XDG_CACHE_HOME:-$HOME/.cache}/glovebox-bench/act-$version
if [ ! -x "$dir/act" ]; then
    echo "== building act $version (some minutes)" >&2
    mkdir -p "$dir"
    # Outside of any module, so that act is built with the versions it names itself.
    (cd "$dir" && GOFLAGS= GOWORK=off CGO_ENABLED=0 GOBIN=$dir/build go install "github.com/nektos/act@$version" >&2)
    mv "$dir/build/act" "$dir/act"
    rmdir "$dir/build"
fi
echo "$dir/act"
