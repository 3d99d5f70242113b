package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/git"
)

// maxWalk bounds the files that are looked at.
const maxWalk = 2_000_000

// found is something in the tree that is no folder.
type found struct {
	path string
	stamp
}

func (f found) regular() bool    { return f.mode&unix.S_IFMT == unix.S_IFREG }
func (f found) link() bool       { return f.mode&unix.S_IFMT == unix.S_IFLNK }
func (f found) executable() bool { return f.mode&0o100 != 0 }

// walker goes through a tree by descriptors: each folder is opened from its parent's
// descriptor and never through a link, so that nothing outside can be reached.
type walker struct {
	ctx   context.Context
	visit func(found) error
	// skipFolder says which folders, besides git directories, are left out.
	skipFolder func(path string) bool
	remarks    *remarks
	count      int
}

// walk visits everything but folders, each folder's names in order.
func (w *Workspace) walk(ctx context.Context, r *remarks, skipFolder func(string) bool, visit func(found) error) error {
	root, err := w.root.Open(".")
	if err != nil {
		return fmt.Errorf("open workspace: %w", err)
	}
	walker := &walker{ctx: ctx, visit: visit, skipFolder: skipFolder, remarks: r}
	return walker.folder(root, "", 0)
}

// folder visits what is in an open folder and closes it.
func (w *walker) folder(dir *os.File, prefix string, depth int) (err error) {
	defer func() { err = errors.Join(err, dir.Close()) }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("read folder %q: %w", prefix, err)
	}
	sort.Strings(names)
	if len(names) == 0 && prefix != "" {
		w.remarks.emptyFolder = true
	}
	for _, name := range names {
		if w.count++; w.count > maxWalk {
			return &Fault{fmt.Sprintf("the workspace holds more than %d files", maxWalk)}
		}
		if w.count%1024 == 0 && w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
		path := prefix + name
		if git.IsDotGit(name) {
			if path != ".git" {
				w.remarks.add("left out %s: a git directory inside the workspace", path)
			}
			continue
		}
		if len(path) > maxPath {
			w.remarks.add("left out %s…: its path is longer than %d bytes", path[:80], maxPath)
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			if errors.Is(err, unix.ENOENT) {
				continue // it went while we looked
			}
			return fmt.Errorf("look at %q: %w", path, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if err := w.visit(found{path: path, stamp: stampOf(&st)}); err != nil {
				return err
			}
			continue
		}
		if err := w.enter(dir, name, path, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) enter(dir *os.File, name, path string, depth int) error {
	if w.skipFolder != nil && w.skipFolder(path) {
		return nil
	}
	if depth >= maxDepth {
		w.remarks.add("left out %s: deeper than %d folders", path, maxDepth)
		return nil
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open folder %q: %w", path, err)
	}
	return w.folder(os.NewFile(uintptr(fd), path), path+"/", depth+1)
}

// remarks collects what a user should know about the tree, a bounded number of lines.
type remarks struct {
	lines []string
	more  int
	// emptyFolder is set when there is one.
	emptyFolder bool
}

const maxRemarks = 20

func (r *remarks) add(format string, args ...any) {
	if len(r.lines) >= maxRemarks {
		r.more++
		return
	}
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = shown(s)
		}
	}
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *remarks) list() []string {
	if r.more > 0 {
		return append(r.lines, fmt.Sprintf("and %d more remarks of this kind", r.more))
	}
	return r.lines
}

// shown makes a foreign name safe to print.
func shown(name string) string {
	if utf8.ValidString(name) {
		for _, r := range name {
			if r < 0x20 || r == '"' || r == '\\' || (r >= 0x7f && r < 0xa0) {
				return fmt.Sprintf("%q", name)
			}
		}
		return name
	}
	return fmt.Sprintf("%q", name)
}
