package localrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// Bounds on the files of a git directory that are read here; git reads what is larger.
const (
	maxRefFile    = 4096
	maxPackedRefs = 32 << 20
)

// errAskGit says that git has to answer.
var errAskGit = errors.New("not a plain ref")

// Head is Revision of the default branch: the one that is checked out.
func (r Repo) Head(ctx context.Context) (ref, commit string, err error) { return r.Revision(ctx, "") }

// Revision says what a branch ("main" or "refs/heads/main") is now: its full ref and its commit. A
// branch that only the clone's origin has counts. Without a branch it is HEAD's; ref is "HEAD" when
// it is detached. The error of a branch that is not there wraps glovebox.ErrNotFound.
func (r Repo) Revision(ctx context.Context, branch string) (ref, commit string, err error) {
	if branch == "" || branch == "HEAD" {
		ref, commit, err = r.head()
		if errors.Is(err, errAskGit) {
			ref, commit, err = r.headByGit(ctx)
		}
		if errors.Is(err, glovebox.ErrNotFound) {
			err = fmt.Errorf("no commit yet: %w", err)
		}
		return ref, commit, r.explain("HEAD", err)
	}
	if err := git.CheckRev(branch); err != nil {
		return "", "", err
	}
	short := strings.TrimPrefix(branch, "refs/heads/")
	if strings.HasPrefix(short, "refs/") {
		return "", "", fmt.Errorf("%s: %q is no branch", r.Dir, branch)
	}
	for _, name := range []string{"refs/heads/" + short, "refs/remotes/origin/" + short} {
		commit, err = r.ref(name)
		if errors.Is(err, errAskGit) {
			commit, err = r.refByGit(ctx, name)
		}
		if !errors.Is(err, glovebox.ErrNotFound) {
			break
		}
	}
	return "refs/heads/" + short, commit, r.explain("branch "+short, err)
}

func (r Repo) explain(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: read %s: %w", r.Dir, what, err)
	}
	return nil
}

// head reads the work tree's HEAD.
func (r Repo) head() (ref, commit string, err error) {
	text, err := readSmall(filepath.Join(r.own, "HEAD"), maxRefFile)
	if errors.Is(err, errNotRegular) {
		return "", "", err // git would wait for a pipe's writer
	}
	if err != nil {
		return "", "", errAskGit
	}
	line := strings.TrimSuffix(string(text), "\n")
	if git.IsObjectName(line) {
		return "HEAD", line, nil
	}
	name, ok := strings.CutPrefix(line, "ref: ")
	if !ok || !strings.HasPrefix(name, "refs/heads/") || git.CheckRev(name) != nil || r.reftable() {
		return "", "", errAskGit
	}
	commit, err = r.ref(name)
	return name, commit, err
}

// ref reads a ref of the repository, loose or packed.
func (r Repo) ref(name string) (string, error) {
	if r.reftable() {
		return "", errAskGit
	}
	text, err := readSmall(filepath.Join(r.GitDir, filepath.FromSlash(name)), maxRefFile)
	switch {
	case err == nil:
		if line := strings.TrimSuffix(string(text), "\n"); git.IsObjectName(line) {
			return line, nil
		}
		return "", errAskGit
	case errors.Is(err, errNotRegular):
		return "", err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EISDIR):
	default:
		return "", errAskGit
	}
	packed, err := readSmall(filepath.Join(r.GitDir, "packed-refs"), maxPackedRefs)
	if errors.Is(err, fs.ErrNotExist) {
		return "", glovebox.ErrNotFound
	}
	if err != nil {
		return "", errAskGit
	}
	return packedRef(packed, name)
}

// reftable reports whether the refs are kept in a way that only git reads.
func (r Repo) reftable() bool {
	_, err := os.Lstat(filepath.Join(r.GitDir, "reftable"))
	return err == nil
}

// packedRef finds a ref in a packed-refs file.
func packedRef(packed []byte, name string) (string, error) {
	end := []byte(" " + name + "\n")
	for at := 0; ; {
		i := bytes.Index(packed[at:], end)
		if i < 0 {
			return "", glovebox.ErrNotFound
		}
		begin := bytes.LastIndexByte(packed[:at+i], '\n') + 1
		if object := string(packed[begin : at+i]); git.IsObjectName(object) {
			return object, nil
		}
		at += i + len(end) - 1
	}
}

func (r Repo) headByGit(ctx context.Context) (ref, commit string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askFor, errSlow)
	defer cancel()
	out, err := git.Output(ctx, r.options(), "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	if err != nil {
		return "", "", missing(err)
	}
	commit, ref = strings.TrimSpace(string(out)), "HEAD"
	if out, err := git.Output(ctx, r.options(), "symbolic-ref", "--quiet", "HEAD"); err == nil {
		if name := strings.TrimSuffix(string(out), "\n"); strings.HasPrefix(name, "refs/heads/") && git.CheckRev(name) == nil {
			ref = name
		}
	}
	return ref, commit, checkCommit(commit)
}

func (r Repo) refByGit(ctx context.Context, name string) (string, error) {
	return r.object(ctx, name+"^{commit}")
}

// object asks git for an object's full name.
func (r Repo) object(ctx context.Context, what string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askFor, errSlow)
	defer cancel()
	out, err := git.Output(ctx, r.options(), "rev-parse", "--verify", "--quiet", "--end-of-options", what)
	if err != nil {
		return "", missing(err)
	}
	name := strings.TrimSpace(string(out))
	return name, checkCommit(name)
}

// askFor bounds a question to git: it waits for ever where a repository has pipes in the place of files.
const askFor = 20 * time.Second

var errSlow = fmt.Errorf("git does not answer within %s", askFor)

// missing is the error of a quiet rev-parse that found nothing; one that says something is another.
func missing(err error) error {
	var failed *git.CommandError
	if errors.As(err, &failed) && failed.Stderr == "" {
		return fmt.Errorf("%w (%w)", glovebox.ErrNotFound, err)
	}
	return err
}

func checkCommit(commit string) error {
	if !git.IsObjectName(commit) {
		return fmt.Errorf("git named %q", commit)
	}
	return nil
}

// options are those of a git command that reads the repository.
func (r Repo) options() git.Options { return git.Options{GitDir: r.own} }

// gitFile reads a .git file: "gitdir: PATH", relative to the folder it lies in.
func gitFile(file, dir string) (string, error) {
	text, err := readSmall(file, 2*maxRefFile)
	if err != nil {
		return "", fmt.Errorf("read .git: %w", bare(err))
	}
	path, ok := strings.CutPrefix(strings.TrimRight(string(text), "\r\n"), "gitdir: ")
	if !ok || path == "" || strings.ContainsAny(path, "\x00\n") {
		return "", errors.New("its .git is no git directory")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return "", errors.New("its .git names a folder that is not there")
	}
	return filepath.Clean(path), nil
}

// commonDir is the git directory that a work tree's own one belongs to.
func commonDir(own string) (string, error) {
	text, err := readSmall(filepath.Join(own, "commondir"), 2*maxRefFile)
	if errors.Is(err, fs.ErrNotExist) {
		return own, nil
	}
	if err != nil {
		return "", fmt.Errorf("read commondir: %w", bare(err))
	}
	path := strings.TrimRight(string(text), "\r\n")
	if path == "" || strings.ContainsAny(path, "\x00\n") {
		return "", errors.New("its commondir names no folder")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(own, path)
	}
	return filepath.Clean(path), nil
}

var errNotRegular = errors.New("not a regular file")

// readSmall reads a regular file of at most max bytes. It follows no link at the file's own place and waits for no pipe.
func readSmall(path string, max int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, unix.EISDIR
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	if info.Size() > max {
		return nil, glovebox.ErrTooLarge
	}
	return io.ReadAll(io.LimitReader(f, max))
}
