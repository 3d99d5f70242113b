package cli

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/cachefolder"
)

// instance is one process's claim on a folder for running jobs. Its name stands on
// everything that a runtime makes, so that what a killed process left can be found and removed.
type instance struct {
	// name is short, lower-case letters and digits.
	name string
	dir  string
	lock *os.File
	// caches are let go of with the instance, once they are set.
	caches *cachefolder.Store
}

var errBusy = errors.New("in use by another process")

// claimInstance claims the folder dir, which it makes if it is missing; errBusy when a living process
// holds it. The name depends on the folder alone: a successor has the same.
func claimInstance(dir string) (*instance, error) {
	dir, err := privateDir(dir)
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errBusy
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), lock.Close())
	}
	return &instance{name: hashHex(dir), dir: dir, lock: lock}, nil
}

// newInstance claims a folder of its own beneath parent, for a process that shares
// parent with others of its kind.
func newInstance(parent string) (*instance, error) {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return claimInstance(filepath.Join(parent, hex.EncodeToString(b[:])))
}

// abandoned claims the folders beneath parent whose processes are gone. The caller removes
// what they left, and then each folder by remove.
func abandoned(parent string) []*instance {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return nil
	}
	var list []*instance
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if left, err := claimInstance(filepath.Join(parent, e.Name())); err == nil {
			list = append(list, left)
		}
	}
	return list
}

// note writes down which runtime the process uses, for who clears up after it.
func (i *instance) note(runtime string) error {
	if err := os.WriteFile(filepath.Join(i.dir, "runtime"), []byte(runtime), 0o600); err != nil {
		return fmt.Errorf("note runtime: %w", err)
	}
	return nil
}

// runtime is what note wrote, "" when the process did not come that far.
func (i *instance) runtime() string {
	name, err := os.ReadFile(filepath.Join(i.dir, "runtime"))
	if err != nil {
		return ""
	}
	return string(name)
}

// release gives the folder up and leaves it there.
func (i *instance) release() error { return errors.Join(i.closeCaches(), i.lock.Close()) }

func (i *instance) closeCaches() error {
	if i.caches == nil {
		return nil
	}
	return i.caches.Close()
}

// remove deletes the folder and gives it up.
func (i *instance) remove() error {
	return errors.Join(i.closeCaches(), os.RemoveAll(i.dir), i.lock.Close())
}

func hashHex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:5])
}
