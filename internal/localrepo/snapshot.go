package localrepo

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// Bounds on a folder that a snapshot is made of.
const (
	maxSnapshotBytes = 2 << 30
	maxSnapshotFiles = 200_000
	maxSnapshotDepth = 256
	maxSnapshotPath  = 4000
)

// snapshotBranch holds the newest snapshot; each has a ref of its own besides.
const snapshotBranch = "refs/heads/main"

// Snapshot records a plain folder, which is no repository, as one commit of a bare repository in
// the store folder, so that it can be worked on. A folder that is as it was gets the same commit
// again: author and time are fixed. Links are kept as links, what .gitignore names is kept too; git
// directories, pipes, sockets and devices are left out. Git never opens the folder. Too much is
// glovebox.ErrTooLarge.
func Snapshot(ctx context.Context, folder, store string) (gitDir, commit string, err error) {
	folder, err = filepath.Abs(folder)
	if err == nil {
		folder, err = filepath.EvalSymlinks(folder)
	}
	if err != nil {
		return "", "", fmt.Errorf("record folder: %w", err)
	}
	if store, err = filepath.Abs(store); err != nil {
		return "", "", fmt.Errorf("record folder: %w", err)
	}
	if err := os.MkdirAll(store, 0o700); err != nil {
		return "", "", fmt.Errorf("record folder: %w", err)
	}
	sum := sha256.Sum256([]byte(folder))
	gitDir = filepath.Join(store, hex.EncodeToString(sum[:16])+".git")
	lock, err := os.OpenFile(strings.TrimSuffix(gitDir, ".git")+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", "", fmt.Errorf("record folder: %w", err)
	}
	defer lock.Close()
	if err := flock(ctx, lock); err != nil {
		return "", "", fmt.Errorf("record folder: %w", err)
	}
	if commit, err = snapshot(ctx, folder, store, gitDir); err != nil {
		return "", "", fmt.Errorf("record folder %s: %w", folder, err)
	}
	return gitDir, commit, nil
}

func snapshot(ctx context.Context, folder, store, gitDir string) (string, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return "", err
	}
	defer root.Close()
	t := &taker{ctx: ctx, root: root, skip: store}
	if err := t.list(".", 0); err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(gitDir, "HEAD")); err != nil {
		if err := os.RemoveAll(gitDir); err != nil {
			return "", err
		}
		if err := git.Run(ctx, git.Options{}, "init", "-q", "--bare", "--template=", "--initial-branch=main", "--", gitDir); err != nil {
			return "", err
		}
	}
	opts := git.Options{GitDir: gitDir}
	r, stream := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		out := bufio.NewWriterSize(stream, 1<<20)
		err := errors.Join(t.write(out), out.Flush())
		stream.CloseWithError(err)
		wrote <- err
	}()
	opts.Stdin, opts.Config = r, []string{"core.bigFileThreshold=64m"}
	err = git.Run(ctx, opts, "fast-import", "--quiet", "--force", "--done", "--date-format=raw")
	r.CloseWithError(errors.New("git fast-import ended"))
	if werr := <-wrote; werr != nil && (err == nil || errors.Is(werr, glovebox.ErrTooLarge) || errors.Is(werr, errChanged)) {
		return "", werr
	}
	if err != nil {
		return "", err
	}
	out, err := git.Output(ctx, git.Options{GitDir: gitDir}, "rev-parse", "--verify", "--quiet", snapshotBranch)
	if err != nil {
		return "", err
	}
	commit := strings.TrimSpace(string(out))
	if err := checkCommit(commit); err != nil {
		return "", err
	}
	// A ref of its own keeps the commit when the folder has changed and a job still works on it.
	return commit, git.Run(ctx, git.Options{GitDir: gitDir}, "update-ref", "refs/glovebox/"+commit, commit)
}

var errChanged = errors.New("it changed while it was read")

// taker lists a hostile folder beneath its root and writes it as a stream of git-fast-import(1).
type taker struct {
	ctx   context.Context
	root  *os.Root
	skip  string
	files []taken
	bytes int64
	count int
}

type taken struct {
	path   string
	mode   string
	size   int64
	target string
}

func (t *taker) list(dir string, depth int) error {
	if depth > maxSnapshotDepth {
		return fmt.Errorf("deeper than %d folders: %w", maxSnapshotDepth, glovebox.ErrTooLarge)
	}
	if t.ctx.Err() != nil {
		return context.Cause(t.ctx)
	}
	f, err := t.root.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(maxSnapshotFiles + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	sort.Strings(names)
	for _, name := range names {
		if t.count++; t.count > maxSnapshotFiles {
			return fmt.Errorf("more than %d files: %w", maxSnapshotFiles, glovebox.ErrTooLarge)
		}
		if git.IsDotGit(name) {
			continue
		}
		path := name
		if dir != "." {
			path = dir + "/" + name
		}
		if err := t.one(path, depth); err != nil {
			return err
		}
	}
	return nil
}

func (t *taker) one(path string, depth int) error {
	if len(path) > maxSnapshotPath {
		return fmt.Errorf("a path is longer than %d bytes: %w", maxSnapshotPath, glovebox.ErrTooLarge)
	}
	info, err := t.root.Lstat(path)
	if err != nil {
		return err
	}
	file := taken{path: path, mode: "100644", size: info.Size()}
	switch {
	case info.IsDir():
		if filepath.Join(t.root.Name(), path) == t.skip {
			return nil // the store itself may lie in the folder
		}
		return t.list(path, depth+1)
	case info.Mode()&fs.ModeSymlink != 0:
		if git.IsDotGitmodules(filepath.Base(path)) {
			return nil // git takes no link of that name
		}
		if file.target, err = t.root.Readlink(path); err != nil {
			return err
		}
		file.mode, file.size = "120000", int64(len(file.target))
	case !info.Mode().IsRegular():
		return nil
	case info.Mode()&0o100 != 0:
		file.mode = "100755"
	}
	if t.bytes += file.size; t.bytes > maxSnapshotBytes {
		return fmt.Errorf("more than %s of files: %w", glovebox.Size(maxSnapshotBytes), glovebox.ErrTooLarge)
	}
	t.files = append(t.files, file)
	return nil
}

func (t *taker) write(out *bufio.Writer) error {
	const message = "Folder as it was found\n"
	fmt.Fprintf(out, "reset %s\n\ncommit %s\ncommitter glovebox <glovebox@localhost> 946684800 +0000\ndata %d\n%sdeleteall\n", snapshotBranch, snapshotBranch, len(message), message)
	for i, f := range t.files {
		if i%256 == 0 && t.ctx.Err() != nil {
			return context.Cause(t.ctx)
		}
		fmt.Fprintf(out, "M %s inline %s\ndata %d\n", f.mode, git.QuotePath(f.path), f.size)
		if err := t.content(out, f); err != nil {
			return fmt.Errorf("%q: %w", f.path, err)
		}
	}
	_, err := out.WriteString("\ndone\n")
	return err
}

func (t *taker) content(out *bufio.Writer, f taken) error {
	if f.mode == "120000" {
		_, err := out.WriteString(f.target + "\n")
		return err
	}
	file, err := t.root.OpenFile(f.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errChanged
	}
	if _, err := io.CopyN(out, file, f.size); errors.Is(err, io.EOF) {
		return errChanged
	} else if err != nil {
		return err
	}
	return out.WriteByte('\n')
}
