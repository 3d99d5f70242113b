package codehost_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/codehost"
	"github.com/glovebox-dev/glovebox/internal/git"
)

const patch = "diff --git a/readme b/readme\n--- a/readme\n+++ b/readme\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n"

// mirrors returns a remote and our own bare copy of it.
func mirrors(t *testing.T) (remote, ours string) {
	t.Helper()
	remote, ours = clone(t), t.TempDir()
	if err := git.Run(t.Context(), git.Options{Transports: []string{"file"}}, "clone", "-q", "--bare", "--upload-pack="+git.LocalUploadPack, "--", remote, ours); err != nil {
		t.Fatal(err)
	}
	return remote, ours
}

func pushOptions(t *testing.T, remote, ours string) codehost.PushOptions {
	return codehost.PushOptions{GitDir: ours, Remote: remote, Transports: []string{"file"}, Branch: "batch/logger", BaseRef: "main", Base: rev(t, ours, "main"), Patch: []byte(patch),
		Message: "Use the new logger\n\nBecause.", AuthorName: "Ada", AuthorEmail: "ada@example.org", Date: time.Unix(1_700_000_000, 0), TempDir: t.TempDir()}
}

func show(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := git.Output(t.Context(), git.Options{GitDir: dir}, args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestPush(t *testing.T) {
	remote, ours := mirrors(t)
	objects := show(t, ours, "count-objects", "-v")
	o := pushOptions(t, remote, ours)
	commit, err := codehost.Push(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := rev(t, remote, "refs/heads/batch/logger"); got != commit {
		t.Fatalf("the branch is at %s, want %s", got, commit)
	}
	if got, want := show(t, remote, "log", "-1", "--format=%an %ae %at %cn %P%n%B", commit), "Ada ada@example.org 1700000000 Ada "+o.Base+"\nUse the new logger\n\nBecause.\n\n"; got != want {
		t.Errorf("commit %q, want %q", got, want)
	}
	if got := show(t, remote, "show", commit+":readme"); got != "one\nthree\n" {
		t.Errorf("readme %q", got)
	}
	if got := show(t, ours, "count-objects", "-v"); got != objects {
		t.Errorf("our mirror was written to: %s, before %s", got, objects)
	}
	if left, _ := os.ReadDir(o.TempDir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	// Again, whether it is known that it went well or not: the same commit.
	for _, expect := range []string{"", commit, o.Base} {
		o.Expect = expect
		if again, err := codehost.Push(t.Context(), o); err != nil || again != commit {
			t.Errorf("again, expecting %q: %s, %v", expect, again, err)
		}
	}
	// What changed replaces what we pushed.
	o.Expect, o.Patch = commit, []byte(strings.ReplaceAll(patch, "three", "four"))
	second, err := codehost.Push(t.Context(), o)
	if err != nil || rev(t, remote, "refs/heads/batch/logger") != second || second == commit {
		t.Errorf("second: %s, %v", second, err)
	}
}

func TestPushLeavesForeignCommits(t *testing.T) {
	remote, ours := mirrors(t)
	o := pushOptions(t, remote, ours)
	first, err := codehost.Push(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	bob := git.Options{GitDir: remote, Env: []string{"GIT_AUTHOR_NAME=Bob", "GIT_AUTHOR_EMAIL=bob@example.org", "GIT_COMMITTER_NAME=Bob", "GIT_COMMITTER_EMAIL=bob@example.org"}}
	out, err := git.Output(t.Context(), bob, "commit-tree", "-p", first, "-m", "mine", first+"^{tree}")
	if err != nil {
		t.Fatal(err)
	}
	theirs := strings.TrimSpace(string(out))
	if err := git.Run(t.Context(), bob, "update-ref", "refs/heads/batch/logger", theirs); err != nil {
		t.Fatal(err)
	}
	o.Patch = []byte(strings.ReplaceAll(patch, "three", "five"))
	for _, expect := range []string{first, "", o.Base} {
		o.Expect = expect
		_, err := codehost.Push(t.Context(), o)
		var foreign *codehost.ForeignCommitsError
		if !errors.As(err, &foreign) || !errors.Is(err, codehost.ErrForeignCommits) || foreign.Head != theirs || foreign.Author != "Bob <bob@example.org>" {
			t.Errorf("expecting %q: %v", expect, err)
		}
		if got := rev(t, remote, "refs/heads/batch/logger"); got != theirs {
			t.Fatalf("expecting %q: the branch went to %s", expect, got)
		}
	}
	if err := git.Run(t.Context(), bob, "update-ref", "-d", "refs/heads/batch/logger"); err != nil {
		t.Fatal(err)
	}
	o.Expect = first
	if _, err := codehost.Push(t.Context(), o); !errors.Is(err, codehost.ErrBranchGone) {
		t.Errorf("a deleted branch: %v", err)
	}
}

// TestPushKeepsTheTree pushes what a diff can hold and wants the same tree.
func TestPushKeepsTheTree(t *testing.T) {
	remote, ours := mirrors(t)
	work := t.TempDir()
	o := git.Options{GitDir: ours, WorkTree: work, Dir: work, Env: []string{"GIT_INDEX_FILE=" + filepath.Join(t.TempDir(), "index")}}
	run := func(args ...string) {
		t.Helper()
		if err := git.Run(t.Context(), o, args...); err != nil {
			t.Fatal(err)
		}
	}
	run("read-tree", "main")
	lines := bytes.Repeat([]byte("a line\n"), 1_000_000)
	for name, text := range map[string][]byte{"binary": {0, 1, 2, 255, 0}, "big": lines, "empty": {}, "crlf": []byte("a\r\nb\r\n"), "no-newline": []byte("x"), "späth with \"quotes\"": []byte("x\n"), "script": []byte("#!/bin/sh\n")} {
		if err := os.WriteFile(filepath.Join(work, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("/etc/passwd", filepath.Join(work, "link")), os.Chmod(filepath.Join(work, "script"), 0o755)); err != nil {
		t.Fatal(err)
	}
	run("add", "-A")
	want := strings.TrimSpace(show2(t, o, "write-tree"))
	diff := show2(t, o, "diff", "--cached", "--binary", "--full-index", "--no-color", "main")
	p := pushOptions(t, remote, ours)
	p.Patch = []byte(diff)
	commit, err := codehost.Push(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if got := rev(t, remote, commit+"^{tree}"); got != want {
		t.Errorf("tree %s, want %s", got, want)
	}
}

func show2(t *testing.T, o git.Options, args ...string) string {
	t.Helper()
	out, err := git.Output(t.Context(), o, args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestPushRefuses(t *testing.T) {
	remote, ours := mirrors(t)
	added := func(path string) []byte {
		return []byte("diff --git a/" + path + " b/" + path + "\nnew file mode 100644\n--- /dev/null\n+++ b/" + path + "\n@@ -0,0 +1 @@\n+x\n")
	}
	tests := map[string]struct {
		change func(*codehost.PushOptions)
		want   error
	}{
		"default branch":     {func(o *codehost.PushOptions) { o.Branch, o.BaseRef = "main", "change" }, glovebox.ErrForbidden},
		"base branch":        {func(o *codehost.PushOptions) { o.Branch, o.BaseRef = "change", "refs/heads/change" }, glovebox.ErrForbidden},
		"full ref":           {func(o *codehost.PushOptions) { o.Branch = "refs/heads/main" }, nil},
		"option":             {func(o *codehost.PushOptions) { o.Branch = "--mirror" }, nil},
		"refspec":            {func(o *codehost.PushOptions) { o.Branch = "a:refs/heads/main" }, nil},
		"control characters": {func(o *codehost.PushOptions) { o.Branch = "a\x1b[31m" }, nil},
		"transport":          {func(o *codehost.PushOptions) { o.Transports = nil }, nil},
		"ext transport":      {func(o *codehost.PushOptions) { o.Remote = "ext::sh -c true" }, nil},
		"credentials":        {func(o *codehost.PushOptions) { o.Remote = "https://a:b@example.org/x" }, nil},
		"plain HTTP":         {func(o *codehost.PushOptions) { o.Transports, o.Remote = nil, "http://example.org/x" }, nil},
		"no patch":           {func(o *codehost.PushOptions) { o.Patch = []byte("\n") }, codehost.ErrEmptyPatch},
		"garbage":            {func(o *codehost.PushOptions) { o.Patch = []byte("garbage\n") }, codehost.ErrPatch},
		"does not apply":     {func(o *codehost.PushOptions) { o.Patch = []byte(strings.ReplaceAll(patch, "two", "2")) }, codehost.ErrPatch},
		"path upwards":       {func(o *codehost.PushOptions) { o.Patch = added("../x") }, codehost.ErrPatch},
		"git directory":      {func(o *codehost.PushOptions) { o.Patch = added(".git/config") }, codehost.ErrPatch},
		"GIT~1":              {func(o *codehost.PushOptions) { o.Patch = added("GIT~1/config") }, codehost.ErrPatch},
		"absolute path":      {func(o *codehost.PushOptions) { o.Patch = added("/tmp/x") }, codehost.ErrPatch},
		"unknown base":       {func(o *codehost.PushOptions) { o.Base = strings.Repeat("1", 40) }, nil},
		"author":             {func(o *codehost.PushOptions) { o.AuthorName = "A <x> B" }, nil},
		"message":            {func(o *codehost.PushOptions) { o.Message = "a\x00b" }, nil},
		"no date":            {func(o *codehost.PushOptions) { o.Date = time.Time{} }, nil},
	}
	before := show(t, remote, "for-each-ref")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := pushOptions(t, remote, ours)
			test.change(&o)
			_, err := codehost.Push(t.Context(), o)
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if err != nil && strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("unsafe error %q", err)
			}
		})
	}
	if after := show(t, remote, "for-each-ref"); after != before {
		t.Errorf("refs changed:\n%s\nbefore:\n%s", after, before)
	}
}

// TestPushRunsNoHooks: a local remote may be somebody else's.
func TestPushRunsNoHooks(t *testing.T) {
	remote, ours := mirrors(t)
	mark := filepath.Join(t.TempDir(), "mark")
	for _, dir := range []string{remote, ours} {
		for _, hook := range []string{"pre-receive", "update", "post-receive", "pre-push", "reference-transaction"} {
			if err := errors.Join(os.MkdirAll(filepath.Join(dir, "hooks"), 0o755), os.WriteFile(filepath.Join(dir, "hooks", hook), []byte("#!/bin/sh\ntouch "+mark+"\n"), 0o755)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := codehost.Push(t.Context(), pushOptions(t, remote, ours)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Fatal("a hook ran")
	}
}

func TestPushKeepsTheToken(t *testing.T) {
	_, ours := mirrors(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed: %v", r.Header)
	}))
	defer elsewhere.Close()
	answers := map[string]http.HandlerFunc{
		"unauthorized": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, r.Header.Get("Authorization")+" hunter2secret", http.StatusUnauthorized)
		},
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
		},
		"page": func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>hunter2secret</html>")) },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			o := pushOptions(t, server.URL+"/acme/app.git", ours)
			o.Transports, o.Username, o.Token = nil, "token", "hunter2secret"
			if _, err := codehost.Push(t.Context(), o); err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPlainRemote(t *testing.T) {
	remote, ours := mirrors(t)
	root := filepath.Dir(remote)
	name := filepath.Base(remote)
	h, err := codehost.New(codehost.Config{Kind: codehost.KindGit, URL: root})
	if err != nil {
		t.Fatal(err)
	}
	r, err := h.Repository(t.Context(), name)
	if err != nil || r.DefaultBranch != "main" || r.CloneURL != remote {
		t.Fatalf("%+v, %v", r, err)
	}
	c := codehost.Change{Title: "t", Branch: "batch/logger", Base: "main"}
	if _, err := h.Open(t.Context(), name, c); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("a branch that was not pushed: %v", err)
	}
	commit, err := codehost.Push(t.Context(), pushOptions(t, r.CloneURL, ours))
	if err != nil {
		t.Fatal(err)
	}
	q, err := h.Open(t.Context(), name, c)
	if err != nil || q.ID != "batch/logger" || q.Head != commit || q.State != codehost.StateOpen {
		t.Errorf("%+v, %v", q, err)
	}
	if _, err := h.Close(t.Context(), name, q.ID); !errors.Is(err, glovebox.ErrUnsupported) {
		t.Errorf("close: %v", err)
	}
	if _, err := h.Search(t.Context(), "x"); !errors.Is(err, glovebox.ErrUnsupported) {
		t.Errorf("search: %v", err)
	}
	for _, bad := range []string{"../x", "/etc", "a/../../b", "-x", ""} {
		if _, err := h.Repository(t.Context(), bad); err == nil {
			t.Errorf("name %q was taken", bad)
		}
	}
}
