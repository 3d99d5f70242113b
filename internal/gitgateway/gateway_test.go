package gitgateway

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// serve serves the one repository at every address that Parse allows.
func serve(t *testing.T, g *Gateway, repo glovebox.Repository) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, op, err := Parse(r, strings.TrimPrefix(r.URL.Path, "/git/"))
		if err == nil && name != repo.Name {
			err = glovebox.ErrNotFound
		}
		if err == nil {
			err = g.Serve(w, r, repo, op)
		}
		switch {
		case errors.Is(err, glovebox.ErrForbidden):
			http.Error(w, err.Error(), http.StatusForbidden)
		case errors.Is(err, glovebox.ErrTooLarge):
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		case errors.Is(err, glovebox.ErrNotFound):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
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

func TestFetchByCommitShallowAndFiltered(t *testing.T) {
	dir, first, _ := origin(t)
	g, _ := newGateway(t)
	repo := glovebox.Repository{Name: "local/app", URL: dir}
	if err := g.Ensure(t.Context(), repo, first); err != nil {
		t.Fatal(err)
	}
	url := serve(t, g, repo) + "/git/local/app"
	for _, version := range []string{"2", "0"} {
		clone := t.TempDir()
		run(t, clone, "init", "-q")
		run(t, clone, "-c", "protocol.version="+version, "fetch", "-q", "--depth=1", url, first)
		if got := run(t, clone, "rev-list", "--count", "FETCH_HEAD"); got != "1" {
			t.Errorf("version %s: a shallow fetch brought %s commits", version, got)
		}
		if got := run(t, clone, "show", "FETCH_HEAD:a.txt"); got != "one" {
			t.Errorf("version %s: file is %q", version, got)
		}
	}
	bare := t.TempDir()
	run(t, bare, "clone", "-q", "--bare", "--filter=blob:none", url, ".")
	if got := run(t, bare, "rev-list", "--objects", "--all", "--missing=print"); !strings.Contains(got, "?") {
		t.Errorf("a filtered clone misses no blob:\n%s", got)
	}
	if out, err := tryRun(bare, "fetch", "-q", "--filter=sparse:oid="+first, "--refetch", url, first); err == nil {
		t.Errorf("a costly filter was allowed: %s", out)
	}
}

func TestOnlyFetchesAreServed(t *testing.T) {
	dir, _, second := origin(t)
	g, _ := newGateway(t)
	repo := glovebox.Repository{Name: "r", URL: dir}
	if err := g.Ensure(t.Context(), repo, second); err != nil {
		t.Fatal(err)
	}
	base := serve(t, g, repo)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/git/r/info/refs?service=git-receive-pack", 403},
		{"POST", "/git/r/git-receive-pack", 403},
		{"GET", "/git/r/info/refs", 404},
		{"GET", "/git/r/info/refs?service=git-upload-pack&x=1", 404},
		{"GET", "/git/r/info/refs?service=git-upload-archive", 404},
		{"GET", "/git/r/HEAD", 404},
		{"GET", "/git/r/objects/info/packs", 404},
		{"GET", "/git/r/config", 404},
		{"GET", "/git/other/info/refs?service=git-upload-pack", 404},
		{"POST", "/git/r/git-upload-pack", 404}, // no content type
		{"PUT", "/git/r/info/refs?service=git-upload-pack", 404},
	} {
		req, _ := http.NewRequest(c.method, base+c.path, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, resp.StatusCode, c.want)
		}
	}
	if out, err := tryRun(dir, "push", base+"/git/r", "main:evil"); err == nil {
		t.Errorf("a push was accepted: %s", out)
	}
}

func post(t *testing.T, url, encoding string, body []byte) int {
	t.Helper()
	req, _ := http.NewRequest("POST", url, bytes.NewReader(body))
	req.Header.Set("Content-Type", contentRequest)
	req.Header.Set("Git-Protocol", "version=2")
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestBodiesAreBounded(t *testing.T) {
	dir, _, second := origin(t)
	g, _ := newGateway(t)
	repo := glovebox.Repository{Name: "r", URL: dir}
	if err := g.Ensure(t.Context(), repo, second); err != nil {
		t.Fatal(err)
	}
	url := serve(t, g, repo) + "/git/r/git-upload-pack"
	// A valid beginning keeps git reading: arguments of an ls-refs command without end.
	endless := append([]byte("0014command=ls-refs\n0001"), bytes.Repeat([]byte("0014ref-prefix aaaaa"), 200_000)...)
	if got := post(t, url, "", endless); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a body over the limit: %d", got)
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(endless)
	z.Close()
	if bomb.Len() > 1<<18 {
		t.Fatalf("the bomb has %d bytes", bomb.Len())
	}
	if got := post(t, url, "gzip", bomb.Bytes()); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a gzip bomb: %d", got)
	}
	if got := post(t, url, "gzip", []byte("not gzip")); got != http.StatusBadRequest {
		t.Errorf("a body that is not gzip: %d", got)
	}
	if got := post(t, url, "br", []byte("x")); got != http.StatusBadRequest {
		t.Errorf("an unknown encoding: %d", got)
	}
	var small bytes.Buffer
	z = gzip.NewWriter(&small)
	z.Write([]byte("0014command=ls-refs\n00010000"))
	z.Close()
	if got := post(t, url, "gzip", small.Bytes()); got != http.StatusOK {
		t.Errorf("a small gzip body: %d", got)
	}
}

// A Git-Protocol header that is not the one known value reaches no environment.
func TestProtocolHeaderIsNotPassedThrough(t *testing.T) {
	dir, _, second := origin(t)
	g, _ := newGateway(t)
	repo := glovebox.Repository{Name: "r", URL: dir}
	if err := g.Ensure(t.Context(), repo, second); err != nil {
		t.Fatal(err)
	}
	url := serve(t, g, repo) + "/git/r/info/refs?service=git-upload-pack"
	for header, v2 := range map[string]bool{"version=2": true, "version=2:x": false, "version=1": false, "x=1:version=2": false, "$(id)": false} {
		req, _ := http.NewRequest("GET", url, nil)
		req.Header.Set("Git-Protocol", header)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		body.ReadFrom(resp.Body)
		resp.Body.Close()
		if got := bytes.Contains(body.Bytes(), []byte("version 2")); got != v2 || resp.StatusCode != 200 {
			t.Errorf("%q: status %d, protocol 2 is %v", header, resp.StatusCode, got)
		}
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

// A client that leaves in the middle takes its git process with it.
func TestClientLeaves(t *testing.T) {
	dir, _, second := origin(t)
	g, n := newGateway(t)
	repo := glovebox.Repository{Name: "r", URL: dir}
	if err := g.Ensure(t.Context(), repo, second); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(serve(t, g, repo), "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /git/r/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 1000\r\n\r\n0014command=ls-refs\n", contentRequest)
	conn.Close()
	for deadline := time.Now().Add(20 * time.Second); n.serves.Load() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the git process goes on")
		}
		<-time.After(10 * time.Millisecond)
	}
}
