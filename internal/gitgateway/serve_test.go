package gitgateway

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
)

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
