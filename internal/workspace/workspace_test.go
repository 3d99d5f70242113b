package workspace

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox/internal/git"
)

// source is a repository on this host that tests fetch from.
type source struct {
	t    *testing.T
	path string
}

func newSource(t *testing.T) *source {
	t.Helper()
	s := &source{t: t, path: t.TempDir()}
	s.git("init", "-q", "--", s.path)
	return s
}

func (s *source) git(args ...string) string {
	s.t.Helper()
	opts := git.Options{Dir: s.path, Config: []string{"user.name=ada", "user.email=ada@example.org", "core.autocrlf=false"}}
	out, err := git.Output(s.t.Context(), opts, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func (s *source) write(name, content string) {
	s.t.Helper()
	path := filepath.Join(s.path, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// commit records the folder as it is, raw bytes, and returns the commit's name.
func (s *source) commit() string {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.path, ".git/info/attributes"), []byte(rawAttributes), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.git("add", "-A", "-f")
	s.git("commit", "-q", "--allow-empty", "-m", "commit")
	return s.git("rev-parse", "HEAD")
}

func newCache(t testing.TB) *Cache {
	t.Helper()
	c, err := OpenCache(CacheOptions{Dir: filepath.Join(t.TempDir(), "cache"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func options(t testing.TB, cache *Cache, url, commit string) Options {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "work")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return Options{Root: root, GitDir: filepath.Join(dir, "git"), Cache: cache, URL: url, Commit: commit, Transports: []string{"file"}}
}

func prepare(t testing.TB, opts Options) *Workspace {
	t.Helper()
	w, err := Prepare(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// stepGit runs git as a step would: in the tree, with the throw-away .git.
func stepGit(t *testing.T, w *Workspace, args ...string) string {
	t.Helper()
	out, err := git.Output(t.Context(), git.Options{Dir: w.Root}, args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestStepsSeeOneCleanCommit(t *testing.T) {
	s := newSource(t)
	s.write("a.txt", "one\n")
	s.commit()
	s.write("sub/ümlaut \"x\".txt", "two\r\n")
	s.write(".gitattributes", "*.txt text eol=crlf\n*.bin filter=lfs ident\n")
	s.write("x.bin", "$Id$")
	if err := os.Symlink("a.txt", filepath.Join(s.path, "link")); err != nil {
		t.Fatal(err)
	}
	commit := s.commit()
	w := prepare(t, options(t, newCache(t), s.path, commit))
	if got := stepGit(t, w, "status", "--porcelain"); got != "" {
		t.Errorf("status: %q", got)
	}
	if got := stepGit(t, w, "rev-parse", "HEAD"); strings.TrimSpace(got) != commit {
		t.Errorf("HEAD is %s", got)
	}
	if got := stepGit(t, w, "log", "--oneline"); strings.Count(got, "\n") != 1 {
		t.Errorf("log: %q", got)
	}
	stepGit(t, w, "fsck", "--strict")
	if got, _ := os.ReadFile(filepath.Join(w.Root, "sub/ümlaut \"x\".txt")); !bytes.Equal(got, []byte("two\r\n")) {
		t.Errorf("content %q", got)
	}
	if got, _ := os.Readlink(filepath.Join(w.Root, "link")); got != "a.txt" {
		t.Errorf("link to %q", got)
	}
	if err := os.WriteFile(filepath.Join(w.Root, "a.txt"), []byte("two\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := stepGit(t, w, "diff", "--stat"); !strings.Contains(got, "a.txt") {
		t.Errorf("diff after a change of equal size: %q", got)
	}
}

// TestMeasure prints how long preparations take against clones, for the repository named in GLOVEBOX_BENCH_REPO.
func BenchmarkSecondPreparation(b *testing.B) {
	path := os.Getenv("GLOVEBOX_BENCH_REPO")
	if path == "" {
		b.Skip("GLOVEBOX_BENCH_REPO names no repository")
	}
	commit, err := git.Output(b.Context(), git.Options{Dir: path}, "rev-parse", "HEAD")
	if err != nil {
		b.Fatal(err)
	}
	cache := newCache(b)
	start := time.Now()
	prepare(b, options(b, cache, path, strings.TrimSpace(string(commit))))
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "first-ms")
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		opts := options(b, cache, path, strings.TrimSpace(string(commit)))
		b.StartTimer()
		w, err := Prepare(context.Background(), opts)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
