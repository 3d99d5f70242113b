package localrepo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
)

func TestSnapshot(t *testing.T) {
	dir, store := t.TempDir(), filepath.Join(t.TempDir(), "store")
	write(t, filepath.Join(dir, "a.txt"), "one\r\n")
	write(t, filepath.Join(dir, "lat\xe9in/x\ny"), "\x00\xff")
	write(t, filepath.Join(dir, "run.sh"), "#!/bin/sh\n")
	write(t, filepath.Join(dir, ".gitignore"), "*\n")
	write(t, filepath.Join(dir, ".gitattributes"), "* text eol=crlf filter=evil\n")
	write(t, filepath.Join(dir, "nested/.git/config"), "[core]\n\tfsmonitor = false\n")
	write(t, filepath.Join(dir, "nested/in"), "x")
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "TOPSECRET")
	do(t, os.Chmod(filepath.Join(dir, "run.sh"), 0o755), os.Symlink(secret, filepath.Join(dir, "link")), unix.Mkfifo(filepath.Join(dir, "pipe"), 0o644), os.Symlink("/", filepath.Join(dir, "root")))
	gitDir, commit, err := Snapshot(t.Context(), dir, store)
	do(t, err)
	r, err := Open(gitDir)
	do(t, err)
	list := run(t, gitDir, "ls-tree", "-r", commit)
	for _, want := range []string{"100644 blob", "100755 blob", "120000 blob", ".gitignore", "nested/in", `"lat\351in/x\ny"`} {
		if !strings.Contains(list, want) {
			t.Errorf("no %s in\n%s", want, list)
		}
	}
	if strings.Contains(list, "pipe") || strings.Contains(list, ".git/") || strings.Count(list, "\n") != 7 {
		t.Errorf("%s", list)
	}
	if got := run(t, gitDir, "cat-file", "blob", commit+":link"); got != secret {
		t.Errorf("the link became %q", got)
	}
	if _, head, err := r.Head(t.Context()); err != nil || head != commit {
		t.Error(head, err)
	}
	for range 2 {
		if dir2, again, err := Snapshot(t.Context(), dir, store); err != nil || again != commit || dir2 != gitDir {
			t.Errorf("unchanged, but %s: %v", again, err)
		}
	}
	write(t, filepath.Join(dir, "a.txt"), "two\n")
	do(t, os.Remove(filepath.Join(dir, "run.sh")))
	_, changed, err := Snapshot(t.Context(), dir, store)
	if err != nil || changed == commit || strings.Contains(run(t, gitDir, "ls-tree", "-r", changed), "run.sh") {
		t.Errorf("changed: %s, %v", changed, err)
	}
	if files, err := r.Files(t.Context(), commit); err != nil || len(files) != 8 {
		t.Errorf("the earlier commit: %q, %v", files, err)
	}
}

func TestSnapshotBounds(t *testing.T) {
	dir, store := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "hole"), "")
	do(t, os.Truncate(filepath.Join(dir, "hole"), 100<<30))
	if _, _, err := Snapshot(t.Context(), dir, store); !errors.Is(err, glovebox.ErrTooLarge) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Snapshot(ctx, t.TempDir(), store); err == nil {
		t.Error("canceled, but no error")
	}
	if _, _, err := Snapshot(t.Context(), filepath.Join(dir, "nothing"), store); err == nil {
		t.Error("a folder that is not there")
	}
}
