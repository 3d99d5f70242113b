package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// stamp is what tells an untouched file: no step can set a file's change time, and a
// replaced file has another inode.
type stamp struct {
	inode, size  uint64
	mode         uint32
	mtime, ctime unix.Timespec
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{inode: st.Ino, size: uint64(st.Size), mode: st.Mode, mtime: st.Mtim, ctime: st.Ctim}
}

// checkout writes all entries of a snapshot beneath root, which is empty and not yet
// seen by any step. Links are made last, so that no path can lead through one.
func checkout(ctx context.Context, root string, s *snapshot, entries []entry) ([]stamp, error) {
	if err := makeFolders(root, entries); err != nil {
		return nil, err
	}
	stamps := make([]stamp, len(entries))
	when := unix.NsecToTimespec(s.time().UnixNano())
	group, ctx := errgroup.WithContext(ctx)
	parts := max(2, min(8, runtime.GOMAXPROCS(0)))
	for part := range parts {
		// Neighbours lie in one folder: each part is a contiguous run, so that two rarely wait for one folder's lock.
		from, to := part*len(entries)/parts, (part+1)*len(entries)/parts
		group.Go(func() error {
			buf := make([]byte, 256<<10)
			for i := from; i < to; i++ {
				if i%64 == 0 && ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if e := entries[i]; e.mode == modeFile || e.mode == modeExecutable {
					if err := writeEntry(root, s.data, e, when, &stamps[i], buf); err != nil {
						return fmt.Errorf("write %q: %w", e.path, err)
					}
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, e := range entries {
		if e.mode == modeLink {
			if err := writeLink(root, s.data, e, when, &stamps[i]); err != nil {
				return nil, fmt.Errorf("write %q: %w", e.path, err)
			}
		}
	}
	return stamps, nil
}

func makeFolders(root string, entries []entry) error {
	made := map[string]bool{".": true}
	var makeAll func(dir string) error
	makeAll = func(dir string) error {
		if made[dir] {
			return nil
		}
		if err := makeAll(filepath.Dir(dir)); err != nil {
			return err
		}
		made[dir] = true
		path := filepath.Join(root, dir)
		if err := unix.Mkdir(path, 0o755); err != nil {
			return fmt.Errorf("make folder %q: %w", dir, err)
		}
		return unix.Chmod(path, 0o755)
	}
	last := ""
	for _, e := range entries {
		dir := "."
		if i := strings.LastIndexByte(e.path, '/'); i >= 0 {
			dir = e.path[:i]
		}
		if e.mode == modeSubmodule {
			dir = e.path
		}
		if dir == last {
			continue
		}
		last = dir
		if err := makeAll(dir); err != nil {
			return err
		}
	}
	return nil
}

func writeEntry(root string, data io.ReaderAt, e entry, when unix.Timespec, st *stamp, buf []byte) error {
	mode := uint32(0o644)
	if e.mode == modeExecutable {
		mode = 0o755
	}
	fd, err := unix.Open(root+"/"+e.path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return err
	}
	err = fill(fd, data, e, buf)
	if err == nil {
		err = setTimes(fd, when)
	}
	var info unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &info)
	}
	if err == nil && info.Mode&0o777 != mode { // an unusual umask
		err = errors.Join(unix.Fchmod(fd, mode), unix.Fstat(fd, &info))
	}
	*st = stampOf(&info)
	return errors.Join(err, unix.Close(fd))
}

func fill(fd int, data io.ReaderAt, e entry, buf []byte) error {
	for done := int64(0); done < e.size; {
		n, err := data.ReadAt(buf[:min(e.size-done, int64(len(buf)))], e.offset+done)
		if n == 0 {
			return err
		}
		for p := buf[:n]; len(p) > 0; {
			m, err := unix.Write(fd, p)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return err
			}
			p = p[m:]
		}
		done += int64(n)
	}
	return nil
}

// setTimes is futimens(3), which x/sys/unix lacks: utimensat with a descriptor and no path.
func setTimes(fd int, when unix.Timespec) error {
	times := [2]unix.Timespec{when, when}
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times[0])), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func writeLink(root string, data io.ReaderAt, e entry, when unix.Timespec, st *stamp) error {
	if e.size == 0 || e.size >= unix.PathMax {
		return fmt.Errorf("link target of %d bytes", e.size)
	}
	target := make([]byte, e.size)
	if _, err := data.ReadAt(target, e.offset); err != nil {
		return err
	}
	path := root + "/" + e.path
	if err := unix.Symlink(string(target), path); err != nil {
		return err
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	var info unix.Stat_t
	if err := unix.Lstat(path, &info); err != nil {
		return err
	}
	*st = stampOf(&info)
	return nil
}
