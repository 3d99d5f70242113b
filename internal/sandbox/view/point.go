package view

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// maxPoints bounds the mount points in a workspace: a descriptor is held for each.
const maxPoints = 512

// point is a mount point in the workspace: a name in an open folder. The step may move the
// folder elsewhere; the descriptor follows it, and a name that is another file by
// then is not ours.
type point struct {
	dir    int
	name   string
	dev    uint64
	inode  uint64
	folder bool
}

// make makes an empty file or folder at p, which is resolved, and the folders to it.
func (p *Placed) make(at string, folder bool) error {
	m, rel := p.tree.covering(at)
	switch m.Kind {
	case ReadOnly:
		return &Fault{Reason: fmt.Sprintf("it is not there and %s is read-only", m.Target)}
	case Shared:
		return &Fault{Reason: m.Target + " is a cache folder, which others see"}
	case Reserved:
		return &Fault{Reason: m.Target + " is not the image's"}
	}
	dir, err := unix.Open(m.Source, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", m.Source, err)
	}
	defer func() { unix.Close(dir) }()
	names := parts(rel)
	for i, name := range names {
		last := i == len(names)-1
		made, err := create(dir, name, folder || !last)
		if err == nil && made && m.Kind == Workspace {
			err = p.remember(dir, name, folder || !last)
		}
		if err == nil && len(p.made) > maxPoints {
			return &Fault{Reason: fmt.Sprintf("a step's files may need at most %d new names in the workspace", maxPoints)}
		}
		if err != nil {
			return fmt.Errorf("make %s: %w", path.Join(names[:i+1]...), err)
		}
		if last {
			return nil
		}
		next, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", path.Join(names[:i+1]...), err)
		}
		unix.Close(dir)
		dir = next
	}
	return nil
}

// create makes one name in an open folder. A folder may be there already.
func create(dir int, name string, folder bool) (made bool, err error) {
	if folder {
		err := unix.Mkdirat(dir, name, 0o755)
		if errors.Is(err, unix.EEXIST) {
			return false, nil
		}
		return err == nil, err
	}
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o444)
	if err != nil {
		return false, err
	}
	return true, unix.Close(fd)
}

// remember notes what was just made in the workspace; what it can't note it takes away.
func (p *Placed) remember(dir int, name string, folder bool) error {
	var st unix.Stat_t
	held := -1
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil {
		held, err = unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0)
	}
	if err != nil {
		flags := 0
		if folder {
			flags = unix.AT_REMOVEDIR
		}
		return errors.Join(err, unix.Unlinkat(dir, name, flags))
	}
	p.made = append(p.made, point{dir: held, name: name, dev: st.Dev, inode: st.Ino, folder: folder})
	return nil
}

// Remove takes away what Place made, but for what is in layers of the step's own. Folders that the step put
// something into are its own by now. It may be called twice, and for nil.
func (p *Placed) Remove() error {
	if p == nil {
		return nil
	}
	var errs []error
	for i := len(p.made) - 1; i >= 0; i-- {
		errs = append(errs, p.made[i].remove())
	}
	p.made = nil
	if err := errors.Join(append(errs, os.RemoveAll(p.private))...); err != nil {
		return fmt.Errorf("take away the step's files: %w", err)
	}
	return nil
}

func (pt point) remove() error {
	defer unix.Close(pt.dir)
	var st unix.Stat_t
	err := unix.Fstatat(pt.dir, pt.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) || err == nil && (st.Dev != pt.dev || st.Ino != pt.inode) {
		return nil
	}
	flags := 0
	if pt.folder {
		flags = unix.AT_REMOVEDIR
	}
	if err == nil {
		err = unix.Unlinkat(pt.dir, pt.name, flags)
	}
	if errors.Is(err, unix.ENOENT) || pt.folder && (errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%q: %w", pt.name, err)
	}
	return nil
}
