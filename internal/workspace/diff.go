package workspace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sync/errgroup"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// DefaultMaxDiff is the largest diff unless said otherwise.
const DefaultMaxDiff = 64 << 20

// Diff is what the steps changed.
type Diff struct {
	glovebox.Diff
	// Path is the file with the diff, in the trusted git directory. The file of a call stays as it
	// is through the next call; the one after that removes it.
	Path string
	// Changes are the paths, with git's idea of renames; a change of kind (a file became a link) is
	// a modification. Bytes that are no UTF-8 are replaced.
	Changes glovebox.Changes

	// left is how many names Changes lacks.
	left int
}

// answered is what the last call of Diff came to.
type answered struct {
	max     int64
	changes []change
	diff    *Diff
	notes   []string
}

// Diff computes what the steps changed against the commit, in the form that "git apply
// --index" takes: nil when nothing was changed or there is no repository. Files that
// .gitignore excludes, submodules, nested git directories, pipes, sockets and devices are left out; remarks say
// so. More than max bytes of diff is a Fault. Git works on a copy of the changed bytes
// and never opens the tree.
//
// It may be called after each step: files that are as the last call saw them are not read again,
// and when all are, the last call's answer is given again and no process is started.
func (w *Workspace) Diff(ctx context.Context, max int64) (d *Diff, notes []string, err error) {
	if w.Commit == "" {
		return nil, nil, nil
	}
	if max == 0 {
		max = DefaultMaxDiff
	}
	if err := w.intact(); err != nil {
		return nil, nil, err
	}
	var r remarks
	v, err := w.look(ctx, &r)
	if err != nil {
		return nil, r.list(), fmt.Errorf("find changes: %w", err)
	}
	now, same, err := w.settle(ctx, v)
	if err != nil {
		return nil, r.list(), fmt.Errorf("find changes: %w", err)
	}
	if same && w.last != nil && w.last.max == max {
		w.known, w.more = now, holdsMore(now, &r)
		return w.last.diff, append(r.list(), w.last.notes...), nil
	}
	var more remarks
	answer, err := w.diff(ctx, v, now, max, &more)
	if err != nil {
		return nil, append(r.list(), more.list()...), err
	}
	if answer.diff != nil && answer.diff.left > 0 {
		more.add("the names of %d more changed files are left out of the list of changes; the diff has them all", answer.diff.left)
	}
	answer.notes = more.list()
	w.known, w.deleted, w.last, w.more = now, v.deleted, answer, holdsMore(now, &r)
	return answer.diff, append(r.list(), answer.notes...), nil
}

// HoldsMore reports whether the tree, when Diff last looked, held more than commit and diff tell:
// ignored files, empty folders, what a diff can't hold. It can't be made again from them.
func (w *Workspace) HoldsMore() bool { return w.more }

func holdsMore(now map[string]known, r *remarks) bool {
	if r.emptyFolder || len(r.lines) > 0 {
		return true
	}
	for _, k := range now {
		if k.object == "" {
			return true
		}
	}
	return false
}

// diff computes the diff of what a view holds, and completes what is known of it.
func (w *Workspace) diff(ctx context.Context, v *view, now map[string]known, max int64, r *remarks) (*answered, error) {
	changes, err := w.changed(ctx, v, now, r)
	if err != nil {
		return nil, fmt.Errorf("find changes: %w", err)
	}
	answer := &answered{max: max, changes: changes}
	if len(changes) == 0 {
		return answer, nil
	}
	if w.last != nil && w.last.max == max && sameChanges(w.last.changes, changes) {
		answer.diff = w.last.diff // what changed since is ignored
		return answer, nil
	}
	if err := w.record(ctx, changes, 4*max); err != nil {
		return nil, fmt.Errorf("record changes: %w", err)
	}
	for _, c := range changes {
		if !c.deleted {
			k := now[c.path]
			k.object, k.stored = c.object, c.stored
			now[c.path] = k
		}
	}
	if answer.diff, err = w.writeDiff(ctx, changes, max); err != nil {
		return nil, fmt.Errorf("write diff: %w", err)
	}
	return answer, nil
}

// diffOptions make the diff exact and independent of any configuration.
func diffOptions(commit string, renames bool, more ...string) []string {
	args := []string{"diff-tree", "-r", "-M", "-l400", "--full-index", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=none"}
	if !renames {
		args = append(args, "--no-renames")
	}
	return append(append(args, more...), commit, diffRef)
}

// renames reports whether the diff may hold renames: not if a link was renamed and a folder is in
// its place. Git apply does not notice that such a link went, and refuses what is in the folder.
func (w *Workspace) renames(ctx context.Context, changes []change) (bool, error) {
	if !w.linkBecameFolder(changes) {
		return true, nil
	}
	list, err := git.Output(ctx, git.Options{GitDir: w.GitDir}, diffOptions(w.Commit, true, "--raw", "-z")...)
	if err != nil {
		return false, err
	}
	raw, _, err := parseRaw(string(list))
	for _, c := range raw {
		if c.status == 'R' && c.oldMode == modeLink {
			return false, err
		}
	}
	return true, err
}

// linkBecameFolder reports whether there is a folder now where the commit has a link.
func (w *Workspace) linkBecameFolder(changes []change) bool {
	links := map[string]bool{}
	for _, c := range changes {
		if c.deleted && w.entries[w.base[c.path]].mode == modeLink {
			links[c.path] = true
		}
	}
	if len(links) == 0 {
		return false
	}
	for _, c := range changes {
		for dir := path.Dir(c.path); !c.deleted && dir != "."; dir = path.Dir(dir) {
			if links[dir] {
				return true
			}
		}
	}
	return false
}

// writeDiff writes the diff to a new file and reads from git what it holds.
func (w *Workspace) writeDiff(ctx context.Context, changes []change, max int64) (*Diff, error) {
	renames, err := w.renames(ctx, changes)
	if err != nil {
		return nil, err
	}
	w.diffs++
	d := &Diff{Path: w.temp(fmt.Sprintf("diff-%d", w.diffs))}
	group, gctx := errgroup.WithContext(ctx)
	var list []byte
	group.Go(func() (err error) {
		list, err = git.Output(gctx, git.Options{GitDir: w.GitDir}, diffOptions(w.Commit, renames, "--raw", "--numstat", "-z")...)
		return err
	})
	err = w.writePatch(ctx, d, changes, renames, max)
	if lerr := group.Wait(); err == nil && errors.Is(lerr, glovebox.ErrTooLarge) {
		err = &Fault{"the steps changed too many files"}
	} else if err == nil {
		err = lerr
	}
	var raw []rawChange
	var rest string
	if err == nil {
		raw, rest, err = parseRaw(string(list))
	}
	if err == nil {
		d.Files, d.Insertions, d.Deletions, err = parseNumstat(rest)
	}
	if err != nil || d.Size == 0 {
		return nil, errors.Join(err, os.Remove(d.Path))
	}
	d.Changes, d.left = listChanges(raw, maxNames)
	if old := w.temp(fmt.Sprintf("diff-%d", w.diffs-2)); w.diffs > 2 {
		_ = os.Remove(old)
	}
	return d, nil
}

func (w *Workspace) writePatch(ctx context.Context, d *Diff, changes []change, renames bool, max int64) error {
	file, err := os.OpenFile(d.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	out := &capped{next: io.MultiWriter(file, sum), max: max}
	var stdout io.Writer = out
	if needsQuotes(changes) {
		stdout = &requote{next: out}
	}
	err = git.Run(ctx, git.Options{GitDir: w.GitDir, Stdout: stdout}, diffOptions(w.Commit, renames, "-p", "--binary", "--src-prefix=a/", "--dst-prefix=b/")...)
	if out.over {
		err = tooLarge(fmt.Sprintf("the diff is larger than %s", glovebox.Size(max)), changes)
	}
	d.Size, d.SHA256 = out.size, hex.EncodeToString(sum.Sum(nil))
	return errors.Join(err, file.Close())
}

// capped stops a writer that passes its limit.
type capped struct {
	next      io.Writer
	size, max int64
	over      bool
}

func (c *capped) Write(p []byte) (int, error) {
	if c.size+int64(len(p)) > c.max {
		c.over = true
		return 0, glovebox.ErrTooLarge
	}
	n, err := c.next.Write(p)
	c.size += int64(n)
	return n, err
}
