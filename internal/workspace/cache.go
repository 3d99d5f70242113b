package workspace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/git"
)

// CacheOptions are what OpenCache needs.
type CacheOptions struct {
	// Dir holds everything; several processes may share it.
	Dir string
	// MaxBytes bounds the snapshots; the ones unused for the longest time go first. 20 GiB when 0.
	MaxBytes int64
	Logger   *slog.Logger
}

// Cache keeps the objects and snapshots of repositories between jobs:
//
//	DIR/<hash of the address>/repo.git            bare and shallow, one ref per commit
//	DIR/<hash of the address>/lock                held exclusively while it changes
//	DIR/<hash of the address>/snapshots/<commit>  see snapshot
//	DIR/<hash of the address>/snapshots/<commit>.lock   held shared while a job uses it
//
// Jobs read it; nothing that a step can write to is linked to it.
type Cache struct {
	opts CacheOptions
	// made counts the snapshots made here, total is the size of all as far as it is known.
	made, total atomic.Int64
}

// OpenCache makes the folder if need be.
func OpenCache(opts CacheOptions) (*Cache, error) {
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 20 << 30
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make git cache: %w", err)
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("make git cache: %w", err)
	}
	opts.Dir = dir
	return &Cache{opts: opts}, nil
}

// acquire returns the snapshot of a commit under a shared lock, made first if it is
// missing; fetched says whether the far side had to be asked. No snapshot is made of more than
// max bytes of files: a tree may name one large file very often.
func (c *Cache) acquire(ctx context.Context, address git.URL, commit string, max int64) (s *snapshot, fetched bool, err error) {
	sum := sha256.Sum256([]byte(address.Remote))
	repo := filepath.Join(c.opts.Dir, hex.EncodeToString(sum[:16]))
	dir := filepath.Join(repo, "snapshots", commit)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, false, fmt.Errorf("make git cache: %w", err)
	}
	for range 3 {
		lock, err := lockFile(ctx, dir+".lock", unix.LOCK_SH)
		if err != nil {
			return nil, fetched, err
		}
		if s, err := openSnapshot(dir, lock); err == nil {
			return s, fetched, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			c.opts.Logger.Warn("discard snapshot", "dir", dir, "error", err)
			if err := c.discard(dir, lock); err != nil {
				return nil, fetched, err
			}
		}
		_ = lock.Close()
		asked, err := c.make(ctx, repo, dir, address, commit, max)
		fetched = fetched || asked
		if err != nil {
			return nil, fetched, err
		}
	}
	return nil, fetched, fmt.Errorf("make snapshot of %s: it vanishes as soon as it is made", commit)
}

// Paths lists the paths of a commit's files and links, slash-separated, in git's order. What
// the cache lacks is fetched from url, by any transport.
func (c *Cache) Paths(ctx context.Context, url, commit string) ([]string, error) {
	if !git.IsObjectName(commit) {
		return nil, fmt.Errorf("list files of %q: not a full commit name", commit)
	}
	address, err := git.ParseURL(url)
	if err != nil {
		return nil, err
	}
	s, _, err := c.acquire(ctx, address, commit, 0)
	if err != nil {
		return nil, err
	}
	entries, err := s.entries()
	paths := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.mode != modeSubmodule {
			paths = append(paths, e.path)
		}
	}
	return paths, errors.Join(err, s.release())
}

// discard removes a damaged snapshot, if nobody else uses it.
func (c *Cache) discard(dir string, lock *os.File) error {
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil // its users end, or another finds it damaged too
	}
	return os.RemoveAll(dir)
}

// make fetches the commit if it is missing and makes its snapshot.
func (c *Cache) make(ctx context.Context, repo, dir string, address git.URL, commit string, max int64) (fetched bool, err error) {
	lock, err := lockFile(ctx, filepath.Join(repo, "lock"), unix.LOCK_EX)
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if _, err := os.Stat(filepath.Join(dir, "manifest")); err == nil {
		return false, nil // another process made it meanwhile
	}
	now := time.Now()
	if err := os.Chtimes(lock.Name(), now, now); err != nil {
		return false, fmt.Errorf("note use of git cache: %w", err)
	}
	gitDir := filepath.Join(repo, "repo.git")
	if fetched, err = fetch(ctx, gitDir, address, commit); err != nil {
		return fetched, fmt.Errorf("fetch %s: %w", commit, err)
	}
	if err := makeSnapshot(ctx, gitDir, dir, commit, max); err != nil {
		return fetched, fmt.Errorf("make snapshot of %s: %w", commit, err)
	}
	// Looking at the size of all takes as long as there are many: in between, what was made here is added up.
	if total := c.total.Add(folderSize(dir)); c.made.Add(1)%pruneEvery == 1 || total > c.opts.MaxBytes {
		c.prune(dir)
	}
	return fetched, nil
}

// fetch gets one commit, without its history, unless it is there.
func fetch(ctx context.Context, gitDir string, address git.URL, commit string) (bool, error) {
	ref := "refs/glovebox/" + commit
	if _, err := os.Stat(filepath.Join(gitDir, "HEAD")); err != nil {
		format := "sha1"
		if len(commit) == 64 {
			format = "sha256"
		}
		if err := os.RemoveAll(gitDir); err != nil {
			return false, err
		}
		if err := git.Run(ctx, git.Options{}, "init", "-q", "--bare", "--template=", "--object-format="+format, "--", gitDir); err != nil {
			return false, err
		}
	} else if git.Run(ctx, git.Options{GitDir: gitDir}, "rev-parse", "-q", "--verify", "--end-of-options", ref+"^{commit}") == nil {
		return false, nil
	}
	// What a killed fetch left would refuse the next one; the lock is ours.
	for _, name := range []string{"shallow.lock", "packed-refs.lock", filepath.Join("refs", "glovebox", commit+".lock")} {
		_ = os.Remove(filepath.Join(gitDir, name))
	}
	opts := git.Options{GitDir: gitDir, Transports: []string{address.Scheme}, Username: address.Username, Password: address.Password, AuthURL: address.Remote,
		Config: []string{"fetch.unpackLimit=1", "fetch.writeCommitGraph=false"}}
	args := []string{"fetch", "-q", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance"}
	if address.Scheme == "file" {
		args = append(args, "--upload-pack="+git.LocalUploadPack)
	}
	return true, git.Run(ctx, opts, append(args, "--end-of-options", address.Remote, "+"+commit+":"+ref)...)
}

// pruneEvery is how many snapshots are made between two looks at the size of all.
const pruneEvery = 32

// prune removes what was not used for the longest time until the rest fits, but for the folder keep:
// snapshots, and the repositories behind them, which only spare later fetches what did not change.
func (c *Cache) prune(keep string) {
	type candidate struct {
		dir, lock string
		used      time.Time
		size      int64
	}
	var all []candidate
	var total int64
	snapshots, _ := filepath.Glob(filepath.Join(c.opts.Dir, "*", "snapshots", "*.lock"))
	repos, _ := filepath.Glob(filepath.Join(c.opts.Dir, "*", "lock"))
	for _, lock := range append(snapshots, repos...) {
		dir := strings.TrimSuffix(lock, ".lock")
		if dir == lock {
			dir = filepath.Join(filepath.Dir(lock), "repo.git")
		}
		info, err := os.Stat(lock)
		size := folderSize(dir)
		if err != nil || size == 0 {
			continue
		}
		total += size
		if dir == keep {
			continue
		}
		all = append(all, candidate{dir, lock, info.ModTime(), size})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].used.Before(all[j].used) })
	defer func() { c.total.Store(total) }()
	for _, s := range all {
		if total <= c.opts.MaxBytes {
			return
		}
		removed, err := removeUnused(s.dir, s.lock)
		if err != nil {
			c.opts.Logger.Warn("prune git cache", "dir", s.dir, "error", err)
		}
		if removed {
			total -= s.size
		}
	}
}

// removeUnused removes a folder unless somebody holds its lock.
func removeUnused(dir, path string) (bool, error) {
	lock, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false, nil
	}
	return true, os.RemoveAll(dir)
}

func folderSize(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}

// lockFile opens and locks a file; the lock ends with the file, and with the process.
func lockFile(ctx context.Context, path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock git cache: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock git cache: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for git cache: %w", context.Cause(ctx)), f.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
