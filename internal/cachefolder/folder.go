package cachefolder

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// folder is the place of one cache folder.
type folder struct{ path string }

// folder finds the place by a hash: whatever tenant and name are, they are no path, and no two pairs share one.
func (s *Store) folder(tenant, name string) folder {
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, uint64(len(tenant))) // a hash takes everything
	h.Write([]byte(tenant))
	h.Write([]byte(name))
	return folder{filepath.Join(s.opts.Dir, "folders", hex.EncodeToString(h.Sum(nil)[:16]))}
}

func (f folder) image() string { return filepath.Join(f.path, "cache.ext4") }
func (f folder) mnt() string   { return filepath.Join(f.path, "mnt") }
func (f folder) use() string   { return filepath.Join(f.path, "use") }

// content is the folder that steps see, beneath the top of the file system, which they do not.
func (f folder) content() string { return filepath.Join(f.mnt(), "folder") }

// state is what is known of a folder besides its bytes.
type state struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
	// Boot is the boot in which the folder was written to since its bytes were last known to be on
	// the host's disk; empty when they are.
	Boot string `json:"boot,omitempty"`
	// Mounts counts how often it was mounted.
	Mounts int64 `json:"mounts"`
}

func (f folder) read() (state, error) {
	var st state
	b, err := os.ReadFile(filepath.Join(f.path, "state.json"))
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(b, &st)
}

// write replaces the state, on the host's disk too: it must not be older than the bytes it speaks of.
func (f folder) write(st state) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	path := filepath.Join(f.path, "state.json")
	out, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(b)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncFile(f.path)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// hold marks the folder as used until the file is closed, or its process dies. The store is locked.
func (f folder) hold() (*os.File, error) {
	use, err := os.OpenFile(f.use(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(use.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock cache folder: %w", err), use.Close())
	}
	f.touch(use)
	return use, nil
}

// touch notes that the folder was used just now. An old time makes it go early, no more.
func (f folder) touch(use *os.File) {
	now := time.Now()
	_ = os.Chtimes(use.Name(), now, now)
}

// held reports whether somebody uses the folder. The store is locked.
func (f folder) held() (bool, error) {
	use, err := os.OpenFile(f.use(), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer use.Close()
	err = unix.Flock(int(use.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// lock locks the store against every other process and goroutine.
func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.opts.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock cache folders: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-time.After(wait):
		}
	}
}
