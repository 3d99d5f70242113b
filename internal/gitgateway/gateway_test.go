package gitgateway

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/glovebox-dev/glovebox"
)

// run runs git in dir as a test's author would, and returns what it wrote.
func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := tryRun(dir, args...)
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(out)
}

func tryRun(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// origin makes a repository with two commits on main, a branch and a tag.
func origin(t *testing.T) (dir, first, second string) {
	t.Helper()
	dir = t.TempDir()
	run(t, dir, "init", "-q", "-b", "main")
	first = commit(t, dir, "a.txt", "one")
	run(t, dir, "branch", "side/branch")
	second = commit(t, dir, "a.txt", "two")
	run(t, dir, "tag", "-a", "-m", "t", "v1")
	return dir, first, second
}

func commit(t *testing.T, dir, file, content string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "add", "-A")
	run(t, dir, "commit", "-q", "-m", content)
	return run(t, dir, "rev-parse", "HEAD")
}

type counts struct{ fetches, serves atomic.Int64 }

func newGateway(t *testing.T) (*Gateway, *counts) {
	t.Helper()
	var n counts
	g, err := New(Config{Dir: t.TempDir(), MaxBody: 1 << 20, Observe: func(o Observation) {
		if o.Kind == "fetch" {
			n.fetches.Add(1)
		} else {
			n.serves.Add(1)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return g, &n
}

func TestResolve(t *testing.T) {
	dir, first, second := origin(t)
	g, n := newGateway(t)
	repo := glovebox.Repository{Name: "local/app", URL: dir}
	for rev, want := range map[string]string{
		"": second, "main": second, "HEAD": second, "refs/heads/main": second, "side/branch": first,
		"v1": second, "refs/tags/v1": second, first: first, first[:10]: first,
	} {
		if got, err := g.Resolve(t.Context(), repo, rev); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", rev, got, err, want)
		}
	}
	if got := n.fetches.Load(); got != 1 {
		t.Errorf("%d fetches for commits that one brings", got)
	}
	for _, rev := range []string{"nosuch", strings.Repeat("0", 40), "deadbeef"} {
		if _, err := g.Resolve(t.Context(), repo, rev); !errors.Is(err, glovebox.ErrNotFound) {
			t.Errorf("%q: %v", rev, err)
		}
	}
	for _, rev := range []string{"-x", "--upload-pack=touch /tmp/x", "main..side", "main:a.txt", "main^", "@{1}", "a b", "a\nb", "refs/*"} {
		if _, err := g.Resolve(t.Context(), repo, rev); err == nil {
			t.Errorf("%q was accepted", rev)
		}
	}
	// What is pushed later is seen at once.
	third := commit(t, dir, "a.txt", "three")
	if got, err := g.Resolve(t.Context(), repo, "main"); err != nil || got != third {
		t.Errorf("after a push: %s, %v", got, err)
	}
}

func TestOneFetchServesAllWhoWait(t *testing.T) {
	dir, _, second := origin(t)
	g, n := newGateway(t)
	repo := glovebox.Repository{Name: "r", URL: dir}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := g.Ensure(t.Context(), repo, second); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := n.fetches.Load(); got != 1 {
		t.Errorf("%d fetches", got)
	}
}

func TestCommitThatNoBranchLeadsTo(t *testing.T) {
	dir, _, second := origin(t)
	run(t, dir, "config", "uploadpack.allowAnySHA1InWant", "true")
	run(t, dir, "checkout", "-q", "--detach")
	lost := commit(t, dir, "a.txt", "lost")
	run(t, dir, "checkout", "-q", "main")
	g, _ := newGateway(t)
	repo := glovebox.Repository{Name: "r", URL: dir}
	if got, err := g.Resolve(t.Context(), repo, lost); err != nil || got != lost {
		t.Fatalf("%s, %v", got, err)
	}
	url := serve(t, g, repo)
	if out := run(t, t.TempDir(), "ls-remote", url+"/git/r"); strings.Contains(out, lost) || !strings.Contains(out, second) {
		t.Errorf("advertised:\n%s", out)
	}
}

func TestHostileOrigins(t *testing.T) {
	g, _ := newGateway(t)
	marker := filepath.Join(t.TempDir(), "marker")
	for _, url := range []string{"ext::sh -c touch% " + marker, "-u/x", "--upload-pack=touch " + marker, "fd::0", "ftp://example.com/x", "relative/path", "https://-oProxyCommand=x/y"} {
		if _, err := g.Resolve(t.Context(), glovebox.Repository{Name: "r", URL: url}, "main"); err == nil {
			t.Errorf("%q was accepted", url)
		}
	}
	// A repository whose own config and hooks would run commands.
	dir, _, second := origin(t)
	run(t, dir, "config", "uploadpack.packObjectsHook", "touch "+marker+";")
	run(t, dir, "config", "core.fsmonitor", "touch "+marker)
	repo := glovebox.Repository{Name: "r", URL: dir}
	if err := g.Ensure(t.Context(), repo, second); err != nil {
		t.Fatal(err)
	}
	// A mirror that was tampered with must not run anything either.
	mirror := g.directory(repo)
	run(t, mirror, "config", "uploadpack.packObjectsHook", "touch "+marker+";")
	clone := t.TempDir()
	run(t, clone, "clone", "-q", serve(t, g, repo)+"/git/r", "c")
	if _, err := os.Stat(marker); err == nil {
		t.Error("a command of the repository was run")
	}
}

func TestOriginWithAnotherAddressHasAnotherMirror(t *testing.T) {
	one, _, _ := origin(t)
	two, _, secondOfTwo := origin(t)
	onlyTwo := commit(t, two, "b.txt", "only two")
	g, _ := newGateway(t)
	if _, err := g.Resolve(t.Context(), glovebox.Repository{Name: "r", URL: two}, onlyTwo); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Resolve(t.Context(), glovebox.Repository{Name: "r", URL: one}, onlyTwo); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("a commit of the repository that had the name before: %v", err)
	}
	repo := glovebox.Repository{Name: "r", URL: two}
	if err := g.Remove(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(g.directory(repo)); err == nil {
		t.Error("the mirror is still there")
	}
	if _, err := g.Resolve(t.Context(), repo, secondOfTwo); err != nil {
		t.Errorf("after a removal: %v", err)
	}
}
