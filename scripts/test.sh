#!/usr/bin/env bash
# Runs all tiers of tests: installs what the machine lacks (Debian or Ubuntu, as root), starts a
# private Docker daemon, builds the binary and a Gitea, and runs "go test ./..." so that a skipped tier fails.
# Arguments are handed to "go test" instead of ./...
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '== %s\n' "$*" >&2; }

if [ "$(id -u)" != 0 ]; then
    echo "make test needs root: sandboxes, mounts and network namespaces are tested for real (make test-fast does not)" >&2
    exit 1
fi

# Programs and the Debian packages that bring them.
install_missing() {
    local missing=()
    need() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || missing+=("$2"); }
    need dockerd docker.io
    need docker docker.io
    need nft nftables
    need iptables iptables
    need ip iproute2
    need mkfs.ext4 e2fsprogs
    need git git
    # The SQLite of the Gitea that scripts/gitea.sh builds is C.
    need gcc gcc
    [ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
    need flock util-linux
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
    [ ${#missing[@]} = 0 ] && return
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Packages that would start a daemon of their own are kept from doing so.
    local policy=/usr/sbin/policy-rc.d made=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
        made=1
    fi
    local ok=0
    apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 || ok=1
    [ -n "$made" ] && rm -f $policy
    return $ok
}

state=$(mktemp -d /tmp/glovebox-test.XXXXXX)
dockerd_pid=
cleanup() {
    local code=$?
    trap - EXIT INT TERM
    if [ -n "$dockerd_pid" ] && kill -0 "$dockerd_pid" 2>/dev/null; then
        kill "$dockerd_pid"
        wait "$dockerd_pid" 2>/dev/null || true
    fi
    # What the daemon left mounted, deepest first; only beneath our own folder.
    awk -v dir="$state/" 'index($2, dir) == 1 {print $2}' /proc/mounts | sort -r | while read -r mount; do
        umount -l "$mount" || true
    done
    rm -rf "$state"
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_dockerd() {
    say "starting a private Docker daemon"
    mkdir -p "$state/docker"
    echo '{}' >"$state/docker/daemon.json"
    PATH=$PATH:/usr/sbin:/sbin dockerd --config-file "$state/docker/daemon.json" --data-root "$state/docker/data" \
        --exec-root "$state/docker/exec" --pidfile "$state/docker/pid" -H "unix://$state/docker/docker.sock" \
        --bridge none --iptables=true >"$state/docker/log" 2>&1 &
    dockerd_pid=$!
    export DOCKER_HOST=unix://$state/docker/docker.sock
    for _ in $(seq 150); do
        docker version >/dev/null 2>&1 && return
        kill -0 "$dockerd_pid" 2>/dev/null || break
        sleep 0.2
    done
    echo "the Docker daemon did not start; its log ends:" >&2
    tail -n 30 "$state/docker/log" >&2
    return 1
}

install_missing
start_dockerd
say "building (the first time compiles gVisor: some minutes)"
make --no-print-directory build

GLOVEBOX_TEST_GITEA=$(scripts/gitea.sh)
export GLOVEBOX_TEST_GITEA

export PATH=$PATH:/usr/sbin:/sbin
export GLOVEBOX_TEST_GVISOR=$PWD/bin/glovebox
export GLOVEBOX_TEST_DOCKER=1
export GLOVEBOX_TEST_CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
export GLOVEBOX_TEST_REQUIRE=gvisor,docker,chromium,root,gitea
export CGO_ENABLED=0
export GLOVEBOX_TEST_ATTACKS=$state/attacks

say "checking gVisor's seccomp programs"
CGO_ENABLED=0 go run ./scripts/seccomp -check

say "testing"
# -p 2: sandboxes and a browser under test have deadlines that a crowded small machine misses.
: >"$GLOVEBOX_TEST_ATTACKS"
code=0
go test -p 2 -timeout 40m "${@:-./...}" || code=$?

say "attacks that were made"
# All that the threat model names must have been made when all tests ran.
document=docs/threat-model.md
[ $# = 0 ] || document=
go run ./internal/attacktest/table "$GLOVEBOX_TEST_ATTACKS" $document || code=1
exit $code
