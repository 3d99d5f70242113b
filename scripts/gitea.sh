#!/usr/bin/env bash
# Builds a Gitea for the tests of internal/codehost from the Go module proxy and prints the program's path:
#
#   export GLOVEBOX_TEST_GITEA=$(scripts/gitea.sh)
#
# It is built once a machine, into a folder outside of the checkout (first argument; default
# ${XDG_CACHE_HOME:-~/.cache}/glovebox-test). The pages' scripts and styles are not in the module:
# the API works, the pages do not.
set -euo pipefail

# 1.27 and later need modules that the proxy does not have (gitea.dev/...).
version=v1.26.4
sum=h1:VDA00oYg16VrQf3sES0NuS/oiDLAIVng/7jKHsBMP/w=
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/glovebox-test}
program=$dir/gitea-$version

if [ -x "$program" ]; then
    echo "$program"
    exit 0
fi
mkdir -p "$dir"
# Two runs at once build one after the other; the second finds the first one's work.
exec 9>"$dir/gitea.lock"
flock 9
if [ -x "$program" ]; then
    echo "$program"
    exit 0
fi
echo "== building Gitea $version (some minutes, once)" >&2

build=$(mktemp -d "$dir/build.XXXXXX")
trap 'rm -rf "$build"' EXIT
cd "$build"
got=$(GOFLAGS=-mod=mod go mod download -json "code.gitea.io/gitea@$version")
field() { sed -n 's/^\t"'"$1"'": "\(.*\)",\{0,1\}$/\1/p' <<<"$got"; }
if [ "$(field Sum)" != "$sum" ]; then
    echo "Gitea $version is not what it was: its sum is $(field Sum), not $sum" >&2
    exit 1
fi
cp -r --no-preserve=mode "$(field Dir)/." src
cd src

# The module has its own go.sum, so all that it pulls in is verified. What the machine's environment says of
# other builds does not apply.
unset GOFLAGS
export GOWORK=off CGO_ENABLED=1
go generate -tags bindata ./modules/options ./modules/public ./modules/templates ./modules/migration >&2
nice go build -trimpath -buildvcs=false -tags 'bindata sqlite sqlite_unlock_notify' -ldflags "-s -w -X main.Version=${version#v}" -o "$build/gitea" .
mv "$build/gitea" "$program"
echo "$program"
