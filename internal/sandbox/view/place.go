package view

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// Bind is a bind mount for the runtime to make, over what is mounted at Target, if anything.
type Bind struct {
	Source, Target string
	ReadOnly       bool
}

// Placed is what one step is shown. Remove ends it.
type Placed struct {
	Binds   []Bind
	tree    tree
	private string
	// made are the mount points in the workspace, parents first.
	made []point
}

// Place prepares caches and files in a tree of mounts, of which the last counts where two are at
// one place. private is a folder for the files' bytes that is not there yet. A *Fault is the
// step's own. After an error nothing is left behind.
func Place(mounts []Mount, private string, caches []sandbox.Cache, files []sandbox.File) (_ *Placed, err error) {
	p := &Placed{tree: mounts, private: private}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Remove())
		}
	}()
	if len(files) > sandbox.MaxFiles {
		return nil, &Fault{Path: files[0].Path, Reason: fmt.Sprintf("a step may have at most %d files", sandbox.MaxFiles)}
	}
	if len(files) > 0 {
		if err := os.Mkdir(private, 0o700); err != nil {
			return nil, p.blame(private, err)
		}
	}
	for _, c := range caches {
		if err := p.cache(c); err != nil {
			return nil, p.blame(c.Path, err)
		}
	}
	for i, f := range files {
		if err := p.file(i, f); err != nil {
			return nil, p.blame(f.Path, err)
		}
	}
	return p, nil
}

// blame tells faults of the step, among them that its disk is full, from ours.
func (p *Placed) blame(path string, err error) error {
	var fault *Fault
	if errors.As(err, &fault) {
		return &Fault{Path: path, Reason: fault.Reason}
	}
	for _, e := range []error{unix.ENOSPC, unix.EDQUOT, unix.ENAMETOOLONG, unix.EROFS} {
		if errors.Is(err, e) {
			return &Fault{Path: path, Reason: e.Error()}
		}
	}
	return fmt.Errorf("show %q: %w", path, err)
}

// cache shows one cache folder.
func (p *Placed) cache(c sandbox.Cache) error {
	at, kind, err := p.tree.resolve(c.Path)
	if err != nil {
		return err
	}
	switch m, _ := p.tree.covering(at); {
	case m.Kind == Workspace:
		return &Fault{Reason: "it leads into the workspace"}
	case m.Kind == Shared:
		return &Fault{Reason: "it leads into another cache folder"}
	case at == "/" || at == "/etc" || p.tree.leadsToMount(at):
		return &Fault{Reason: at + " holds what the sandbox itself needs"}
	case kind != 0 && kind != unix.S_IFDIR:
		return &Fault{Reason: at + " is not a folder"}
	}
	if kind == 0 {
		if err := p.make(at, true); err != nil {
			return err
		}
	}
	p.tree = append(p.tree[:len(p.tree):len(p.tree)], Mount{Target: at, Source: c.Source, Kind: Shared})
	p.Binds = append(p.Binds, Bind{Source: c.Source, Target: at})
	return nil
}

// file shows one file.
func (p *Placed) file(i int, f sandbox.File) error {
	if msg := sandbox.CheckPath(f.Path); msg != "" {
		return &Fault{Reason: msg}
	}
	at, kind, err := p.tree.resolve(f.Path)
	if err != nil {
		return err
	}
	for _, b := range p.Binds {
		if b.Target == at {
			return &Fault{Reason: at + " is shown something else already"}
		}
	}
	switch kind {
	case 0:
		if err := p.make(at, false); err != nil {
			return err
		}
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return &Fault{Reason: at + " is a folder"}
	default:
		return &Fault{Reason: at + " is a device, a pipe or a socket"}
	}
	source := path.Join(p.private, fmt.Sprint(i))
	if err := write(source, f); err != nil {
		return err
	}
	p.Binds = append(p.Binds, Bind{Source: source, Target: at, ReadOnly: true})
	return nil
}

// write makes the file that is mounted.
func write(name string, f sandbox.File) error {
	mode := os.FileMode(0o444)
	if f.Executable {
		mode = 0o555
	}
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if f.Source == "" {
		_, err = out.Write(f.Data)
	} else {
		err = copyFrom(out, f.Source)
	}
	return errors.Join(err, out.Chmod(mode), out.Close()) // the umask must not matter
}

// copyFrom copies a regular file of the host.
func copyFrom(out *os.File, source string) error {
	in, err := os.OpenFile(source, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", source)
	}
	if err == nil {
		_, err = out.ReadFrom(in)
	}
	return err
}
