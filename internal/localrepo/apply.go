package localrepo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// Bounds on a diff that is applied.
const (
	maxPatch       = 1 << 30
	maxApplyMemory = 3 << 30
)

// Apply puts a diff that was made against a commit into the clone's work tree and index, as "git
// apply --index" does, all of it or nothing. Nothing is touched, and the error wraps
// glovebox.ErrConflict, if the clone's HEAD is another commit, or a file that the diff changes has
// changes that are not committed. The clone's filters, hooks and monitors do not run: a clone whose
// files went through a filter (LFS) counts as changed where the diff touches such files.
func Apply(ctx context.Context, r Repo, commit string, diff io.Reader) error {
	if err := applyTo(ctx, r, commit, diff); err != nil {
		return fmt.Errorf("apply diff to %s: %w", r.Dir, err)
	}
	return nil
}

func applyTo(ctx context.Context, r Repo, commit string, diff io.Reader) error {
	if r.Bare {
		return fmt.Errorf("it has no work tree: %w", glovebox.ErrUnsupported)
	}
	if err := fullName(commit); err != nil {
		return err
	}
	_, head, err := r.Head(ctx)
	if err != nil {
		return err
	}
	if head != commit {
		return fmt.Errorf("it is at commit %s, the diff was made for %s: %w", head, commit, glovebox.ErrConflict)
	}
	a := &applier{repo: r, commit: commit}
	if a.temp, err = os.MkdirTemp("", "glovebox-apply-"); err != nil {
		return err
	}
	defer os.RemoveAll(a.temp)
	if err := a.spool(diff); err != nil {
		return err
	}
	if a.opts, err = a.inWorkTree(ctx); err != nil {
		return err
	}
	if err := a.try(ctx); err != nil {
		return err
	}
	if err := a.unchanged(ctx); err != nil {
		return err
	}
	return a.apply(ctx)
}

// applier is one diff on its way into a clone.
type applier struct {
	repo        Repo
	commit      string
	temp, patch string
	opts        git.Options
	// touched are the paths that the diff changes: true for those that the commit has.
	touched map[string]bool
}

func (a *applier) spool(diff io.Reader) error {
	a.patch = filepath.Join(a.temp, "diff")
	f, err := os.OpenFile(a.patch, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(diff, maxPatch+1))
	if n > maxPatch {
		err = glovebox.ErrTooLarge
	}
	return errors.Join(err, f.Close())
}

// inWorkTree are the options of a command in the work tree with the clone's own filters switched off.
func (a *applier) inWorkTree(ctx context.Context) (git.Options, error) {
	opts := git.Options{GitDir: a.repo.own, WorkTree: a.repo.Dir, Dir: a.repo.Dir, MaxMemory: maxApplyMemory,
		Config: []string{"core.worktree=" + a.repo.Dir, "core.bare=false", "apply.ignoreWhitespace=no", "core.splitIndex=false"}}
	names, err := git.Output(ctx, a.repo.options(), "config", "-z", "--name-only", "--get-regexp", `^filter\.`)
	var failed *git.CommandError
	if err != nil && (!errors.As(err, &failed) || failed.Stderr != "") {
		return opts, err
	}
	for name := range strings.SplitSeq(string(names), "\x00") {
		switch {
		case strings.ContainsAny(name, "=\n"):
			return opts, fmt.Errorf("its configuration has a filter %q", name)
		case strings.HasSuffix(name, ".required"):
			opts.Config = append(opts.Config, name+"=false")
		case name != "":
			opts.Config = append(opts.Config, name+"=")
		}
	}
	return opts, nil
}

// try applies the diff to an index and objects of its own, to learn that it applies and what it touches.
func (a *applier) try(ctx context.Context) error {
	objects := filepath.Join(a.temp, "objects")
	if err := os.Mkdir(objects, 0o700); err != nil {
		return err
	}
	opts := a.repo.options()
	opts.MaxMemory = maxApplyMemory
	opts.Env = []string{"GIT_INDEX_FILE=" + filepath.Join(a.temp, "index"), "GIT_OBJECT_DIRECTORY=" + objects,
		"GIT_ALTERNATE_OBJECT_DIRECTORIES=" + git.QuotePath(filepath.Join(a.repo.GitDir, "objects"))}
	if err := git.Run(ctx, opts, "read-tree", a.commit); err != nil {
		return err
	}
	if err := git.Run(ctx, opts, "apply", "--cached", "--whitespace=nowarn", "--", a.patch); err != nil {
		return err
	}
	out, err := git.Output(ctx, opts, "diff-index", "--cached", "--raw", "-z", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", a.commit)
	if err != nil {
		return err
	}
	a.touched = map[string]bool{}
	for text := string(out); text != ""; {
		var head, path string
		head, text, _ = strings.Cut(text, "\x00")
		path, text, _ = strings.Cut(text, "\x00")
		fields := strings.Fields(head)
		if len(fields) != 5 || path == "" || !filepath.IsLocal(path) {
			return fmt.Errorf("git names a change %q of %q", head, path)
		}
		if strings.Contains(fields[0]+" "+fields[1], "160000") {
			return fmt.Errorf("it changes the submodule %q", path)
		}
		a.touched[path] = fields[4] != "A"
	}
	return nil
}

// unchanged refuses a clone with changes of its own in files that the diff touches.
func (a *applier) unchanged(ctx context.Context) error {
	out, err := git.Output(ctx, a.opts, "status", "--porcelain=v1", "-z", "--no-renames", "--ignore-submodules=all", "--untracked-files=all", "--ignored=matching")
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(string(out), "\x00") {
		if len(line) < 4 {
			continue
		}
		path := strings.TrimSuffix(line[3:], "/")
		if _, ok := a.touched[path]; ok {
			return fmt.Errorf("%q has changes that are not committed: %w", path, glovebox.ErrConflict)
		}
	}
	for path, tracked := range a.touched {
		// A link that is not committed could lead git out of the work tree.
		for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
			if info, err := os.Lstat(filepath.Join(a.repo.Dir, dir)); err == nil && !info.IsDir() && !a.touched[dir] {
				return fmt.Errorf("%q is in the way and not committed: %w", dir, glovebox.ErrConflict)
			}
		}
		info, err := os.Lstat(filepath.Join(a.repo.Dir, path))
		if !tracked && err == nil && !info.IsDir() && !a.beyondTouched(path) {
			return fmt.Errorf("%q exists and is not committed: %w", path, glovebox.ErrConflict)
		}
	}
	return nil
}

// beyondTouched reports whether a folder of path is in the commit a file or link that the diff replaces.
func (a *applier) beyondTouched(path string) bool {
	for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
		if a.touched[dir] {
			return true
		}
	}
	return false
}

// apply applies for good. Git looks at everything before it writes anything; should writing fail
// all the same, what was written is taken back: none of it was there before.
func (a *applier) apply(ctx context.Context) error {
	// Once it writes, it is not stopped halfway.
	err := git.Run(context.WithoutCancel(ctx), a.opts, "apply", "--index", "--whitespace=nowarn", "--no-ignore-whitespace", "--", a.patch)
	if err != nil {
		return errors.Join(err, a.takeBack(context.WithoutCancel(ctx)))
	}
	return nil
}

func (a *applier) takeBack(ctx context.Context) error {
	root, err := os.OpenRoot(a.repo.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var old []string
	for path, tracked := range a.touched {
		if tracked {
			old = append(old, path)
			continue
		}
		if info, err := root.Lstat(path); err == nil && !info.IsDir() && !a.beyondTouched(path) {
			if err := root.Remove(path); err != nil {
				return err
			}
		}
	}
	if len(old) == 0 {
		return nil
	}
	opts := a.opts
	opts.Stdin = strings.NewReader(strings.Join(old, "\x00") + "\x00")
	return git.Run(ctx, opts, "checkout-index", "-f", "-z", "--stdin")
}
