package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// How each kind of entry is made: always in a folder that is open, by a name
// without a slash that is never followed.

func (x *extraction) makeFolder(parent *os.File, name, base string, h *tar.Header) error {
	fd := int(parent.Fd())
	kept, err := x.clear(parent, base, true)
	if err != nil {
		return err
	}
	if !kept {
		if err := unix.Mkdirat(fd, base, 0o700); err != nil {
			return err
		}
	}
	// No link can be here: clear removed all but a folder, and nobody else writes this tree.
	if err := x.own(parent, base, h); err != nil {
		return err
	}
	x.times = append(x.times, folderTime{name: name, time: h.ModTime})
	return unix.Fchmodat(fd, base, uint32(h.Mode)&0o3777, 0)
}

func (x *extraction) makeFile(parent *os.File, base string, h *tar.Header, r io.Reader) error {
	if h.Size < 0 || h.Size > x.files {
		return errTooLarge()
	}
	x.files -= h.Size
	if err := x.replace(parent, base); err != nil {
		return err
	}
	fd, err := unix.Openat(int(parent.Fd()), base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	n, err := io.Copy(f, r)
	x.disk += n
	if err == nil {
		err = x.own(parent, base, h)
	}
	if err == nil {
		err = unix.Fchmod(fd, uint32(h.Mode)&0o777)
	}
	return errors.Join(err, f.Close())
}

func (x *extraction) makeSymlink(parent *os.File, base string, h *tar.Header) error {
	if len(h.Linkname) >= maxName {
		return fmt.Errorf("link is longer than %d bytes", maxName-1)
	}
	if err := x.replace(parent, base); err != nil {
		return err
	}
	if err := unix.Symlinkat(h.Linkname, int(parent.Fd()), base); err != nil {
		return err
	}
	return x.own(parent, base, h)
}

func (x *extraction) makeLink(parent *os.File, base string, h *tar.Header) error {
	name, err := cleanName(h.Linkname)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", shorten(h.Linkname), err)
	}
	dir, err := pathrs.OpenatInRoot(x.root, path.Dir(name))
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", shorten(h.Linkname), err)
	}
	defer dir.Close()
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), path.Base(name), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("hard link to %q: %w", shorten(h.Linkname), err)
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFLNK {
		return fmt.Errorf("hard link to %q, which is not a file", shorten(h.Linkname))
	}
	if err := x.replace(parent, base); err != nil {
		return err
	}
	if err := unix.Linkat(int(dir.Fd()), path.Base(name), int(parent.Fd()), base, 0); err != nil {
		return fmt.Errorf("hard link to %q: %w", shorten(h.Linkname), err)
	}
	x.touched[st.Ino] = struct{}{}
	return nil
}

// replace clears the way for an entry that is no folder.
func (x *extraction) replace(parent *os.File, base string) error {
	_, err := x.clear(parent, base, false)
	return err
}
