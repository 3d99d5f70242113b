package archtest

import "strings"

const module = "github.com/glovebox-dev/glovebox"

// A rule says what the packages that from matches may not import, and why. Paths
// are relative to the module ("" is the root package) or, with a dot in the first part,
// modules of others; "x/..." means x and all beneath it, "x/*" what lies directly
// beneath. except lists packages that from does not mean.
type rule struct {
	from   string
	except []string
	deny   []string
	// allow takes packages out of deny.
	allow []string
	// tests: the rule holds for _test.go files too.
	tests bool
	why   string
}

var rules = []rule{
	{from: "", deny: []string{"internal/...", "api/...", "cmd/...", "external"}, why: "the root package holds the nouns: the standard library only, no I/O"},
	{from: "api/...", deny: []string{"internal/...", "cmd/..."}, why: "api is the public wire contract: others import it, so it may lean on the root package only"},
	{from: "...", except: []string{"cmd/glovebox", "scripts/seccomp"}, deny: []string{"gvisor.dev/..."}, tests: true, why: "only cmd/glovebox links gVisor: it costs minutes to compile and a re-executed binary must reach it first"},
	{from: "internal/executor/...", deny: []string{"internal/server/...", "internal/store/...", "internal/gitgateway/...", "internal/web/...", "api/..."}, why: "the executor serves any Source: our API, Sourcegraph's, one local job"},
	{from: "internal/executor/...", deny: []string{"internal/sandbox/..."}, allow: []string{"internal/sandbox"}, why: "the executor knows the Runtime contract, not any one runtime: cli hands them in"},
	{from: "internal/server/...", deny: []string{"internal/executor/...", "internal/sandbox/...", "internal/workspace/...", "internal/disk/...", "internal/cachefolder/...", "internal/egress/...", "internal/image/..."}, why: "a server never starts code"},
	{from: "internal/web/...", deny: []string{"internal/executor/...", "internal/sandbox/...", "internal/workspace/...", "internal/disk/...", "internal/egress/...", "internal/image/...", "internal/store/..."}, why: "pages read through interfaces of their own; a server never starts code"},
	{from: "internal/gitgateway/...", deny: []string{"internal/executor/...", "internal/sandbox/...", "internal/workspace/...", "internal/store/...", "internal/server/..."}, why: "the gateway serves git for one live job token and knows nothing else"},
	{from: "internal/queue/...", deny: []string{"internal/store/...", "internal/server/...", "internal/web/...", "internal/executor/...", "internal/sandbox/...", "internal/blob/...", "api/..."}, why: "the queue is a state machine over a Store; who stores and who serves is not its business"},
	{from: "internal/store/...", deny: []string{"internal/server/...", "internal/web/...", "internal/executor/...", "internal/sandbox/...", "api/..."}, why: "the store holds rows: it knows the queue's Store contract and the nouns"},
	{from: "internal/blob/...", deny: []string{"internal/..."}, allow: []string{"internal/blob/..."}, why: "blob keeps bytes under keys and knows nothing else of ours"},
	{from: "internal/logs/...", deny: []string{"internal/..."}, allow: []string{"internal/blob/...", "internal/logs/..."}, why: "logs move records: sources and sandboxes are handed in as interfaces"},
	{from: "internal/git/...", deny: []string{"internal/..."}, allow: []string{"internal/git/..."}, why: "git is a hardened exec and nothing else"},
	{from: "internal/document/...", deny: []string{"internal/...", "api/..."}, allow: []string{"internal/document/..."}, why: "a document is text in, values out, whatever it is about"},
	{from: "internal/jobfile/...", deny: []string{"internal/...", "api/..."}, allow: []string{"internal/jobfile/...", "internal/document/..."}, why: "a job file is text in, JobSpec out"},
	{from: "internal/glob/...", deny: []string{"internal/..."}, allow: []string{"internal/glob/..."}, why: "a glob is text in, a matcher out"},
	{from: "internal/batch/local/...", deny: []string{"internal/server/...", "internal/store/...", "internal/gitgateway/...", "internal/changeset/...", "internal/cli/...", "internal/sandbox/...", "api/..."}, why: "a run on this host needs no server, and knows the executor, not any one runtime"},
	{from: "internal/patch/...", deny: []string{"internal/..."}, allow: []string{"internal/patch/..."}, why: "patch reads git's diffs and knows nothing else of ours"},
	{from: "internal/batch/...", except: []string{"internal/batch/local"}, deny: []string{"internal/...", "api/..."}, allow: []string{"internal/batch/...", "internal/document/...", "internal/glob/...", "internal/patch/...", "internal/template/..."}, why: "a batch change is text and values in, values out: who runs, stores and publishes is not its business"},
	{from: "internal/template/...", deny: []string{"internal/...", "api/..."}, allow: []string{"internal/template/...", "internal/glob/..."}, why: "templates are a language: who evaluates them, and over what, is handed in"},
	{from: "internal/codehost/...", deny: []string{"internal/...", "api/...", "cmd/..."}, allow: []string{"internal/codehost/...", "internal/git/...", "internal/testenv"}, why: "a code host is asked by whoever publishes: it knows git and nothing else of ours"},
	{from: "...", except: []string{"internal/codehost"}, deny: []string{"github.com/google/go-github/...", "gitlab.com/..."}, tests: true, why: "each code host's client stays behind codehost.Host"},
	{from: "...", deny: []string{"code.gitea.io/..."}, tests: true, why: "its initialisation takes over a millisecond, and each process of a sandbox is our binary executed again: internal/codehost has the few calls"},
	{from: "internal/changeset/...", deny: []string{"internal/server/...", "internal/store/...", "internal/web/...", "internal/executor/...", "internal/sandbox/...", "internal/workspace/...", "api/...", "database/sql"}, why: "batch changes on a server are followed and published through what is handed in: who stores and who serves is not their business, and a server never starts code"},
	{from: "internal/stepstore/...", deny: []string{"internal/..."}, allow: []string{"internal/stepstore/...", "internal/blob/..."}, why: "the step cache keeps bytes under keys: rows are handed in"},
	{from: "internal/image/...", deny: []string{"internal/sandbox/...", "internal/executor/...", "internal/workspace/...", "internal/server/...", "internal/queue/..."}, why: "image turns references into folders; it must not know jobs, runtimes or sandboxes"},
	{from: "internal/disk/...", deny: []string{"internal/sandbox/...", "internal/executor/...", "internal/server/...", "internal/queue/..."}, why: "disk bounds a folder and knows nothing of who fills it"},
	{from: "internal/cachefolder/...", deny: []string{"internal/..."}, allow: []string{"internal/cachefolder/...", "internal/disk"}, why: "cachefolder keeps bounded folders by names and knows nothing of who fills them"},
	{from: "internal/egress/...", deny: []string{"internal/sandbox/...", "internal/executor/...", "internal/server/...", "internal/queue/..."}, why: "egress is one model of policy for every runtime"},
	{from: "internal/workspace/...", deny: []string{"internal/sandbox/...", "internal/executor/...", "internal/server/...", "internal/queue/...", "api/..."}, why: "a workspace is a checkout; what runs in it is not its business"},
	{from: "internal/localrepo/...", deny: []string{"internal/..."}, allow: []string{"internal/localrepo/...", "internal/git"}, why: "localrepo reads repositories on this host and knows nothing else of ours"},
	{from: "internal/sandbox", deny: []string{"internal/sandbox/...", "internal/executor/...", "internal/server/...", "internal/queue/..."}, allow: []string{"internal/sandbox"}, why: "the contract must not know the runtimes"},
	{from: "internal/sandbox/view/...", deny: []string{"internal/..."}, allow: []string{"internal/sandbox", "internal/sandbox/view/..."}, why: "every runtime shows files in one way; view must not know which asks"},
	{from: "internal/sandbox/gvisor/...", deny: []string{"internal/sandbox/docker/...", "internal/sandbox/fake/...", "internal/sandbox/all/..."}, why: "runtimes never import each other"},
	{from: "internal/sandbox/docker/...", deny: []string{"internal/sandbox/gvisor/...", "internal/sandbox/fake/...", "internal/sandbox/all/..."}, why: "runtimes never import each other"},
	{from: "internal/sandbox/fake/...", deny: []string{"internal/sandbox/gvisor/...", "internal/sandbox/docker/...", "internal/sandbox/all/..."}, why: "runtimes never import each other"},
	{from: "...", except: []string{"internal/sandbox/fake", "internal/sandbox/sandboxtest", "bench"}, deny: []string{"internal/sandbox/fake/..."}, why: "the fake runtime isolates nothing: only test binaries and the measurements may link it"},
	{from: "...", except: []string{"cmd/glovebox", "e2e", "bench", "internal/cli"}, deny: []string{"internal/cli/..."}, tests: true, why: "cli is the only wiring; nobody leans on it"},
	{from: "...", except: []string{"internal/cli"}, deny: []string{"internal/compat/..."}, why: "compat is a leaf: deleting it breaks one file of cli"},
	{from: "...", except: []string{"internal/testenv", "internal/sandbox/sandboxtest", "internal/queue/queuetest", "internal/changeset/changesettest", "internal/egress/egresstest", "internal/codehost/codehosttest", "internal/codehost/giteatest", "internal/attacktest", "internal/attacktest/table"}, deny: []string{"internal/testenv/...", "testing"}, why: "test code stays out of the binary"},
	{from: "...", except: []string{"internal/cli"}, deny: []string{"github.com/spf13/..."}, why: "flags and environment are read in cli alone"},
	{from: "...", deny: []string{"github.com/pkg/errors", "go.uber.org/zap", "github.com/sirupsen/logrus", "math/rand"}, why: "the standard library does it: errors, log/slog, crypto/rand or math/rand/v2"},
	{from: "...", deny: []string{"github.com/santhosh-tekuri/jsonschema/..."}, why: "its initialisation takes milliseconds, and each process of a sandbox is our binary executed again: tests only"},
	{from: "cmd/...", deny: []string{"internal/..."}, allow: []string{"internal/cli"}, why: "a main wires nothing: internal/cli does"},
}

// forbiddenNames are package names that say nothing, or that the glossary replaces.
var forbiddenNames = map[string]string{
	"util": "name what it holds", "utils": "name what it holds", "helper": "name what it does", "helpers": "name what it does",
	"common": "name what it holds", "types": "put a type where it is used", "misc": "name what it holds", "shared": "name what it holds",
	"base": "name what it is the base of", "lib": "name what it holds", "pkg": "internal/ is where packages go", "models": "nouns live in the root package",
	"worker": "we say executor", "agent": "we say executor", "runner": "we say executor", "task": "we say job", "pipeline": "we say job",
	"engine": "we say runtime", "backend": "say which one", "manager": "say what it owns", "service": "say what it serves",
}

// matches reports whether a package path fits a pattern.
func matches(pattern, path string) bool {
	switch {
	case pattern == "...":
		return true
	case pattern == "external":
		first, _, _ := strings.Cut(path, "/")
		return strings.Contains(first, ".")
	case strings.HasSuffix(pattern, "/..."):
		base := strings.TrimSuffix(pattern, "/...")
		return path == base || strings.HasPrefix(path, base+"/")
	}
	return pattern == path
}

func matchesAny(patterns []string, path string) bool {
	for _, p := range patterns {
		if matches(p, path) {
			return true
		}
	}
	return false
}

// breaks returns the reason why a file of package from may not import path, "" if it may.
func breaks(from, path string, test bool) string {
	for _, r := range rules {
		if test && !r.tests {
			continue
		}
		if matches(r.from, from) && !matchesAny(r.except, from) && matchesAny(r.deny, path) && !matchesAny(r.allow, path) {
			return r.why
		}
	}
	return ""
}
