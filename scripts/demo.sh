#!/usr/bin/env bash
# Shows Glovebox at work: makes six of our own dependencies git repositories, starts server and
# executor, and runs a batch change over them that rewrites interface{} to any and compiles the result,
# each in a gVisor sandbox with no network. Needs no Docker and no registry.
#   scripts/demo.sh [BINARY]     KEEP=1 leaves the server running, DEMO_RUNTIME takes another runtime
set -euo pipefail
cd "$(dirname "$0")/.."
glovebox=$(realpath "${1:-bin/glovebox}")
runtime=${DEMO_RUNTIME:-gvisor}
modules=(github.com/spf13/pflag github.com/google/go-cmp github.com/dustin/go-humanize github.com/google/uuid github.com/google/btree pgregory.net/rapid)

data=${DEMO_DATA:-$(mktemp -d /tmp/glovebox-demo.XXXXXX)}
mkdir -p "$data/repos" "$data/diffs"
server_pid=
cleanup() {
    local code=$?
    trap - EXIT INT TERM
    if [ -n "$server_pid" ]; then
        kill "$server_pid" 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
    fi
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

make_repo() { # MODULE DIR: the module's sources from the module cache, as a git repository
    local dir
    dir=$(go list -m -f '{{.Dir}}' "$1")
    [ -n "$dir" ] || { go mod download "$1"; dir=$(go list -m -f '{{.Dir}}' "$1"); }
    cp -r "$dir" "$2"
    chmod -R u+w "$2"
    git -C "$2" init -q -b main
    git -C "$2" add -A
    git -C "$2" -c user.name=demo -c user.email=demo@localhost -c commit.gpgsign=false commit -q -m "Sources of $1"
}

spec_file() { # the batch spec: one codemod over all repositories
    cat <<YAML
version: 2
name: use-any
description: interface{} is any since Go 1.18
on:
  - repositoriesMatching: "**"
image: host
runtime: $runtime
network: none
limits: {memory: 2G, cpus: 2, timeout: 15m}
steps:
  - run: gofmt -w -r 'interface{} -> any' .
  - run: go mod edit -go=1.21
    if: \${{ gt (len previous_step.modified_files) 0 }}
    env: {GOTOOLCHAIN: local, GOFLAGS: -mod=mod}
  - run: go build ./... && echo "\${{ repository.name }} compiles"
    env: {GOFLAGS: -mod=mod, GOPROXY: "off", GOTOOLCHAIN: local, GOCACHE: /tmp/go-build, GOPATH: /tmp/go, CGO_ENABLED: "0"}
    outputs:
      compiled: {value: "\${{ step.stdout }}"}
changesetTemplate:
  title: Use any for interface{}
  body: "\${{ len steps.modified_files }} files changed. \${{ outputs.compiled }}"
  branch: glovebox/use-any
  commit: {message: "Use any for interface{}"}
  published: false
YAML
}

echo "== making git repositories of six of our dependencies in $data/repos"
for m in "${modules[@]}"; do
    make_repo "$m" "$data/repos/$(basename "$m")"
done

echo "== starting server and executor"
"$glovebox" dev --data "$data/server" --runtime "$runtime" --json --log-level warn >"$data/dev.json" 2>"$data/dev.log" &
server_pid=$!
for _ in $(seq 300); do
    [ -s "$data/dev.json" ] && break
    kill -0 "$server_pid" 2>/dev/null || { cat "$data/dev.log" >&2; exit 1; }
    sleep 0.1
done
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$data/dev.json"; }
GLOVEBOX_SERVER=$(field url)
GLOVEBOX_TOKEN=$(field token)
export GLOVEBOX_SERVER GLOVEBOX_TOKEN
[ -n "$GLOVEBOX_SERVER" ] || { cat "$data/dev.log" >&2; exit 1; }

for m in "${modules[@]}"; do
    "$glovebox" repo add "$m" "$data/repos/$(basename "$m")" >/dev/null
done

echo "== a batch change over all six: gofmt -r, go mod edit and go build, each repository in a sandbox of its own"
spec_file >"$data/use-any.yaml"
"$glovebox" batch preview "$data/use-any.yaml" -o "$data/diffs" --diff 2>"$data/preview.log" >"$data/all.diff" &
preview=$!
tail --pid=$preview -n +1 -f "$data/preview.log" | sed -u 's/^/   /' || true
code=0
wait $preview || code=$?

echo
echo "== the beginnings of the diffs"
for m in "${modules[@]}"; do
    patch=$data/diffs/$m.patch
    [ -f "$patch" ] || { echo "   $m: nothing to change"; continue; }
    git -C "$data/repos/$(basename "$m")" apply --check --index "$patch"
    echo "   $m: $(git -C "$data/repos/$(basename "$m")" apply --stat "$patch" | tail -n 1)"
    grep -m 6 '^[-+][^-+]' "$patch" | sed 's/^/      /' || true
done
echo "   all of it: $data/all.diff; a patch each: $data/diffs"

echo
echo "== once more: every step's result is in the cache"
"$glovebox" batch preview "$data/use-any.yaml" -o "$data/diffs" 2>&1 | sed -u 's/^/   /'

echo
echo "== the batch change"
"$glovebox" batch show use-any
if [ "$code" != 0 ]; then
    echo "the batch change did not go well everywhere; the server's log: $data/dev.log" >&2
    exit 1
fi
if [ -n "${KEEP:-}" ]; then
    echo
    echo "The server goes on (process $server_pid, data in $data). Log in here, then see the batch change:"
    echo "   $(field login)"
    echo "   $GLOVEBOX_SERVER/batch-changes/use-any"
    echo "   GLOVEBOX_SERVER=$GLOVEBOX_SERVER GLOVEBOX_TOKEN=$GLOVEBOX_TOKEN"
    disown "$server_pid"
    server_pid=
else
    echo "The diffs are in $data/diffs. The batch change's page was $GLOVEBOX_SERVER/batch-changes/use-any; make demo KEEP=1 leaves it running."
fi
