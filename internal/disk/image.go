package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount mounts the file system in an image that Format made at dir, with nosuid and nodev. An image
// that is in use already, by whomever, is mounted once more: two users then see one file
// system, where two loop devices on one image would destroy it. The caller sees to it that
// nobody else mounts the same image at the same time. Unmount ends it. On an error of the
// file system itself it becomes read-only.
func Mount(ctx context.Context, image, dir string) error {
	const options = "barrier=0,noinit_itable,errors=remount-ro"
	loop, err := attached(image)
	if err != nil {
		return err
	}
	if loop == nil {
		return mount(ctx, image, dir, options)
	}
	defer loop.Close()
	return mountLoop(loop, dir, options)
}

// InUse reports whether an image is mounted anywhere on this host, in other mount namespaces too.
func InUse(image string) (bool, error) {
	loop, err := attached(image)
	if loop != nil {
		loop.Close()
	}
	return loop != nil, err
}

// attached returns the loop device that an image is attached to, open so that it stays so; nil for none.
func attached(image string) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Stat(image, &st); err != nil {
		return nil, fmt.Errorf("find the loop device of %s: %w", image, err)
	}
	devices, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		// Of the path only the last name is looked at: a process may see the file elsewhere.
		backing, err := os.ReadFile(d)
		if err != nil || filepath.Base(strings.TrimSuffix(strings.TrimSpace(string(backing)), " (deleted)")) != filepath.Base(image) {
			continue
		}
		loop, err := os.OpenFile("/dev/"+filepath.Base(filepath.Dir(filepath.Dir(d))), os.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		// Asked only now: an open device is not given to another file.
		info, err := unix.IoctlLoopGetStatus64(int(loop.Fd()))
		if err == nil && info.Inode == st.Ino && info.Device == st.Dev {
			return loop, nil
		}
		loop.Close()
	}
	return nil, nil
}

// Where ext4 says what it is and how it was left.
const (
	superblock = 1024
	magicAt    = superblock + 0x38
	stateAt    = superblock + 0x3a
	ext4Magic  = 0xef53
	ext4Clean  = 1
)

// Clean reports whether an image that is not in use holds a file system that was unmounted in order and
// has seen no error.
func Clean(image string) (bool, error) {
	f, err := os.Open(image)
	if err != nil {
		return false, fmt.Errorf("look at image: %w", err)
	}
	defer f.Close()
	b := make([]byte, stateAt+2)
	if n, _ := f.ReadAt(b, 0); n < len(b) {
		return false, nil
	}
	return binary.LittleEndian.Uint16(b[magicAt:]) == ext4Magic && binary.LittleEndian.Uint16(b[stateAt:]) == ext4Clean, nil
}

// Mounted reports whether something is mounted at dir.
func Mounted(dir string) (bool, error) {
	var at, above unix.Stat_t
	if err := unix.Lstat(dir, &at); errors.Is(err, unix.ENOENT) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("look at %s: %w", dir, err)
	}
	if err := unix.Lstat(filepath.Dir(dir), &above); err != nil {
		return false, fmt.Errorf("look at %s: %w", dir, err)
	}
	return at.Dev != above.Dev, nil
}
