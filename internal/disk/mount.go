package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrBroken is the kernel's refusal of an image that holds no sound file system.
var ErrBroken = errors.New("broken file system")

// loopAttempts bounds the tries to get a loop device while others take them.
const loopAttempts = 64

// mount attaches image to a free loop device and mounts it at dir. The device frees
// itself once nothing uses it (autoclear). Among the options are
// barrier=0: what a job writes need not survive a power cut, so fsync need not reach
// the host's disk; and noinit_itable: the file is sparse, its tables are zeros already.
func mount(ctx context.Context, image, dir, options string) error {
	loop, err := attach(ctx, image)
	if err != nil {
		return err
	}
	defer loop.Close() // the mount holds the device from here on
	return mountLoop(loop, dir, options)
}

func mountLoop(loop *os.File, dir, options string) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME
	err := unix.Mount(loop.Name(), dir, "ext4", flags, options)
	for _, e := range []error{unix.EINVAL, unix.EUCLEAN, unix.EIO, unix.EBADMSG} {
		if errors.Is(err, e) {
			return fmt.Errorf("mount disk: %w: %w", ErrBroken, err)
		}
	}
	if err != nil {
		return fmt.Errorf("mount disk: %w (root and the ext4 file system are needed)", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount disk: %w", err)
	}
	return nil
}

// Unmount takes away whatever is mounted at dir, at once; nothing mounted there is fine. Who still
// holds files of it open keeps them.
func Unmount(dir string) error {
	for {
		err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unmount disk %s: %w", dir, err)
		} // something may be mounted below it
	}
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
