package git

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFilesAndGrep(t *testing.T) {
	dir := t.TempDir()
	work := filepath.Join(dir, "work")
	gitDir := filepath.Join(dir, "git")
	if err := Run(t.Context(), Options{Dir: dir}, "init", "--quiet", "--bare", "--template=", gitDir); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"a.txt": "hello\nworld\n", "b/ü \n\t.txt": "nothing", "bin": "hello\x00", "empty": "", "big": strings.Repeat("x", maxGrepFile) + "hello",
		"-option": "hello", "z/last": "say hello",
	} {
		path := filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("hello", filepath.Join(work, "link")); err != nil {
		t.Fatal(err)
	}
	opts := Options{GitDir: gitDir, WorkTree: work, Dir: work}
	opts.Env = []string{"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b"}
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", "one"}} {
		if err := Run(t.Context(), opts, args...); err != nil {
			t.Fatal(err)
		}
	}
	out, err := Output(t.Context(), opts, "rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	commit := strings.TrimSpace(string(out))
	bare := Options{GitDir: gitDir}
	files, err := Files(t.Context(), bare, commit)
	want := []string{"-option", "a.txt", "b/ü \n\t.txt", "big", "bin", "empty", "link", "z/last"}
	if slices.Sort(files); err != nil || !slices.Equal(files, want) {
		t.Errorf("files %q, %v; want %q", files, err, want)
	}
	found, err := Grep(t.Context(), bare, commit, func(b []byte) bool { return bytes.Contains(b, []byte("hello")) })
	want = []string{"-option", "a.txt", "z/last"}
	if slices.Sort(found); err != nil || !slices.Equal(found, want) {
		t.Errorf("found %q, %v; want %q", found, err, want)
	}
	for _, bad := range []string{"HEAD", "--help", "", commit + "^", strings.Repeat("0", 40)} {
		if files, err := Files(t.Context(), bare, bad); err == nil {
			t.Errorf("files of %q: %q", bad, files)
		}
	}
}

// A reader that gives up ends the command, and is not waited for.
func TestPipeEnds(t *testing.T) {
	begin := time.Now()
	stop := errors.New("enough")
	err := pipe(t.Context(), Options{Dir: t.TempDir(), Stdin: endless{}}, func(*bufio.Reader) error { return stop }, "hash-object", "--stdin")
	if !errors.Is(err, stop) || time.Since(begin) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
