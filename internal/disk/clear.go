package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// clearDepth is how deep Clear goes at most, with a descriptor for each level.
const clearDepth = 64

// Clear removes a folder that a job wrote to, and all beneath it. Unlike
// os.RemoveAll it never holds more than a few descriptors, however deep the tree: a
// folder too deep down is first moved to the top. Nobody else may write to it meanwhile.
func Clear(dir string) error {
	top, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clear folder: %w", err)
	}
	c := &clearing{top: top}
	for c.again = true; c.again && err == nil; {
		c.again = false
		err = c.empty(top, 0)
	}
	if err = errors.Join(err, top.Close()); err != nil {
		return fmt.Errorf("clear folder: %w", err)
	}
	return os.Remove(dir)
}

// clearing is a Clear in progress; again is set when folders were moved to the top.
type clearing struct {
	top   *os.File
	moved int
	again bool
}

// empty removes what is in an open folder.
func (c *clearing) empty(dir *os.File, depth int) error {
	if _, err := dir.Seek(0, 0); err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.remove(dir, name, depth); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}

func (c *clearing) remove(dir *os.File, name string, depth int) error {
	at := int(dir.Fd())
	err := unix.Unlinkat(at, name, 0)
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) { // the latter is POSIX's for folders
		return err
	}
	err = unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
	if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	if depth >= clearDepth {
		return c.lift(at, name)
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	sub := os.NewFile(uintptr(fd), filepath.Base(name))
	if err := errors.Join(c.empty(sub, depth+1), sub.Close()); err != nil {
		return err
	}
	return unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
}

// lift moves a folder to the top, under a name that is free.
func (c *clearing) lift(at int, name string) error {
	c.again = true
	for {
		c.moved++
		err := unix.Renameat2(at, name, int(c.top.Fd()), fmt.Sprintf("glovebox-moved-%d", c.moved), unix.RENAME_NOREPLACE)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
}
