package sandbox

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
)

// File is a file that one step sees, read-only, as mode 0444 or 0555: every user of the
// sandbox may read it. What the sandbox has at Path is covered, not overwritten, and links
// on the way lead where they lead inside the sandbox, never out of it. Nothing of it
// is left once the step has ended, in the workspace neither.
type File struct {
	// Path is absolute in the sandbox; missing folders are made.
	Path string
	// Data is the file's content where Source is empty; else Source is a regular file of the host.
	Data   []byte
	Source string
	// Executable makes the mode 0555.
	Executable bool
}

// Cache is a host folder that every step of a sandbox sees, read-write, and that other
// sandboxes may see at the same time. Whoever made it bounds it; set-user-ID programs and
// devices in it are nothing.
type Cache struct {
	Source string
	// Path is absolute in the sandbox, outside of the workspace.
	Path string
}

// Bounds on what a step is shown besides its image. Each is a mount; gVisor takes some 120 of them.
const (
	MaxFiles  = 64
	MaxCaches = 16
	maxPath   = 4096
)

// CheckPath says what keeps p from being a path that something can be shown at; "" when nothing does.
func CheckPath(p string) string {
	switch {
	case !path.IsAbs(p) || len(p) >= maxPath:
		return fmt.Sprintf("want an absolute path of at most %d bytes", maxPath-1)
	case !utf8.ValidString(p) || strings.IndexFunc(p, unicode.IsControl) >= 0:
		return "want UTF-8 without control characters"
	case path.Clean(p) != p || p == "/":
		return `want a path without "//", "." and "..", not ending in "/"`
	}
	return ""
}

// CheckCaches refuses caches that no runtime can show.
func (s Spec) CheckCaches() error {
	if len(s.Caches) > MaxCaches {
		return fmt.Errorf("%d cache folders, at most %d can be shown: %w", len(s.Caches), MaxCaches, glovebox.ErrUnsupported)
	}
	for i, c := range s.Caches {
		if msg := CheckPath(c.Path); msg != "" {
			return fmt.Errorf("cache folder at %q: %s: %w", c.Path, msg, glovebox.ErrUnsupported)
		}
		for _, dir := range []string{WorkspaceDir, "/proc", "/sys", "/dev"} {
			if Beneath(c.Path, dir) {
				return fmt.Errorf("cache folder at %q: want a path outside of %s: %w", c.Path, dir, glovebox.ErrUnsupported)
			}
		}
		if c.Path == "/etc" {
			return fmt.Errorf("cache folder at %q: it would hide what the sandbox puts there: %w", c.Path, glovebox.ErrUnsupported)
		}
		for _, d := range s.Caches[:i] {
			if Beneath(c.Path, d.Path) || Beneath(d.Path, c.Path) {
				return fmt.Errorf("cache folders at %q and %q lie in each other: %w", d.Path, c.Path, glovebox.ErrUnsupported)
			}
		}
	}
	return nil
}

// Beneath reports whether a clean absolute path is dir or lies beneath it.
func Beneath(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}
