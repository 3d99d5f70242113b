package workspace

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// Bounds on a diff that is applied: it comes from a cache, and a few bytes of it may stand for very many.
const (
	maxPatch       = 1 << 30
	maxApplied     = 4 << 30
	maxApplyMemory = 3 << 30
	applyFor       = 5 * time.Minute
)

// Apply gives the tree what a diff changed that an earlier Diff of the same commit made. It is for
// a tree that no step has seen yet. Nothing in the diff is believed: git applies it to an index of
// the trusted git directory only, and what comes out is written beneath the root. Afterwards Diff
// gives the same diff. After an error the tree is of no use: the caller makes a new workspace.
//
// What a diff does not hold (ignored files, empty folders, a file of Options.Files that was
// removed) is as Prepare made it.
func (w *Workspace) Apply(ctx context.Context, patch io.Reader) error {
	if w.Commit == "" {
		return errors.New("apply diff: the workspace has no repository")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, applyFor, fmt.Errorf("applying the diff takes longer than %s", applyFor))
	defer cancel()
	w.indexEntries()
	err := w.apply(ctx, patch)
	if err != nil {
		return fmt.Errorf("apply diff: %w", err)
	}
	return nil
}

func (w *Workspace) apply(ctx context.Context, patch io.Reader) error {
	if err := w.intact(); err != nil {
		return err
	}
	in := bufio.NewReader(&atMost{r: patch, left: maxPatch})
	if _, err := in.Peek(1); errors.Is(err, io.EOF) {
		return nil
	}
	changes, err := w.patched(ctx, in)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if err := w.allowed(c); err != nil {
			return err
		}
	}
	if err := w.clear(changes); err != nil {
		return err
	}
	if w.known == nil {
		w.known = map[string]known{}
	}
	return w.fetchBlobs(ctx, changes, w.write)
}

// patched applies a patch to an index of the commit and returns what it changed there.
func (w *Workspace) patched(ctx context.Context, patch io.Reader) ([]rawChange, error) {
	entries, err := w.snapshot.entries()
	if err != nil {
		return nil, err
	}
	index := w.temp("apply.index")
	if err := writeIndex(index, entries, make([]stamp, len(entries))); err != nil {
		return nil, err
	}
	defer os.Remove(index)
	opts := git.Options{GitDir: w.GitDir, Dir: w.GitDir, Env: []string{"GIT_INDEX_FILE=" + index}, Stdin: patch, MaxMemory: maxApplyMemory}
	if err := git.Run(ctx, opts, "apply", "--cached", "--whitespace=nowarn", "-"); err != nil {
		return nil, err
	}
	opts.Stdin = nil
	out, err := git.Output(ctx, opts, "diff-index", "--cached", "--raw", "-z", "-r", "--no-renames", "--full-index", "--no-ext-diff", "--ignore-submodules=none", w.Commit)
	if err != nil {
		return nil, err
	}
	changes, rest, err := parseRaw(string(out))
	if err == nil && rest != "" {
		err = errors.New("read changes: unexpected text after them")
	}
	return changes, err
}

// allowed refuses what Diff never makes.
func (w *Workspace) allowed(c rawChange) error {
	if !safePath(c.path) || strings.Count(c.path, "/") > maxDepth {
		return fmt.Errorf("the path %s is not allowed", shown(c.path))
	}
	for _, mode := range []string{c.oldMode, c.newMode} {
		switch mode {
		case modeNone, modeFile, modeExecutable, modeLink, "100664":
		default:
			return fmt.Errorf("%s: the mode %s is not allowed", shown(c.path), mode)
		}
	}
	switch {
	case c.newMode == modeLink && git.IsDotGitmodules(path.Base(c.path)):
		return fmt.Errorf("%s: a link of that name is not allowed", shown(c.path))
	case w.hidden.covers(c.path), c.newMode == modeNone && w.hidden.file(c.path):
		return fmt.Errorf("%s: it is outside of what was laid out", shown(c.path))
	}
	return nil
}

// clear removes what changes, and the folders that this leaves empty. What remains of a changed
// path's folders was there in the commit, and is there in the result: no link is among them.
func (w *Workspace) clear(changes []rawChange) error {
	emptied := map[string]bool{}
	for _, c := range changes {
		if _, laid := w.base[c.path]; !laid {
			continue
		}
		if err := w.root.Remove(c.path); err != nil {
			return fmt.Errorf("remove %s: %w", shown(c.path), err)
		}
		if c.newMode == modeNone {
			emptied[path.Dir(c.path)] = true
		}
	}
	for dir := range emptied {
		for ; dir != "." && dir != w.only && w.root.Remove(dir) == nil; dir = path.Dir(dir) {
		}
	}
	for _, c := range changes {
		_, laid := w.base[c.path]
		if _, brought := w.files[c.path]; !brought || laid {
			continue
		}
		if err := w.root.Remove(c.path); err != nil {
			return fmt.Errorf("remove %s: %w", shown(c.path), err)
		}
	}
	return nil
}

// write writes one changed file; links it is given last. It notes the file as changed.
func (w *Workspace) write(c rawChange, size int64, content io.Reader) error {
	if dir := path.Dir(c.path); dir != "." {
		if err := w.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if c.newMode == modeLink {
		if size == 0 || size >= unix.PathMax {
			return fmt.Errorf("link target of %d bytes", size)
		}
		target := make([]byte, size)
		if _, err := io.ReadFull(content, target); err != nil {
			return err
		}
		return w.root.Symlink(string(target), c.path)
	}
	mode := os.FileMode(0o644)
	if c.newMode == modeExecutable {
		mode = 0o755
	}
	f, err := w.root.OpenFile(c.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, mode)
	if err != nil {
		return err
	}
	if _, err = io.CopyN(f, content, size); err == nil {
		err = f.Chmod(mode)
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	w.known[c.path] = known{stamp: stampOf(&st), racy: true, object: c.newObject, stored: true}
	return errors.Join(err, f.Close())
}

// fetchBlobs hands the new contents of changes to write, links last, by one git process.
func (w *Workspace) fetchBlobs(ctx context.Context, changes []rawChange, write func(rawChange, int64, io.Reader) error) error {
	var order, links []rawChange
	for _, c := range changes {
		switch c.newMode {
		case modeNone:
		case modeLink:
			links = append(links, c)
		default:
			order = append(order, c)
		}
	}
	order = append(order, links...)
	var names strings.Builder
	for _, c := range order {
		names.WriteString(c.newObject + "\n")
	}
	r, stream := io.Pipe()
	read := make(chan error, 1)
	go func() {
		err := eachBlob(ctx, bufio.NewReaderSize(r, 1<<20), order, write)
		r.CloseWithError(err)
		read <- err
	}()
	err := git.Run(ctx, git.Options{GitDir: w.GitDir, Stdin: strings.NewReader(names.String()), Stdout: stream}, "cat-file", "--batch", "--buffer")
	stream.CloseWithError(err)
	if rerr := <-read; rerr != nil {
		return rerr
	}
	return err
}

func eachBlob(ctx context.Context, r *bufio.Reader, order []rawChange, write func(rawChange, int64, io.Reader) error) error {
	left := int64(maxApplied)
	for _, c := range order {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		head, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read object %s: %w", c.newObject, err)
		}
		text, ok := strings.CutPrefix(strings.TrimSuffix(head, "\n"), c.newObject+" blob ")
		size, err := strconv.ParseInt(text, 10, 64)
		if !ok || err != nil || size < 0 {
			return fmt.Errorf("read object %s: unexpected %q", c.newObject, head)
		}
		if left -= size; left < 0 {
			return fmt.Errorf("it makes files of more than %d bytes", int64(maxApplied))
		}
		content := &io.LimitedReader{R: r, N: size}
		if err := write(c, size, content); err != nil {
			return fmt.Errorf("write %s: %w", shown(c.path), err)
		}
		if content.N != 0 {
			return fmt.Errorf("read object %s: %d bytes are left", c.newObject, content.N)
		}
		if _, err := r.Discard(1); err != nil {
			return fmt.Errorf("read object %s: %w", c.newObject, err)
		}
	}
	return nil
}

// atMost reads so many bytes and refuses more.
type atMost struct {
	r    io.Reader
	left int64
}

func (s *atMost) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if s.left -= int64(n); s.left < 0 {
		return 0, glovebox.ErrTooLarge
	}
	return n, err
}
