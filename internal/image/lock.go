package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// errLocked is returned by tryLock when another holds the lock.
var errLocked = errors.New("in use")

// fileLock is a held flock. The kernel frees it when its process dies.
type fileLock struct {
	release func()
}

// lock takes the lock of key, shared or exclusive. flock can't be waited for
// with a context, so it is tried again at growing distances.
func (s *Store) lock(ctx context.Context, key string, exclusive bool) (*fileLock, error) {
	wait := 2 * time.Millisecond
	for {
		l, err := s.tryLock(key, exclusive)
		if !errors.Is(err, errLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
		wait = min(2*wait, 50*time.Millisecond)
	}
}

func (s *Store) tryLock(key string, exclusive bool) (*fileLock, error) {
	f, err := os.OpenFile(filepath.Join(s.opts.Dir, "locks", key), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	for {
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("flock %s: %w", f.Name(), err)
	}
	return &fileLock{release: sync.OnceFunc(func() { f.Close() })}, nil
}
