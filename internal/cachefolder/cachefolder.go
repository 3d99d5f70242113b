// Package cachefolder keeps folders from job to job, such as a package manager's downloads: by
// tenant and name, each a bounded file system of its own (internal/disk), mounted while somebody
// uses it and removed when it was not used for long and room is needed. Several processes may
// share one Store's folder.
//
// Everything in a folder is as hostile as the jobs that filled it: this package never
// walks one, it only mounts, unmounts and deletes images. It must not know jobs or runtimes.
//
// A store-wide lock file is held for each change. Beside it, each user of a folder holds a
// shared lock on a file of the folder: the kernel lets go of it when a process dies, so that
// whoever comes next sees a mount with no user. A folder is a cache: one whose bytes can't be
// trusted (the machine went down before they were on its disk, the kernel refuses the file system) is
// replaced by an empty one, with a line in the log.
package cachefolder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox/internal/disk"
)

// Defaults of Options.
const (
	DefaultSize  = 8 << 30
	DefaultTotal = 64 << 30
)

// Options of Open.
type Options struct {
	// Dir is where the folders are kept. It must not be a step's to write to.
	Dir string
	// Size bounds each new folder, in bytes; DefaultSize when zero.
	Size int64
	// Total bounds what all folders take on the host's disk: beyond it, those that were not used for
	// the longest time go. Folders in use stay, whatever they grow to within Size. DefaultTotal when zero.
	Total int64
	// Logger hears of folders that were replaced or removed; silent when nil.
	Logger *slog.Logger
}

// Store hands out folders. Its methods may be called concurrently.
type Store struct {
	opts Options
	log  *slog.Logger
	// boot is the name of the time that the machine has been up.
	boot string
	// settling is what writes folders out to the host's disk.
	settling sync.WaitGroup
}

// Open makes the store's folder if need be; it mounts nothing.
func Open(o Options) (*Store, error) {
	if o.Size == 0 {
		o.Size = DefaultSize
	}
	if o.Total == 0 {
		o.Total = DefaultTotal
	}
	if o.Size < disk.Min || o.Total < o.Size {
		return nil, fmt.Errorf("open cache folders: want a size of at least %d bytes and a total that is not less", int64(disk.Min))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("open cache folders: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "folders"), 0o700); err != nil {
		return nil, fmt.Errorf("open cache folders: %w", err)
	}
	if err := os.Chmod(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open cache folders: %w", err)
	}
	return &Store{opts: o, log: o.Logger, boot: strings.TrimSpace(string(boot))}, nil
}

// Close waits for folders that are being written out; it does not end anybody's use.
func (s *Store) Close() error {
	s.settling.Wait()
	return nil
}

// maxName bounds the names of tenants and folders.
const maxName = 256

// Acquire returns the tenant's folder of that name, made empty if it is not there, mounted with nosuid and nodev, and a
// function that lets go of it. The same folder may be acquired many times at once.
func (s *Store) Acquire(ctx context.Context, tenant, name string) (_ string, release func(), err error) {
	if name == "" || len(name) > maxName || len(tenant) > maxName {
		return "", nil, fmt.Errorf("acquire cache folder: want names of 1 to %d bytes", maxName)
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("acquire cache folder %q: %w", name, err)
	}
	defer unlock()
	f := s.folder(tenant, name)
	if err := os.MkdirAll(f.mnt(), 0o700); err != nil {
		return "", nil, fmt.Errorf("acquire cache folder %q: %w", name, err)
	}
	if err := s.mount(ctx, f, tenant, name); err != nil {
		return "", nil, errors.Join(fmt.Errorf("acquire cache folder %q: %w", name, err), s.unmountUnused(f))
	}
	use, err := f.hold()
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("acquire cache folder %q: %w", name, err), s.unmountUnused(f))
	}
	s.evict()
	return f.content(), sync.OnceFunc(func() { s.release(f, use) }), nil
}

// releasePatience bounds the wait for the store's lock when a folder is let go.
const releasePatience = time.Minute

// release ends one use of a folder, and its mount with the last one.
func (s *Store) release(f folder, use *os.File) {
	ctx, cancel := context.WithTimeout(context.Background(), releasePatience)
	defer cancel()
	unlock, err := s.lock(ctx)
	if err != nil { // the next Acquire or Sweep finds the mount
		use.Close()
		s.log.Warn("a cache folder was not unmounted", "folder", f.path, "error", err)
		return
	}
	defer unlock()
	f.touch(use)
	use.Close()
	if err := s.unmountUnused(f); err != nil {
		s.log.Warn("a cache folder was not unmounted", "folder", f.path, "error", err)
		return
	}
	if held, err := f.held(); err == nil && !held {
		s.settling.Go(func() { s.settle(f) })
	}
	s.evict()
}

// unmountUnused unmounts a folder that nobody uses. The store is locked.
func (s *Store) unmountUnused(f folder) error {
	held, err := f.held()
	if err != nil || held {
		return err
	}
	return disk.Unmount(f.mnt())
}
