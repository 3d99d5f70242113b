package patch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/glovebox-dev/glovebox"
)

// MaxFiles is how many files Stat tells of one by one; it counts all.
const MaxFiles = 10_000

// Stat reads a whole diff in one go, in bounded memory. A file that became a link, or the other way
// round, is one file, as in git diff --stat, though it has two sections.
func Stat(r io.Reader) (glovebox.Diff, []File, error) {
	var (
		total glovebox.Diff
		files []File
		last  File
	)
	sum := sha256.New()
	in := NewReader(io.TeeReader(r, sum))
	for {
		f, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return glovebox.Diff{}, nil, err
		}
		total.Insertions += f.Insertions
		total.Deletions += f.Deletions
		total.Size += f.Size
		if last.Deleted && f.New && last.Name == f.Name {
			if len(files) > 0 && files[len(files)-1].Name == f.Name {
				merged := &files[len(files)-1]
				merged.Deleted, merged.NewMode, merged.Binary = false, f.NewMode, merged.Binary || f.Binary
				merged.Insertions += f.Insertions
				merged.Size += f.Size
			}
			last = File{}
			continue
		}
		last = f
		if total.Files++; len(files) < MaxFiles {
			files = append(files, f)
		}
	}
	total.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return total, files, nil
}

// maxSections bounds what Sections returns.
const maxSections = 200_000

// Sections returns all sections of a diff. One after another they are the diff, byte for byte.
func Sections(diff []byte) ([]File, error) {
	var files []File
	for r := NewReader(bytes.NewReader(diff)); ; {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if len(files) == maxSections {
			return nil, fmt.Errorf("read diff: more than %d files", maxSections)
		}
		files = append(files, f)
	}
}
