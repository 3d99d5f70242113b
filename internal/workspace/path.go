package workspace

import (
	"strings"
	"unicode/utf8"
)

// Bounds on what is looked at in a tree.
const (
	maxPath  = 4000
	maxDepth = 256
)

// safePath reports whether a slash-separated path stays beneath the folder that it is
// relative to and names no git directory.
func safePath(path string) bool {
	if path == "" || len(path) > maxPath || strings.IndexByte(path, 0) >= 0 {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." || isDotGit(part) {
			return false
		}
	}
	return true
}

// isDotGit reports whether git on any file system may take the name for ".git": by
// case, by code points that HFS+ ignores, or by what NTFS ignores at the end, streams, and short names.
func isDotGit(name string) bool {
	if len(name) > 64 || (!strings.ContainsAny(name, "gG") && utf8.ValidString(name)) {
		return false
	}
	plain := strings.ToLower(strings.Map(func(r rune) rune {
		switch {
		case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
			return -1
		}
		return r
	}, name))
	plain, _, _ = strings.Cut(plain, ":")
	plain = strings.TrimRight(plain, " .")
	return plain == ".git" || plain == "git~1"
}
