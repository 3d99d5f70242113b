// Package disk makes bounded file systems: a job's workspace, writable roots and
// temporary files lie together on one, so that filling it ends in "no space left on
// device" for that job alone. It also mounts such file systems that outlive their user, for
// internal/cachefolder. It must not know jobs or runtimes.
//
// A disk is a sparse file with an ext4 file system in it, mounted through a loop device
// with nosuid and nodev. The host's own kernel made the file system and steps never
// see the device or the file, so its structure is trusted. The loop device detaches
// itself when the mount goes, so that a crash leaves a mount at most, for Sweep to find.
package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Min is the smallest disk: below it the file system's own tables leave no room.
const Min = 4 << 20

const (
	imageName = "disk.ext4"
	mountName = "mnt"
)

// Disk is one mounted, bounded file system.
type Disk struct {
	// Dir is where it is mounted. It holds the folders of Work and Scratch and nothing else of ours.
	Dir string
	// path is the folder that Create made, with the image and the mount point in it.
	path string
}

// Options of Create; the zero value is good.
type Options struct {
	// Inodes bounds the number of files and folders; one for each 8 KiB of size when zero.
	Inodes int64
}

// Usage is how full a disk is.
type Usage struct {
	Size, Free        int64
	Inodes, InodeFree int64
}

// Create makes the folder path, readable by root alone, with a disk of size bytes in
// it, mounted and with the empty folders Work and Scratch. After an error nothing is
// left behind. Close ends it.
func Create(ctx context.Context, path string, size int64, o Options) (_ *Disk, err error) {
	if size < Min {
		return nil, fmt.Errorf("create disk of %d bytes: the smallest has %d", size, int64(Min))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create disk: %w", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, fmt.Errorf("create disk: %w", err)
	}
	d := &Disk{Dir: filepath.Join(path, mountName), path: path}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	image := filepath.Join(path, imageName)
	if err := Format(ctx, image, size, o); err != nil {
		return nil, err
	}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create disk: %w", err)
	}
	if err := mount(ctx, image, d.Dir, "barrier=0,noinit_itable"); err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(d.Dir, "lost+found")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("create disk: %w", err)
	}
	for _, dir := range []string{d.Work(), d.Scratch()} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, fmt.Errorf("create disk: %w", err)
		}
	}
	return d, nil
}

// Work is the folder for the workspace.
func (d *Disk) Work() string { return filepath.Join(d.Dir, "work") }

// Scratch is the folder for a runtime's writable layers.
func (d *Disk) Scratch() string { return filepath.Join(d.Dir, "scratch") }

// Usage reports how full the disk is.
func (d *Disk) Usage() (Usage, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.Dir, &st); err != nil {
		return Usage{}, fmt.Errorf("measure disk: %w", err)
	}
	return Usage{
		Size: int64(st.Blocks) * st.Bsize, Free: int64(st.Bavail) * st.Bsize,
		Inodes: int64(st.Files), InodeFree: int64(st.Ffree),
	}, nil
}

// Full reports whether the disk has no room left worth speaking of, in bytes or in
// files: less than 1/200 of it, or of 1 MiB where that is more.
func (d *Disk) Full() (bool, error) {
	u, err := d.Usage()
	if err != nil {
		return false, err
	}
	return u.Free < min(max(u.Size/200, 256<<10), 16<<20) || u.InodeFree < min(u.Inodes/200+1, 64), nil
}

// Close unmounts the disk and removes it, with all it holds. It may be called twice.
// Processes that still hold files of it open keep them until they end, and reach nothing new.
func (d *Disk) Close() error { return remove(d.path) }

// Sweep removes the disks directly beneath dir that an earlier process left there.
// Only folders that Create made are touched. A dir that does not exist is empty.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep disks: %w", err)
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if _, err := os.Lstat(filepath.Join(path, imageName)); err == nil {
			errs = append(errs, remove(path))
		}
	}
	return errors.Join(errs...)
}

// remove unmounts and deletes one disk's folder. The mount goes first: were it kept,
// deleting the folder would walk into it, so any failure to unmount ends the removal.
func remove(path string) error {
	if err := Unmount(filepath.Join(path, mountName)); err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove disk: %w", err)
	}
	return nil
}

// Format writes an ext4 file system of size bytes into a new sparse file. Its options are those of a
// file system that need not survive a power cut: no journal, no reserve, tables written when first
// used (they read as zeros in a sparse file anyway).
func Format(ctx context.Context, image string, size int64, o Options) error {
	f, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create disk: %w", err)
	}
	err = errors.Join(f.Truncate(size), f.Close())
	if err != nil {
		return fmt.Errorf("create disk: %w", err)
	}
	mkfs, err := findMkfs()
	if err != nil {
		return err
	}
	args := []string{"-q", "-F", "-m", "0", "-b", "4096", "-O", "^has_journal,^resize_inode",
		"-E", "lazy_itable_init=1,nodiscard,root_owner=0:0"}
	if o.Inodes > 0 {
		args = append(args, "-N", fmt.Sprint(o.Inodes))
	} else {
		args = append(args, "-i", "8192")
	}
	cmd := exec.CommandContext(ctx, mkfs, append(args, image)...)
	cmd.Env = []string{"MKE2FS_SYNC=0", "MKE2FS_CONFIG=/dev/null"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format disk: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// findMkfs looks for mkfs.ext4 in PATH and where distributions keep it, which is not in
// every user's PATH.
func findMkfs() (string, error) {
	for _, name := range []string{"mkfs.ext4", "/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", errors.New("limit disk: mkfs.ext4 is missing (install the package e2fsprogs)")
}
