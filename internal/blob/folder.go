package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/glovebox-dev/glovebox"
)

// fileSuffix ends every blob's file name, so that "a" and "a/b" can both be keys.
const fileSuffix = "~"

// temporary is the folder of unfinished Puts; no key's part begins with "~".
const temporary = "~put"

// Folder is a Store in a folder of the host. Only one process may use it at a time.
type Folder struct {
	root  *os.Root
	seed  maphash.Seed
	locks [64]sync.Mutex // by hash of key: Put, Append and Delete of one key exclude each other
}

var _ Store = (*Folder)(nil)

// OpenFolder makes dir if it is missing and removes what unfinished Puts left there.
func OpenFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make blob folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}
	if err := root.RemoveAll(temporary); err != nil {
		return nil, errors.Join(fmt.Errorf("clean blob folder: %w", err), root.Close())
	}
	if err := root.Mkdir(temporary, 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare blob folder: %w", err), root.Close())
	}
	return &Folder{root: root, seed: maphash.MakeSeed()}, nil
}

// Close releases the folder.
func (f *Folder) Close() error { return f.root.Close() }

func (f *Folder) lock(key string) *sync.Mutex {
	return &f.locks[maphash.String(f.seed, key)%uint64(len(f.locks))]
}

// Put implements Store.
func (f *Folder) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if err := CheckKey(key); err != nil {
		return 0, err
	}
	temp := path.Join(temporary, rand.Text())
	size, err := f.fill(ctx, temp, r)
	if err == nil {
		err = f.publish(temp, key)
	}
	if err != nil {
		_ = f.root.Remove(temp)
		return 0, fmt.Errorf("store blob: %w", err)
	}
	return size, nil
}

func (f *Folder) fill(ctx context.Context, name string, r io.Reader) (int64, error) {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	size, err := io.Copy(file, contextReader{ctx, r})
	if err == nil {
		err = file.Sync()
	}
	return size, errors.Join(err, file.Close())
}

func (f *Folder) publish(temp, key string) error {
	l := f.lock(key)
	l.Lock()
	defer l.Unlock()
	if err := f.makeParent(key); err != nil {
		return err
	}
	return f.root.Rename(temp, key+fileSuffix)
}

func (f *Folder) makeParent(key string) error {
	if dir := path.Dir(key); dir != "." {
		return f.root.MkdirAll(dir, 0o700)
	}
	return nil
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// Open implements Store.
func (f *Folder) Open(_ context.Context, key string, offset int64) (io.ReadCloser, int64, error) {
	if err := CheckKey(key); err != nil {
		return nil, 0, err
	}
	if offset < 0 {
		return nil, 0, fmt.Errorf("open blob: offset %d is negative", offset)
	}
	file, err := f.root.Open(key + fileSuffix)
	if err != nil {
		return nil, 0, missing(key, err)
	}
	info, err := file.Stat()
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open blob: %w", err), file.Close())
	}
	return file, info.Size(), nil
}

func missing(key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("blob %q: %w", key, glovebox.ErrNotFound)
	}
	return fmt.Errorf("open blob %q: %w", key, err)
}

// Append implements Store. A write that fails half-way is taken back.
func (f *Folder) Append(_ context.Context, key string, offset int64, data []byte) (int64, error) {
	if err := CheckKey(key); err != nil {
		return 0, err
	}
	if offset < 0 {
		return 0, fmt.Errorf("append to blob: offset %d is negative", offset)
	}
	l := f.lock(key)
	l.Lock()
	defer l.Unlock()
	file, err := f.openAppend(key)
	if err != nil {
		return 0, fmt.Errorf("append to blob: %w", err)
	}
	end, err := appendAt(file, offset, data)
	if cerr := file.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("append to blob: %w", cerr)
	}
	return end, err
}

func (f *Folder) openAppend(key string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE
	file, err := f.root.OpenFile(key+fileSuffix, flags, 0o600)
	if !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	if err := f.makeParent(key); err != nil {
		return nil, err
	}
	return f.root.OpenFile(key+fileSuffix, flags, 0o600)
}

func appendAt(file *os.File, offset int64, data []byte) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, fmt.Errorf("append to blob: %w", err)
	}
	end := info.Size()
	if offset > end {
		return end, fmt.Errorf("append at %d of %d: %w", offset, end, glovebox.ErrOffset)
	}
	skip := end - offset
	if skip >= int64(len(data)) {
		return end, nil
	}
	if _, err := file.WriteAt(data[skip:], end); err != nil {
		return end, errors.Join(fmt.Errorf("append to blob: %w", err), file.Truncate(end))
	}
	return offset + int64(len(data)), nil
}

// Size implements Store.
func (f *Folder) Size(_ context.Context, key string) (int64, error) {
	if err := CheckKey(key); err != nil {
		return 0, err
	}
	info, err := f.root.Lstat(key + fileSuffix)
	if err != nil {
		return 0, missing(key, err)
	}
	return info.Size(), nil
}

// Delete implements Store.
func (f *Folder) Delete(_ context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	l := f.lock(key)
	l.Lock()
	defer l.Unlock()
	if err := f.root.Remove(key + fileSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete blob: %w", err)
	}
	return nil
}

// DeletePrefix implements Store.
func (f *Folder) DeletePrefix(ctx context.Context, prefix string) error {
	if err := f.Delete(ctx, prefix); err != nil {
		return err
	}
	if err := f.root.RemoveAll(prefix); err != nil {
		return fmt.Errorf("delete blobs below %q: %w", prefix, err)
	}
	return nil
}

// List implements Store.
func (f *Folder) List(ctx context.Context, prefix string) ([]Info, error) {
	if err := CheckKey(prefix); err != nil {
		return nil, err
	}
	var out []Info
	if size, err := f.Size(ctx, prefix); err == nil {
		out = append(out, Info{Key: prefix, Size: size})
	}
	err := fs.WalkDir(f.root.FS(), prefix, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		key, isBlob := strings.CutSuffix(name, fileSuffix)
		if err != nil || d.IsDir() || !isBlob {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			out = append(out, Info{Key: key, Size: info.Size()})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list blobs below %q: %w", prefix, err)
	}
	slices.SortFunc(out, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}
