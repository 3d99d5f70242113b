package image

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sweep removes what dead processes left in tmp: whatever a living one works on
// there, it holds the exclusive lock of.
func (s *Store) sweep() error {
	dir := filepath.Join(s.opts.Dir, "tmp")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("open image store: %w", err)
	}
	for _, e := range entries {
		key, _, _ := strings.Cut(e.Name(), ".")
		lock, err := s.tryLock(key, true)
		if errors.Is(err, errLocked) {
			continue
		}
		if err != nil {
			return fmt.Errorf("open image store: %w", err)
		}
		err = os.RemoveAll(filepath.Join(dir, e.Name()))
		lock.release()
		if err != nil {
			return fmt.Errorf("remove half unpacked image: %w", err)
		}
	}
	return nil
}

// kept is an unpacked image as evict sees it.
type kept struct {
	key   string
	bytes int64
	used  time.Time
}

// evict removes the least recently used images that nobody uses until the rest
// is within the bound. The image of the key keep stays.
func (s *Store) evict(keep string) error {
	if s.opts.MaxBytes < 0 {
		return nil
	}
	images, err := s.kept()
	if err != nil {
		return err
	}
	var total int64
	for _, i := range images {
		total += i.bytes
	}
	slices.SortFunc(images, func(a, b kept) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.key, b.key)) })
	for _, i := range images {
		if total <= s.opts.MaxBytes {
			return nil
		}
		if i.key == keep {
			continue
		}
		removed, err := s.remove(i.key)
		if err != nil {
			return fmt.Errorf("evict image %s: %w", i.key, err)
		}
		if removed {
			total -= i.bytes
			s.opts.Logger.Info("image evicted", "key", i.key, "bytes", i.bytes)
		}
	}
	return nil
}

func (s *Store) kept() ([]kept, error) {
	entries, err := os.ReadDir(filepath.Join(s.opts.Dir, "images"))
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var images []kept
	for _, e := range entries {
		info, err := os.Stat(s.recordPath(e.Name()))
		if err != nil {
			continue // being removed by another process
		}
		rec, err := s.record(e.Name())
		if err != nil {
			continue
		}
		images = append(images, kept{key: e.Name(), bytes: rec.Bytes, used: info.ModTime()})
	}
	return images, nil
}

// remove removes an image unless it is in use: it vanishes from images at once, by a rename.
func (s *Store) remove(key string) (bool, error) {
	lock, err := s.tryLock(key, true)
	if errors.Is(err, errLocked) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.release()
	tmp, err := os.MkdirTemp(filepath.Join(s.opts.Dir, "tmp"), key+".*")
	if err != nil {
		return false, err
	}
	if err := os.Rename(filepath.Join(s.opts.Dir, "images", key), filepath.Join(tmp, "gone")); err != nil {
		os.RemoveAll(tmp)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	return true, os.RemoveAll(tmp)
}
