package workspace

import (
	"fmt"
	"strings"
)

// hidden is what of the commit was not laid out. Its methods take nil: nothing is hidden.
type hidden struct {
	files, folders map[string]bool
}

// narrow keeps the entries beneath one folder, and the .gitignore and .gitattributes of the folders above it.
func narrow(entries []entry, only string) ([]entry, *hidden, error) {
	h := &hidden{files: map[string]bool{}, folders: map[string]bool{}}
	var kept []entry
	found := false
	for _, e := range entries {
		if strings.HasPrefix(e.path, only+"/") {
			kept, found = append(kept, e), true
			continue
		}
		i := strings.LastIndexByte(e.path, '/') + 1
		name := e.path[i:]
		if (name == ".gitignore" || name == ".gitattributes") && e.mode != modeSubmodule && strings.HasPrefix(only+"/", e.path[:i]) {
			kept = append(kept, e)
			continue
		}
		h.files[e.path] = true
		for dir := e.path; ; {
			i := strings.LastIndexByte(dir, '/')
			if i < 0 || h.folders[dir[:i]] {
				break
			}
			dir = dir[:i]
			h.folders[dir] = true
		}
	}
	if !found {
		return nil, nil, &Fault{fmt.Sprintf("the repository has no folder %s at this commit", shown(only))}
	}
	return kept, h, nil
}

// file reports whether path is a file of the commit that was not laid out.
func (h *hidden) file(path string) bool { return h != nil && h.files[path] }

// covers reports whether a file at path would push something out of the commit that was not
// laid out: a folder of that name, or a file in whose place there is a folder now.
func (h *hidden) covers(path string) bool {
	if h == nil {
		return false
	}
	if h.folders[path] && !h.files[path] {
		return true
	}
	for i := strings.LastIndexByte(path, '/'); i > 0; i = strings.LastIndexByte(path[:i], '/') {
		if h.files[path[:i]] {
			return true
		}
	}
	return false
}

func sizeOf(entries []entry) (size int64) {
	for _, e := range entries {
		size += e.size
	}
	return size
}
