package stepcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// DefaultMaxBytes bounds a folder unless said otherwise.
const DefaultMaxBytes = 10 << 30

// Folder is a store in a folder that several processes may share:
//
//	results/KE/KEY      an entry as Encode writes it; its mtime is the last use
//	places/HA/HASH      the inputs of a place's latest result
//
// Files appear whole, by renaming. A file that is cut short by a power loss is a miss.
type Folder struct {
	dir string
	max int64
	// put is set once something was kept: only then is there something to prune.
	put atomic.Bool
}

var (
	_ Store   = (*Folder)(nil)
	_ History = (*Folder)(nil)
)

// OpenFolder makes the folder, for its owner alone. max bounds its entries, in bytes; DefaultMaxBytes when 0.
func OpenFolder(dir string, max int64) (*Folder, error) {
	if max == 0 {
		max = DefaultMaxBytes
	}
	for _, sub := range []string{"results", "places"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("open step cache: %w", err)
		}
	}
	return &Folder{dir: dir, max: max}, nil
}

func (f *Folder) entryPath(key string) string { return filepath.Join(f.dir, "results", key[:2], key) }

func (f *Folder) placePath(place string) string {
	hash := Hash(place)
	return filepath.Join(f.dir, "places", hash[:2], hash)
}

// Get returns the entry. A damaged one is not found.
func (f *Folder) Get(_ context.Context, key string) (Entry, io.ReadCloser, error) {
	if !IsKey(key) {
		return Entry{}, nil, fmt.Errorf("step result %.80q: %w", key, glovebox.ErrNotFound)
	}
	file, err := os.Open(f.entryPath(key))
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, nil, fmt.Errorf("step result %.12s: %w", key, glovebox.ErrNotFound)
	}
	if err != nil {
		return Entry{}, nil, fmt.Errorf("read step result: %w", err)
	}
	e, diff, err := Decode(file)
	if err != nil {
		return Entry{}, nil, errors.Join(fmt.Errorf("step result %.12s: %w: %w", key, glovebox.ErrNotFound, err), file.Close())
	}
	now := time.Now()
	_ = os.Chtimes(file.Name(), now, now)
	return e, struct {
		io.Reader
		io.Closer
	}{diff, file}, nil
}

// Put keeps the entry.
func (f *Folder) Put(_ context.Context, key string, e Entry, diff io.Reader) error {
	if !IsKey(key) {
		return fmt.Errorf("keep step result: %.80q is no key", key)
	}
	f.put.Store(true)
	return replace(f.entryPath(key), func(w io.Writer) error { return Encode(w, e, diff) })
}

// Last returns the inputs of a place's latest result.
func (f *Folder) Last(place string) (Inputs, error) {
	var in Inputs
	text, err := os.ReadFile(f.placePath(place))
	if errors.Is(err, fs.ErrNotExist) {
		return in, glovebox.ErrNotFound
	}
	if err == nil {
		err = json.Unmarshal(text, &in)
	}
	if err != nil {
		return in, fmt.Errorf("read inputs: %w", err)
	}
	return in, nil
}

// Note remembers the inputs of a place.
func (f *Folder) Note(place string, in Inputs) error {
	text, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("note inputs: %w", err)
	}
	return replace(f.placePath(place), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// replace writes a file that appears whole or not at all.
func replace(path string, write func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write to step cache: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return fmt.Errorf("write to step cache: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	if err := errors.Join(write(tmp), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// staleAfter is how old a half-written file is before it counts as a dead process's.
const staleAfter = time.Hour

// Prune removes the entries used longest ago until the folder is within its bound, and what
// killed processes left half written. It does nothing unless something was kept since the folder was opened.
func (f *Folder) Prune() error {
	if !f.put.Swap(false) {
		return nil
	}
	type file struct {
		path string
		size int64
		used time.Time
	}
	var files []file
	var total int64
	err := filepath.WalkDir(filepath.Join(f.dir, "results"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		if !IsKey(d.Name()) {
			if time.Since(info.ModTime()) > staleAfter {
				return ignoreGone(os.Remove(path))
			}
			return nil
		}
		files = append(files, file{path, info.Size(), info.ModTime()})
		total += info.Size()
		return nil
	})
	if err != nil {
		return fmt.Errorf("prune step cache: %w", err)
	}
	slices.SortFunc(files, func(a, b file) int { return a.used.Compare(b.used) })
	for _, old := range files {
		if total <= f.max {
			break
		}
		if err := ignoreGone(os.Remove(old.path)); err != nil {
			return fmt.Errorf("prune step cache: %w", err)
		}
		total -= old.size
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
