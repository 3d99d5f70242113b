package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/git"
)

// Bounds on the .gitignore files of a tree.
const (
	maxIgnoreFile  = 1 << 20
	maxIgnoreTotal = 16 << 20
	// ignoreFor is for how long git may match them: some patterns take exponential time.
	ignoreFor = 30 * time.Second
)

// ignored returns which of the untracked paths the tree's .gitignore files exclude. Git reads
// copies of those files, in a folder of ours: it never opens the hostile tree.
func (w *Workspace) ignored(ctx context.Context, rules []found, paths []string, r *remarks) (map[string]bool, error) {
	if len(rules) == 0 || len(paths) == 0 {
		return nil, nil
	}
	shadow := w.temp("ignore")
	if err := os.RemoveAll(shadow); err != nil {
		return nil, err
	}
	if err := os.Mkdir(shadow, 0o700); err != nil {
		return nil, err
	}
	total := uint64(0)
	for _, f := range rules {
		if total += f.size; f.size > maxIgnoreFile || total > maxIgnoreTotal {
			r.add("%s is not followed: it is too large", f.path)
			continue
		}
		if err := w.copyRule(f, filepath.Join(shadow, f.path)); err != nil {
			return nil, err
		}
	}
	opts := git.Options{GitDir: w.GitDir, WorkTree: shadow, Dir: shadow}
	// The "./" keeps a name that begins with ":" from being read as magic; git repeats what it was given.
	opts.Stdin = strings.NewReader("./" + strings.Join(paths, "\x00./") + "\x00")
	var out bytes.Buffer
	opts.Stdout = &out
	ctx, cancel := context.WithTimeoutCause(ctx, w.ignoreFor, &Fault{fmt.Sprintf("the .gitignore files take longer than %s to match", w.ignoreFor)})
	defer cancel()
	err := git.Run(ctx, opts, "check-ignore", "-z", "--stdin", "--no-index")
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) { // 1: none is ignored
		return nil, err
	}
	set := map[string]bool{}
	for path := range strings.SplitSeq(out.String(), "\x00") {
		set[strings.TrimPrefix(path, "./")] = true
	}
	return set, nil
}

func (w *Workspace) copyRule(f found, to string) error {
	src, err := w.open(f.path)
	if err != nil {
		return err
	}
	defer src.Close()
	content, err := io.ReadAll(io.LimitReader(src, maxIgnoreFile))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}

// open opens a regular file beneath the root for reading. It neither follows a link out
// nor waits for a pipe's writer.
func (w *Workspace) open(path string) (*os.File, error) {
	f, err := w.root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", shown(path), err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: not a regular file", shown(path))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
