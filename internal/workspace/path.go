package workspace

import (
	"strings"

	"github.com/glovebox-dev/glovebox/internal/git"
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
		if part == "" || part == "." || part == ".." || git.IsDotGit(part) {
			return false
		}
	}
	return true
}
