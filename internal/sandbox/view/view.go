// Package view shows a step files and folders besides its image: it finds out where a
// path of the sandbox leads, makes the mount points that are missing and says what the
// runtime is to mount. Image and workspace are hostile: their links are
// followed as a process inside would follow them, by this package, never by
// the host's kernel, and everything is opened beneath the folder it lies in. What the
// runtime is given are paths with no links in them, whose mount points are there: it has
// nothing left to resolve or to make. The package must not know any one runtime.
package view

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// Kind says what may be made in a mount.
type Kind int

const (
	// Layer belongs to the step alone and is gone after it.
	Layer Kind = iota
	// Workspace outlives the step: what was made in it is taken away again.
	Workspace
	// ReadOnly can be covered, but nothing can be made in it.
	ReadOnly
	// Shared is seen by others, who must not find mount points in it.
	Shared
	// Reserved is the runtime's or the kernel's own: nothing is shown there.
	Reserved
)

// Mount is a host file or folder that a step sees at Target. Source is unused for a Reserved one.
type Mount struct {
	Target, Source string
	Kind           Kind
}

// Fault says why something can't be shown: the step's fault, not ours.
type Fault struct{ Path, Reason string }

func (f *Fault) Error() string { return fmt.Sprintf("can't show %q: %s", f.Path, f.Reason) }

const (
	// maxLinks is how many links may lie on one way, as in Linux.
	maxLinks = 40
	// maxDepth bounds the names of a path once its links are followed.
	maxDepth = 64
)

// tree is what a step sees.
type tree []Mount

// covering returns the mount that holds a path, and the path within it.
func (t tree) covering(p string) (Mount, string) {
	best := -1
	for i, m := range t {
		if sandbox.Beneath(p, m.Target) && (best < 0 || len(m.Target) >= len(t[best].Target)) {
			best = i
		}
	}
	m := t[best]
	return m, strings.TrimPrefix(strings.TrimPrefix(p, m.Target), "/")
}

// leadsToMount reports whether something is mounted beneath p: then p is a folder, if need be one that the runtime makes.
func (t tree) leadsToMount(p string) bool {
	return slices.ContainsFunc(t, func(m Mount) bool { return m.Target != p && sandbox.Beneath(m.Target, p) })
}

// open opens a path with no links on the way, for looking at it only.
func (t tree) open(p string) (int, error) {
	m, rel := t.covering(p)
	if m.Kind == Reserved {
		return -1, &Fault{Reason: m.Target + " is not the image's"}
	}
	fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %v", m.Source, err) // not wrapped: it is no answer about p
	}
	if rel == "" {
		return fd, nil
	}
	defer unix.Close(fd)
	return unix.Openat2(fd, rel, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
}

// look returns the type of what is at p, and where it leads if it is a link.
func (t tree) look(p string) (kind uint32, link string, err error) {
	fd, err := t.open(p)
	if err != nil {
		return 0, "", err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, "", fmt.Errorf("look at %s: %w", p, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		b := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, "", b)
		if err != nil {
			return 0, "", fmt.Errorf("look at %s: %w", p, err)
		}
		link = string(b[:n])
	}
	return st.Mode & unix.S_IFMT, link, nil
}

// resolve follows p as a process in the sandbox would. It returns the path with no link in
// it and the type of what is there, 0 when there is nothing.
func (t tree) resolve(p string) (string, uint32, error) {
	at, rest, links, kind := "/", parts(p), 0, uint32(unix.S_IFDIR)
	for len(rest) > 0 {
		if kind != unix.S_IFDIR {
			return "", 0, &Fault{Reason: at + " is not a folder"}
		}
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		found, link, err := t.look(next)
		switch {
		case errors.Is(err, unix.ENOENT) && t.leadsToMount(next):
			at = next
		case errors.Is(err, unix.ENOENT):
			return t.absent(next, rest)
		case errors.Is(err, unix.EXDEV):
			return "", 0, &Fault{Reason: next + " is another file system of the host"}
		case err != nil:
			return "", 0, err
		case found == unix.S_IFLNK:
			links++
			rest = append(parts(link), rest...)
			if path.IsAbs(link) {
				at = "/"
			}
		default:
			at, kind = next, found
		}
		if links > maxLinks || len(rest)+strings.Count(at, "/") > maxDepth {
			return "", 0, &Fault{Reason: "too many links or folders on the way"}
		}
	}
	return at, kind, nil
}

// absent is the end of a way whose next step is not there: nothing is mounted beneath it.
func (t tree) absent(next string, rest []string) (string, uint32, error) {
	if slices.Contains(rest, "..") {
		return "", 0, &Fault{Reason: next + " does not exist"}
	}
	return path.Join(append([]string{next}, rest...)...), 0, nil
}

// parts splits a path into its names.
func parts(p string) []string {
	return slices.DeleteFunc(strings.Split(p, "/"), func(s string) bool { return s == "" || s == "." })
}
