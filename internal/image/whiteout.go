package image

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Whiteouts, after the OCI image specification (layer.md): an entry ".wh.NAME"
// hides NAME of the layers below, ".wh..wh..opq" hides all of its folder's. What
// the layer itself brings stays, wherever in the layer the whiteout is.
const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = ".wh..wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// whiteout handles an entry that is one; done is false for all others.
func (x *extraction) whiteout(dir, base string) (done bool, err error) {
	hidden, ok := strings.CutPrefix(base, whiteoutPrefix)
	if !ok {
		if strings.Contains("/"+dir, "/"+whiteoutMeta) {
			return true, nil // what is in a folder of AUFS's own records
		}
		return false, nil
	}
	if strings.HasPrefix(base, whiteoutMeta) && base != whiteoutOpaque {
		return true, nil
	}
	parent, err := x.folder(dir)
	if err != nil {
		return true, err
	}
	if base == whiteoutOpaque {
		return true, x.hideAll(parent)
	}
	if hidden == "" || hidden == "." || hidden == ".." {
		return true, fmt.Errorf("whiteout of %q", hidden)
	}
	return true, x.hide(parent, hidden)
}

// hideAll removes everything in dir that this layer did not make.
func (x *extraction) hideAll(dir *os.File) error {
	names, err := readNames(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := x.hide(dir, n); err != nil {
			return err
		}
	}
	return nil
}

// hide removes base from dir, but for what this layer made in it.
func (x *extraction) hide(dir *os.File, base string) error {
	fd := int(dir.Fd())
	var st unix.Stat_t
	if err := unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	}
	_, mine := x.touched[st.Ino]
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if mine {
			return nil
		}
		return unix.Unlinkat(fd, base, 0)
	}
	if len(x.touched) == 0 {
		return removeAll(dir, base)
	}
	sub, err := unix.Openat(fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(sub), base)
	err = x.hideAll(f)
	f.Close()
	if err != nil || mine {
		return err
	}
	if err := unix.Unlinkat(fd, base, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	return nil
}

// readNames lists a folder through a descriptor of its own: dir may have been read before.
func readNames(dir *os.File) ([]string, error) {
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}
