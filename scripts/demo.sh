#!/usr/bin/env bash
# Shows Glovebox at work: makes six of our own dependencies git repositories, starts server and
# executor, and submits for each a job that rewrites interface{} to any and compiles the result in a
# gVisor sandbox with no network. Needs no Docker and no registry.
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

job_file() { # MODULE: a job on its repository
    cat <<YAML
name: "interface{} to any: $1"
repo: {name: "$1", rev: main}
steps:
  - {key: rewrite, image: host, run: "gofmt -w -r 'interface{} -> any' ."}
  - {key: language, image: host, run: "go mod edit -go=1.21", env: {GOTOOLCHAIN: local, GOFLAGS: -mod=mod}}
  - key: compile
    image: host
    run: go build ./... && echo "$1 compiles"
    env: {GOFLAGS: -mod=mod, GOPROXY: "off", GOTOOLCHAIN: local, GOCACHE: /tmp/go-build, GOPATH: /tmp/go, CGO_ENABLED: 0}
limits: {memory: 2G, cpus: 2, timeout: 15m}
network: none
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

echo "== submitting a job for each"
ids=()
for m in "${modules[@]}"; do
    "$glovebox" repo add "$m" "$data/repos/$(basename "$m")" >/dev/null
    id=$(job_file "$m" | "$glovebox" job submit -)
    ids+=("$id")
    echo "   $m  $GLOVEBOX_SERVER/jobs/$id"
done

failed=0
for i in "${!ids[@]}"; do
    id=${ids[$i]} name=$(basename "${modules[$i]}")
    echo
    echo "== ${modules[$i]}"
    "$glovebox" job logs -f "$id" 2>&1 | sed -u "s/^/   $name | /" || true
    "$glovebox" job show "$id" | sed -n 's/^\(state\|usage\|diff\|  [a-z]*  *completed\|  [a-z]*  *failed\)/   \1/p'
    if [ "$("$glovebox" job show "$id" --json | sed -n 's/^  "state": "\(.*\)",*$/\1/p')" != completed ]; then
        failed=1
        continue
    fi
    "$glovebox" job diff "$id" >"$data/diffs/$name.patch"
    git -C "$data/repos/$name" apply --stat "$data/diffs/$name.patch" | tail -n 1 | sed "s/^/   /"
    git -C "$data/repos/$name" apply --check --index "$data/diffs/$name.patch"
    echo "   the full diff: $data/diffs/$name.patch"
done

echo
echo "== jobs"
"$glovebox" job list --limit 10
if [ "$failed" != 0 ]; then
    echo "a job did not complete; the server's log: $data/dev.log" >&2
    exit 1
fi
if [ -n "${KEEP:-}" ]; then
    echo
    echo "The server goes on (process $server_pid, data in $data). Open this page:"
    echo "   $(field login)"
    echo "   GLOVEBOX_SERVER=$GLOVEBOX_SERVER GLOVEBOX_TOKEN=$GLOVEBOX_TOKEN"
    disown "$server_pid"
    server_pid=
else
    echo "The diffs are in $data/diffs. The pages are gone with the server; make demo KEEP=1 leaves it running."
fi
