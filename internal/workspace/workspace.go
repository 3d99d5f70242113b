// Package workspace lays out the tree that a job's steps see, one repository at one
// commit, and reads back what they left: the diff and the outputs. Everything in the
// tree is hostile once a step ran: git never opens it, and files are opened beneath
// its root only. The package must not know queues, runtimes or servers.
//
// How it is made: a cache holds, per repository, a bare shallow repository, and per
// commit a snapshot: the raw bytes of all files in one sequential file, git's own listing of the
// tree, and one pack of the commit's objects. Laying out a commit that has a snapshot starts no git
// process: files are written straight from the sequential file, and the throw-away
// .git that steps see gets a copy of the pack. The trusted git directory lies outside
// the tree and borrows the snapshot's objects.
//
// Contents are the repository's raw bytes: no line-ending conversion, no filters, no LFS.
package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// Options describe one workspace.
type Options struct {
	// Root is the folder that becomes the tree: existing, empty, the job's own.
	Root string
	// GitDir is made by Prepare, outside Root; it holds the trusted git directory and temporary files.
	GitDir string
	// Cache holds the snapshots; not needed without a URL.
	Cache *Cache
	// URL is the repository's address (git.ParseURL); without it the workspace is empty but for Files.
	URL string
	// Password is sent to http(s) addresses with any user name; it wins over one in URL.
	Password string
	// Transports are those that URL may need; https and http when nil.
	Transports []string
	// Commit is the full name of the commit to lay out.
	Commit string
	// Only is a folder of the repository: nothing else of it is laid out, but for the .gitignore and
	// .gitattributes of the folders that it lies in. Empty for the whole repository. A folder that the commit does not have is a Fault.
	Only string
	// MaxBytes bounds the files laid out together; no bound when 0. More is a Fault.
	MaxBytes int64
	// Files are written over the tree. The diff leaves out those that no step changed.
	Files []glovebox.File
}

// Fault is a state of the workspace that the steps are to blame for.
type Fault struct{ Reason string }

func (f *Fault) Error() string { return f.Reason }

// Workspace is a laid out tree. Its methods are called one at a time.
type Workspace struct {
	// Root is the tree that steps see, GitDir the trusted git directory outside it.
	Root, GitDir string
	// Commit is what was checked out, empty without a repository.
	Commit string
	// Fetched says whether the far side was asked; false when the cache had everything.
	Fetched bool

	root *os.Root
	// id is the root folder's identity, to notice its replacement.
	id       os.FileInfo
	snapshot *snapshot
	entries  []entry
	// hidden is what Options.Only keeps out of the tree; only is that folder.
	hidden *hidden
	only   string
	// laid is the time at which all files had been written; stamps are theirs then.
	laid   time.Time
	stamps []stamp
	files  map[string]brought
	// base finds entries by path.
	base map[string]int
	// known, deleted and last are what the last call of Diff saw and answered; diffs counts its files.
	known   map[string]known
	deleted []change
	last    *answered
	diffs   int
	// ignoreFor is the constant, but for tests.
	ignoreFor time.Duration
	// more is what HoldsMore says.
	more bool
}

// Prepare lays out a workspace. After an error the caller removes Root's content and GitDir.
func Prepare(ctx context.Context, opts Options) (*Workspace, error) {
	root, err := os.OpenRoot(opts.Root)
	if err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	w := &Workspace{Root: opts.Root, GitDir: opts.GitDir, root: root, files: map[string]brought{}, ignoreFor: ignoreFor}
	if err := w.prepare(ctx, opts); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *Workspace) prepare(ctx context.Context, opts Options) (err error) {
	if w.id, err = os.Stat(opts.Root); err != nil {
		return fmt.Errorf("open workspace: %w", err)
	}
	if err := os.MkdirAll(opts.GitDir, 0o700); err != nil {
		return fmt.Errorf("make git directory: %w", err)
	}
	if opts.URL != "" {
		if err := w.checkOut(ctx, opts); err != nil {
			return err
		}
	}
	if err := w.writeFiles(opts.Files); err != nil {
		return err
	}
	w.laid = time.Now()
	return nil
}

func (w *Workspace) checkOut(ctx context.Context, opts Options) error {
	if !git.IsObjectName(opts.Commit) {
		return fmt.Errorf("check out %q: not a full commit name", opts.Commit)
	}
	if opts.Only != "" && !safePath(opts.Only) {
		return fmt.Errorf("check out only %q: the path is not allowed", opts.Only)
	}
	address, err := git.ParseURL(opts.URL)
	if err != nil {
		return err
	}
	if opts.Transports == nil {
		opts.Transports = []string{"https", "http"}
	}
	if !slices.Contains(opts.Transports, address.Scheme) {
		return fmt.Errorf("repository address %s: the transport %q is not allowed here", git.Redact(address.Remote), address.Scheme)
	}
	if opts.Password != "" {
		address.Username, address.Password = "glovebox", opts.Password
	}
	bound := opts.MaxBytes
	if opts.Only != "" && bound > 0 {
		// Workspaces of one repository share its snapshot, which may hold far more than each of them.
		bound = max(bound, opts.Cache.opts.MaxBytes)
	}
	w.snapshot, w.Fetched, err = opts.Cache.acquire(ctx, address, opts.Commit, bound)
	if err != nil {
		return err
	}
	w.Commit, w.only = opts.Commit, opts.Only
	if w.entries, err = w.snapshot.entries(); err != nil {
		return err
	}
	if opts.Only != "" {
		if w.entries, w.hidden, err = narrow(w.entries, opts.Only); err != nil {
			return err
		}
	}
	if size := sizeOf(w.entries); opts.MaxBytes > 0 && size > opts.MaxBytes {
		return &Fault{fmt.Sprintf("the files of the repository take more than %s", glovebox.Size(opts.MaxBytes))}
	}
	if w.stamps, err = checkout(ctx, w.Root, w.snapshot, w.entries); err != nil {
		return fmt.Errorf("check out %s: %w", w.Commit, err)
	}
	if err := w.makeTrusted(); err != nil {
		return fmt.Errorf("make git directory: %w", err)
	}
	if err := w.makeThrowAway(); err != nil {
		return fmt.Errorf("make the steps' git directory: %w", err)
	}
	return nil
}

// intact returns a Fault when the root is no longer the folder that was laid out.
func (w *Workspace) intact() error {
	now, err := os.Lstat(w.Root)
	if err != nil || !os.SameFile(now, w.id) {
		return &Fault{"the workspace was removed or replaced by a step"}
	}
	return nil
}

// Close lets go of the snapshot and the root. The caller removes Root and GitDir. It may be called twice.
func (w *Workspace) Close() error {
	var err error
	if w.root != nil {
		err = w.root.Close()
		w.root = nil
	}
	if w.snapshot != nil {
		err = errors.Join(err, w.snapshot.release())
		w.snapshot = nil
	}
	return err
}

func (w *Workspace) temp(name string) string { return filepath.Join(w.GitDir, name) }
