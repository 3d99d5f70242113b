package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// loopAttempts bounds the tries to get a loop device while others take them.
const loopAttempts = 64

// mount attaches image to a free loop device and mounts it at dir. The device frees
// itself once nothing uses it (autoclear).
func mount(ctx context.Context, image, dir string) error {
	loop, err := attach(ctx, image)
	if err != nil {
		return err
	}
	defer loop.Close() // the mount holds the device from here on
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME
	// barrier=0: what a job writes need not survive a power cut, so fsync need not reach
	// the host's disk. noinit_itable: the file is sparse, its tables are zeros already.
	if err := unix.Mount(loop.Name(), dir, "ext4", flags, "barrier=0,noinit_itable"); err != nil {
		return fmt.Errorf("mount disk: %w (root and the ext4 file system are needed)", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount disk: %w", err)
	}
	return nil
}

// attach connects image to a free loop device.
func attach(ctx context.Context, image string) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("limit disk: %w (loop devices are needed: run as root, and load the kernel module loop)", err)
	}
	defer control.Close()
	backing, err := os.OpenFile(image, os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("attach disk: %w", err)
	}
	defer backing.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	for range loopAttempts {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("limit disk: get a loop device: %w", err)
		}
		loop, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.IoctlLoopConfigure(int(loop.Fd()), &config)
			if err == nil {
				return loop, nil
			}
			loop.Close()
		}
		// Busy: another process took this device between the two calls. Missing: the node of
		// a new device is made by devtmpfs a moment later.
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOENT) {
			return nil, fmt.Errorf("limit disk: attach a loop device: %w (kernel 5.8 or newer is needed)", err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
	return nil, errors.New("limit disk: no free loop device (loop devices are needed: see max_loop of the kernel module loop)")
}
