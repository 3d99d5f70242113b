package localrepo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
)

// changedBy makes a clone at a folder, and a diff against its commit.
func changedBy(t *testing.T, dir string) (commit, diff string) {
	t.Helper()
	commit = clone(t, dir)
	write(t, filepath.Join(dir, "a.txt"), "one\nTWO\nthree\n")
	write(t, filepath.Join(dir, "new/file"), "new\x00\xff")
	do(t, os.Remove(filepath.Join(dir, "sub/b.go")), os.Symlink("a.txt", filepath.Join(dir, "link")))
	run(t, dir, "add", "-A")
	diff = run(t, dir, "diff", "--cached", "--binary", "--full-index", "HEAD") + "\n"
	run(t, dir, "reset", "-q", "--hard")
	return commit, diff
}

func TestApply(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r")
	commit, diff := changedBy(t, dir)
	mark := filepath.Join(t.TempDir(), "mark")
	for _, kv := range [][2]string{{"filter.evil.clean", "touch " + mark + ";cat"}, {"filter.evil.smudge", "touch " + mark + ";cat"}, {"filter.evil.process", "touch " + mark}, {"filter.evil.required", "true"}, {"core.fsmonitor", "touch " + mark}, {"core.worktree", t.TempDir()}} {
		run(t, dir, "config", kv[0], kv[1])
	}
	write(t, filepath.Join(dir, ".git/info/attributes"), "* filter=evil\n")
	write(t, filepath.Join(dir, ".git/hooks/post-index-change"), "#!/bin/sh\ntouch "+mark+"\n")
	do(t, os.Chmod(filepath.Join(dir, ".git/hooks/post-index-change"), 0o755))
	write(t, filepath.Join(dir, "mine.txt"), "not committed, not touched")
	r, err := Open(dir)
	do(t, err, Apply(t.Context(), r, commit, strings.NewReader(diff)))
	if got, _ := os.ReadFile(filepath.Join(dir, "a.txt")); string(got) != "one\nTWO\nthree\n" {
		t.Errorf("%q", got)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "new/file")); string(got) != "new\x00\xff" {
		t.Errorf("%q", got)
	}
	if got, _ := os.Readlink(filepath.Join(dir, "link")); got != "a.txt" {
		t.Errorf("link to %q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "sub/b.go")); err == nil {
		t.Error("the deleted file is there")
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the clone ran a program")
	}
	if err := Apply(t.Context(), r, commit, strings.NewReader(diff)); !errors.Is(err, glovebox.ErrConflict) {
		t.Errorf("a second time: %v", err)
	}
}

func TestApplyAllOrNothing(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"changed":  func(dir string) error { return os.WriteFile(dir+"/a.txt", []byte("mine"), 0o644) },
		"deleted":  func(dir string) error { return os.Remove(dir + "/a.txt") },
		"in place": func(dir string) error { return os.WriteFile(dir+"/link", []byte("mine"), 0o644) },
		"ignored in place": func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/.git/info/exclude", []byte("link\n"), 0o644), os.WriteFile(dir+"/link", []byte("mine"), 0o644))
		},
		"staged": func(dir string) error {
			err := os.WriteFile(dir+"/a.txt", []byte("one\ntwo\nthree\nfour\n"), 0o644)
			run(t, dir, "add", "a.txt")
			return err
		},
		"other commit": func(dir string) error { run(t, dir, "commit", "-q", "--allow-empty", "-m", "x"); return nil },
	} {
		dir := filepath.Join(t.TempDir(), "r")
		commit, diff := changedBy(t, dir)
		do(t, spoil(dir))
		before := run(t, dir, "status", "--porcelain", "--ignored")
		r, err := Open(dir)
		do(t, err)
		if err := Apply(t.Context(), r, commit, strings.NewReader(diff)); !errors.Is(err, glovebox.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
		if after := run(t, dir, "status", "--porcelain", "--ignored"); after != before {
			t.Errorf("%s: was %q, is %q", name, before, after)
		}
	}
	dir := filepath.Join(t.TempDir(), "r")
	commit, diff := changedBy(t, dir)
	r, err := Open(dir)
	do(t, err)
	outside := t.TempDir()
	do(t, os.Symlink(outside, filepath.Join(dir, "out")))
	add := func(path string) string {
		return "diff --git a/" + path + " b/" + path + "\nnew file mode 100644\n--- /dev/null\n+++ b/" + path + "\n@@ -0,0 +1 @@\n+x\n"
	}
	for _, hostile := range []string{add("../x"), add("/x"), add(".git/config"), add("sub/.GIT/x"), diff + "diff --git a/no b/no\n--- a/no\n+++ b/no\n@@ -1 +1 @@\n-a\n+b\n", "garbage", diff[:len(diff)-40],
		"diff --git a/m b/m\nnew file mode 160000\n--- /dev/null\n+++ b/m\n@@ -0,0 +1 @@\n+Subproject commit " + commit + "\n", add("out/x")} {
		if err := Apply(t.Context(), r, commit, strings.NewReader(hostile)); err == nil {
			t.Errorf("applied: %.60q", hostile)
		}
	}
	if got := run(t, dir, "status", "--porcelain"); got != "?? out" {
		t.Errorf("something was left: %q", got)
	}
	if left, _ := os.ReadDir(outside); len(left) != 0 {
		t.Errorf("written outside: %v", left)
	}
}
