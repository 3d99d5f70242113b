package cachefolder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/disk"
)

// Folder describes one cache folder.
type Folder struct {
	Tenant, Name string
	// Size is what it takes on the host's disk, Limit what it may grow to.
	Size, Limit int64
	Used        time.Time
	InUse       bool
	place       folder
}

// List describes all folders, the one used last first.
func (s *Store) List(ctx context.Context) ([]Folder, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("list cache folders: %w", err)
	}
	defer unlock()
	return s.list()
}

// list is List with the store locked.
func (s *Store) list() ([]Folder, error) {
	entries, err := os.ReadDir(filepath.Join(s.opts.Dir, "folders"))
	if err != nil {
		return nil, fmt.Errorf("list cache folders: %w", err)
	}
	var list []Folder
	for _, e := range entries {
		f := folder{filepath.Join(s.opts.Dir, "folders", e.Name())}
		st, err := f.read()
		if err != nil {
			continue // half made; Sweep removes it
		}
		item := Folder{Tenant: st.Tenant, Name: st.Name, place: f}
		var image unix.Stat_t
		if err := unix.Lstat(f.image(), &image); err == nil {
			item.Size, item.Limit = image.Blocks*512, image.Size
		}
		if info, err := os.Lstat(f.use()); err == nil {
			item.Used = info.ModTime()
		}
		if item.InUse, err = f.held(); err != nil {
			return nil, fmt.Errorf("list cache folders: %w", err)
		}
		list = append(list, item)
	}
	slices.SortFunc(list, func(a, b Folder) int {
		return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.place.path, b.place.path))
	})
	return list, nil
}

// Remove removes a folder and all it holds. One in use is glovebox.ErrConflict, none is glovebox.ErrNotFound.
func (s *Store) Remove(ctx context.Context, tenant, name string) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return fmt.Errorf("remove cache folder %q: %w", name, err)
	}
	defer unlock()
	f := s.folder(tenant, name)
	if _, err := os.Lstat(f.path); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove cache folder %q: %w", name, glovebox.ErrNotFound)
	}
	return s.remove(f)
}

// remove deletes a folder that nobody uses. The mount goes first: deleting must not walk into it.
func (s *Store) remove(f folder) error {
	held, err := f.held()
	if err == nil && held {
		err = fmt.Errorf("it is in use: %w", glovebox.ErrConflict)
	}
	if err == nil {
		err = disk.Unmount(f.mnt())
	}
	if err == nil {
		err = os.RemoveAll(f.path)
	}
	if err != nil {
		return fmt.Errorf("remove cache folder: %w", err)
	}
	return nil
}

// evict removes the folders that were used the longest time ago while all take more than the total. The store is locked.
func (s *Store) evict() {
	list, err := s.list()
	if err != nil {
		s.log.Warn("cache folders were not measured", "error", err)
		return
	}
	var total int64
	for _, f := range list {
		total += f.Size
	}
	for _, f := range slices.Backward(list) {
		if total <= s.opts.Total {
			return
		}
		if f.InUse {
			continue
		}
		if err := s.remove(f.place); err != nil {
			s.log.Warn("a cache folder was not removed", "tenant", f.Tenant, "name", f.Name, "error", err)
			continue
		}
		s.log.Info("a cache folder was removed to make room", "tenant", f.Tenant, "name", f.Name, "size", f.Size)
		total -= f.Size
	}
}

// Sweep unmounts folders whose users died, and removes what is half made. Folders in use, by whatever process, stay.
func (s *Store) Sweep(ctx context.Context) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return fmt.Errorf("sweep cache folders: %w", err)
	}
	defer unlock()
	entries, err := os.ReadDir(filepath.Join(s.opts.Dir, "folders"))
	if err != nil {
		return fmt.Errorf("sweep cache folders: %w", err)
	}
	var errs []error
	for _, e := range entries {
		f := folder{filepath.Join(s.opts.Dir, "folders", e.Name())}
		if _, err := f.read(); err != nil {
			if held, err := f.held(); err == nil && !held {
				errs = append(errs, s.remove(f))
			}
			continue
		}
		errs = append(errs, s.unmountUnused(f))
		if err := os.Remove(f.image() + ".new"); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
