package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
)

// extraction unpacks layers over each other into a folder. Layers are hostile:
// every folder is resolved inside the tree (links in it, absolute ones too,
// are taken as relative to its root, as a container would), and the last part of a name is
// never followed. Devices, FIFOs and extended attributes are left out, and
// set-user-ID bits dropped: sandboxes run with no_new_privs, so nothing could use them.
type extraction struct {
	root *os.File
	path string
	// Left to use up: bytes of uncompressed layers, bytes of files (a sparse file is
	// larger than its entry) and entries.
	bytes   int64
	files   int64
	entries int
	// disk is what the tree takes, roughly.
	disk int64
	// chown is set when owners can be kept.
	chown bool
	// touched holds the inodes that the current layer made: its whiteouts don't hide them.
	touched map[uint64]struct{}
	// parent is the folder of the entry before, dirName its name.
	parent  *os.File
	dirName string
	times   []folderTime
}

type folderTime struct {
	name string
	time time.Time
}

const (
	maxName  = 4096
	maxDepth = 256
)

// newExtraction makes the folder path.
func newExtraction(path string, maxBytes int64, maxEntries int) (*extraction, error) {
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, err
	}
	root, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &extraction{root: root, path: path, bytes: maxBytes, files: maxBytes, entries: maxEntries, chown: os.Geteuid() == 0}, nil
}

func (x *extraction) close() {
	x.forget()
	x.root.Close()
}

// forget drops the remembered parent: what its name means may have changed.
func (x *extraction) forget() {
	if x.parent != nil {
		x.parent.Close()
		x.parent = nil
	}
}

// bounded counts what is read against the bytes left.
type bounded struct {
	x *extraction
	r io.Reader
}

func (b bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.x.bytes -= int64(n); b.x.bytes < 0 {
		return 0, errTooLarge()
	}
	return n, err
}

func errTooLarge() error {
	return fmt.Errorf("image is larger than allowed once unpacked: %w", glovebox.ErrTooLarge)
}

// layer unpacks one uncompressed layer over those before it.
func (x *extraction) layer(r io.Reader) error {
	x.touched = map[uint64]struct{}{}
	x.times = x.times[:0]
	tr := tar.NewReader(bounded{x, r})
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return x.setTimes()
		}
		if err != nil {
			return fmt.Errorf("read layer: %w", err)
		}
		if x.entries--; x.entries < 0 {
			return fmt.Errorf("image has more files than allowed: %w", glovebox.ErrTooLarge)
		}
		if err := x.entry(h, tr); err != nil {
			return fmt.Errorf("unpack %q: %w", shorten(h.Name), err)
		}
	}
}

// drain reads what follows a layer's last entry, so that its digest is complete.
func (x *extraction) drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, bounded{x, r})
	return err
}

func shorten(name string) string {
	if len(name) > 200 {
		return name[:200] + "…"
	}
	return name
}

// cleanName makes a name relative to the root. Names that climb are refused.
func cleanName(name string) (string, error) {
	if len(name) > maxName {
		return "", fmt.Errorf("name is longer than %d bytes", maxName)
	}
	if strings.ContainsRune(name, 0) {
		return "", errors.New("name has a NUL byte")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", errors.New(`name leads out of the image with ".."`)
		}
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}

func (x *extraction) entry(h *tar.Header, r io.Reader) error {
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeXGlobalHeader || name == "" {
		return nil
	}
	dir, base := path.Split(name)
	if done, err := x.whiteout(dir, base); done || err != nil {
		return err
	}
	parent, err := x.folder(dir)
	if err != nil {
		return err
	}
	x.disk += 4096
	switch h.Typeflag {
	case tar.TypeDir:
		return x.makeFolder(parent, name, base, h)
	case tar.TypeReg, '\x00', tar.TypeCont, tar.TypeGNUSparse:
		return x.makeFile(parent, base, h, r)
	case tar.TypeSymlink:
		return x.makeSymlink(parent, base, h)
	case tar.TypeLink:
		return x.makeLink(parent, base, h)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return nil
	}
	return fmt.Errorf("entry kind %q is not known", h.Typeflag)
}

// folder opens the folder name inside the tree, making what is missing of it.
func (x *extraction) folder(name string) (*os.File, error) {
	if x.parent != nil && x.dirName == name {
		return x.parent, nil
	}
	x.forget()
	f, err := pathrs.MkdirAllHandle(x.root, name, 0o755)
	if err != nil {
		return nil, err
	}
	// Through links a name can mean a deeper folder than it says.
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		f.Close()
		return nil, err
	}
	if strings.Count(strings.TrimPrefix(real, x.path), "/") > maxDepth {
		f.Close()
		return nil, fmt.Errorf("folders are nested more than %d deep", maxDepth)
	}
	x.parent, x.dirName = f, name
	return f, nil
}

// clear removes what has the entry's name; a folder stays when a folder comes.
func (x *extraction) clear(parent *os.File, base string, folder bool) (kept bool, err error) {
	var st unix.Stat_t
	err = unix.Fstatat(int(parent.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err != nil:
		return false, err
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return false, unix.Unlinkat(int(parent.Fd()), base, 0)
	case folder:
		return true, nil
	}
	return false, removeAll(parent, base)
}

// removeAll removes a tree beneath dir, following no link.
func removeAll(dir *os.File, base string) error {
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	if err != nil {
		return err
	}
	defer root.Close()
	return root.RemoveAll(base)
}

// own sets owner and time of an entry, and remembers it as this layer's.
func (x *extraction) own(parent *os.File, base string, h *tar.Header) error {
	fd := int(parent.Fd())
	if x.chown {
		if err := unix.Fchownat(fd, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	x.touched[st.Ino] = struct{}{}
	return setTime(fd, base, h.ModTime)
}

func setTime(fd int, base string, t time.Time) error {
	ts := unix.NsecToTimespec(0)
	if sec := t.Unix(); sec > 0 && sec < 1<<33 {
		ts = unix.Timespec{Sec: sec, Nsec: int64(t.Nanosecond())}
	}
	return unix.UtimesNanoAt(fd, base, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// setTimes sets the folders' times, which making their entries has changed.
func (x *extraction) setTimes() error {
	x.forget()
	for _, t := range x.times {
		parent, err := pathrs.OpenatInRoot(x.root, path.Dir(t.name))
		if err == nil {
			err = setTime(int(parent.Fd()), path.Base(t.name), t.time)
			parent.Close()
		}
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			return err
		}
	}
	return nil
}

// finish makes the folders that a runtime mounts on. They must be real ones: a
// link there would lead the mount elsewhere.
func (x *extraction) finish() error {
	x.forget()
	for _, name := range []string{"proc", "sys", "dev", "work", "tmp"} {
		if _, err := x.clear(x.root, name, true); err != nil {
			return err
		}
	}
	for name, mode := range map[string]os.FileMode{
		"proc": 0o755, "sys": 0o755, "dev": 0o755, "work": 0o755, "etc": 0o755, "root": 0o700, "tmp": os.ModeSticky | 0o777,
	} {
		err := os.Mkdir(filepath.Join(x.path, name), 0o755)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err == nil {
			err = os.Chmod(filepath.Join(x.path, name), mode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
