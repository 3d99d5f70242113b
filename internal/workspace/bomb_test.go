package workspace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox/internal/git"
)

// nested makes a tree of trees, each naming the one below it ten times, around an entry, and a commit of it.
func (s *source) nested(depth int, entry string) string {
	s.t.Helper()
	tree := func(lines string) string {
		opts := git.Options{Dir: s.path, Stdin: strings.NewReader(lines)}
		out, err := git.Output(s.t.Context(), opts, "mktree", "--missing")
		if err != nil {
			s.t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	inner := tree(entry)
	for range depth {
		var lines strings.Builder
		for i := range 10 {
			fmt.Fprintf(&lines, "040000 tree %s\td%d\n", inner, i)
		}
		inner = tree(lines.String())
	}
	commit := s.git("commit-tree", "-m", "bomb", inner)
	s.git("update-ref", "refs/heads/main", commit)
	return commit
}

// TestRepositoryBombs: small repositories whose trees are endless end soon, with the reason, and
// leave the host's disk as it was.
func TestRepositoryBombs(t *testing.T) {
	s := newSource(t)
	s.write("zeros", strings.Repeat("0", 1<<20))
	s.commit()
	blob := s.git("rev-parse", "HEAD:zeros")
	for name, c := range map[string]struct{ commit, want string }{
		"10 million names of one file": {s.nested(7, "100644 blob "+blob+"\tf\n"), "too many files"},
		"1 GiB in one file of 1 MiB":   {s.nested(3, "100644 blob "+blob+"\tf\n"), "take more than 64M"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cache, err := OpenCache(CacheOptions{Dir: filepath.Join(dir, "cache"), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			root := filepath.Join(dir, "work")
			if err := os.Mkdir(root, 0o755); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err = Prepare(ctx, Options{Root: root, GitDir: filepath.Join(dir, "git"), Cache: cache, URL: s.path, Transports: []string{"file"}, Commit: c.commit, MaxBytes: 64 << 20})
			fault, ok := errors.AsType[*Fault](err)
			if !ok || !strings.Contains(fault.Reason, c.want) {
				t.Errorf("prepare: %v", err)
			}
			if size := folderSize(dir); size > 1<<20 {
				t.Errorf("%d bytes were left on the host", size)
			}
		})
	}
}
