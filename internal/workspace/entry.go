package workspace

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Modes of git's tree entries.
const (
	modeFile       = "100644"
	modeExecutable = "100755"
	modeLink       = "120000"
	modeSubmodule  = "160000"
)

// entry is one file of the commit, in git's order.
type entry struct {
	mode, object, path string
	// size and offset say where its bytes are in the snapshot's data.
	size, offset int64
}

// parseEntries reads the output of "git ls-tree -r -z -l". Paths that could leave the
// tree or plant a git directory are refused: a commit may be forged.
func parseEntries(list []byte) ([]entry, error) {
	entries := make([]entry, 0, bytes.Count(list, []byte{0}))
	text, offset := string(list), int64(0)
	for text != "" {
		line, rest, ok := strings.Cut(text, "\x00")
		if !ok {
			return nil, fmt.Errorf("read tree: cut short")
		}
		text = rest
		head, path, ok := strings.Cut(line, "\t")
		fields := strings.Fields(head)
		if !ok || len(fields) != 4 {
			return nil, fmt.Errorf("read tree: malformed line %q", line)
		}
		if !safePath(path) {
			return nil, fmt.Errorf("read tree: the path %q is not allowed", path)
		}
		e := entry{mode: fields[0], object: fields[2], path: path, offset: offset}
		switch e.mode {
		case modeSubmodule:
		case modeFile, modeExecutable, modeLink, "100664":
			size, err := strconv.ParseInt(fields[3], 10, 64)
			if err != nil || size < 0 || size > math.MaxInt64-offset {
				return nil, fmt.Errorf("read tree: size of %q: %q", path, fields[3])
			}
			e.size = size
			offset += size
		default:
			return nil, fmt.Errorf("read tree: mode %s of %q is unknown", e.mode, path)
		}
		if e.mode == "100664" {
			e.mode = modeFile
		}
		entries = append(entries, e)
	}
	return entries, nil
}
