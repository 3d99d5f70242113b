package workspace

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// DefaultMaxDiff is the largest diff unless said otherwise.
const DefaultMaxDiff = 64 << 20

// Diff is what the steps changed.
type Diff struct {
	glovebox.Diff
	// Path is the file with the diff, in the trusted git directory.
	Path string
}

// change is one path that is not as it was laid out.
type change struct {
	found
	deleted bool
}

// Diff computes what the steps changed against the commit, in the form that "git apply
// --index" takes: nil when nothing was changed or there is no repository. Files that
// .gitignore excludes, submodules, nested git directories, pipes, sockets and devices are left out; remarks say
// so. More than max bytes of diff is a Fault. Git works on a copy of the changed bytes
// and never opens the tree.
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
	changes, err := w.changes(ctx, &r)
	if err != nil {
		return nil, r.list(), fmt.Errorf("find changes: %w", err)
	}
	if len(changes) == 0 {
		return nil, r.list(), nil
	}
	if err := w.record(ctx, changes, 4*max); err != nil {
		return nil, r.list(), fmt.Errorf("record changes: %w", err)
	}
	d, err = w.writeDiff(ctx, max)
	if err != nil {
		return nil, r.list(), fmt.Errorf("write diff: %w", err)
	}
	return d, r.list(), nil
}

// changes compares the tree with what was laid out.
func (w *Workspace) changes(ctx context.Context, r *remarks) ([]change, error) {
	base := make(map[string]int, len(w.entries))
	submodules := map[string]bool{}
	for i, e := range w.entries {
		base[e.path] = i
		if e.mode == modeSubmodule {
			submodules[e.path] = true
		}
	}
	seen := make([]bool, len(w.entries))
	var changed []change
	var fresh []found
	var rules []found
	err := w.walk(ctx, r, func(path string) bool { return submodules[path] }, func(f found) error {
		i, tracked := base[f.path]
		if tracked && submodules[f.path] {
			r.add("left out %s: it is a submodule's place", f.path)
			return nil
		}
		if !f.regular() && !f.link() {
			r.add("left out %s: neither a file nor a link", f.path)
			return nil
		}
		if f.regular() && path.Base(f.path) == ".gitignore" {
			rules = append(rules, f)
		}
		if tracked {
			seen[i] = true
		}
		switch b, ok := w.files[f.path]; {
		case ok && w.unchanged(b, f):
		case tracked && !ok && w.untouched(w.stamps[i], f.stamp):
		case tracked:
			changed = append(changed, change{found: f})
		default:
			fresh = append(fresh, f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var deleted []change
	for i, e := range w.entries {
		if !seen[i] && e.mode != modeSubmodule {
			deleted = append(deleted, change{found: found{path: e.path}, deleted: true})
		}
	}
	paths := make([]string, len(fresh))
	for i, f := range fresh {
		paths[i] = f.path
	}
	ignored, err := w.ignored(ctx, rules, paths, r)
	if err != nil {
		return nil, err
	}
	for _, f := range fresh {
		if !ignored[f.path] {
			changed = append(changed, change{found: f})
		}
	}
	// Deletions first: a file may have become a folder, or a folder a file.
	return append(deleted, changed...), nil
}

// untouched reports whether a file is as it was laid out. One whose change time is close
// to the end of laying out may have changed within one tick of the file system's clock.
func (w *Workspace) untouched(before, now stamp) bool {
	return before == now && time.Unix(now.ctime.Unix()).Before(w.laid.Add(-clockTick))
}

const clockTick = 20 * time.Millisecond

const diffRef = "refs/glovebox/left"

// record makes git objects of the changes, and a commit of them on top of the one laid out.
func (w *Workspace) record(ctx context.Context, changes []change, limit int64) error {
	r, stream := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		out := bufio.NewWriterSize(stream, 1<<20)
		err := w.writeChanges(ctx, out, changes, limit)
		if err == nil {
			err = out.Flush()
		}
		stream.CloseWithError(err)
		wrote <- err
	}()
	err := git.Run(ctx, git.Options{GitDir: w.GitDir, Stdin: r, Config: []string{"core.bigFileThreshold=64m"}}, "fast-import", "--quiet", "--force", "--done", "--date-format=raw")
	r.CloseWithError(errors.New("git fast-import ended"))
	if werr := <-wrote; werr != nil && (err == nil || asFault(werr)) {
		return werr
	}
	return err
}

func asFault(err error) bool {
	var f *Fault
	return errors.As(err, &f)
}

// writeChanges writes the changes as a stream of git-fast-import(1).
func (w *Workspace) writeChanges(ctx context.Context, out *bufio.Writer, changes []change, limit int64) error {
	fmt.Fprintf(out, "commit %s\ncommitter glovebox <> 0 +0000\ndata 0\nfrom %s\n", diffRef, w.Commit)
	left := limit
	for i, c := range changes {
		if i%256 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if c.deleted {
			fmt.Fprintf(out, "D %s\n", quoted(c.path))
			continue
		}
		if left -= int64(c.size) + int64(len(c.path)); left < 0 {
			return &Fault{fmt.Sprintf("the steps changed more than %s of files; keep large results out of the repository or name them in .gitignore and outputs", glovebox.Size(limit))}
		}
		if err := w.writeChange(out, c); err != nil {
			return err
		}
	}
	_, err := out.WriteString("\ndone\n")
	return err
}

func (w *Workspace) writeChange(out *bufio.Writer, c change) error {
	if c.link() {
		target, err := w.root.Readlink(c.path)
		if err != nil {
			return fmt.Errorf("read link %s: %w", shown(c.path), err)
		}
		_, err = fmt.Fprintf(out, "M %s inline %s\ndata %d\n%s\n", modeLink, quoted(c.path), len(target), target)
		return err
	}
	f, err := w.open(c.path)
	if err != nil {
		return err
	}
	defer f.Close()
	mode := modeFile
	if c.executable() {
		mode = modeExecutable
	}
	fmt.Fprintf(out, "M %s inline %s\ndata %d\n", mode, quoted(c.path), c.size)
	if _, err := io.CopyN(out, f, int64(c.size)); err != nil {
		return &Fault{fmt.Sprintf("%s changed while it was read", shown(c.path))}
	}
	return out.WriteByte('\n')
}

// quoted writes a path as git does, every byte that is not plain ASCII in octal.
func quoted(path string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(path) {
		switch c := path[i]; {
		case c < 0x20, c >= 0x7f, c == '"', c == '\\':
			fmt.Fprintf(&b, "\\%03o", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// diffOptions make the diff exact and independent of any configuration.
func diffOptions(more ...string) []string {
	args := []string{"diff-tree", "-r", "-M", "-l400", "--full-index", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/", "--ignore-submodules=none"}
	return append(args, more...)
}

func (w *Workspace) writeDiff(ctx context.Context, max int64) (*Diff, error) {
	file, err := os.OpenFile(w.temp("diff"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	sum := sha256.New()
	out := &capped{next: io.MultiWriter(file, sum), max: max}
	err = git.Run(ctx, git.Options{GitDir: w.GitDir, Stdout: out}, diffOptions("-p", w.Commit, diffRef)...)
	if out.over {
		return nil, &Fault{fmt.Sprintf("the diff is larger than %s; keep large results out of the repository or name them in .gitignore and outputs", glovebox.Size(max))}
	}
	if err != nil || out.size == 0 {
		return nil, err
	}
	stat, err := git.Output(ctx, git.Options{GitDir: w.GitDir}, diffOptions("--shortstat", w.Commit, diffRef)...)
	if err != nil {
		return nil, err
	}
	d := &Diff{Path: w.temp("diff"), Diff: glovebox.Diff{Size: out.size, SHA256: hex.EncodeToString(sum.Sum(nil))}}
	d.Files, d.Insertions, d.Deletions = parseShortstat(string(stat))
	return d, nil
}

// parseShortstat reads " 3 files changed, 5 insertions(+), 1 deletion(-)".
func parseShortstat(s string) (files, insertions, deletions int) {
	for part := range strings.SplitSeq(s, ",") {
		var n int
		var what string
		if _, err := fmt.Sscanf(part, "%d %s", &n, &what); err != nil {
			continue
		}
		switch {
		case strings.HasPrefix(what, "file"):
			files = n
		case strings.HasPrefix(what, "insertion"):
			insertions = n
		case strings.HasPrefix(what, "deletion"):
			deletions = n
		}
	}
	return files, insertions, deletions
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
