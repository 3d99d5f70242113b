package workspace

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/glovebox-dev/glovebox"
)

// writeFiles writes the files that the job brings along, beneath the root only: a link
// of the repository that leads out is an error, one at the file's own place is replaced.
func (w *Workspace) writeFiles(files []glovebox.File) error {
	for _, f := range files {
		if !safePath(f.Path) {
			return fmt.Errorf("write file %q: the path is not allowed", f.Path)
		}
		content := []byte(f.Content)
		if f.Base64 != "" {
			var err error
			if content, err = base64.StdEncoding.DecodeString(f.Base64); err != nil {
				return fmt.Errorf("write file %q: %w", f.Path, err)
			}
		}
		mode := os.FileMode(0o644)
		if f.Executable {
			mode = 0o755
		}
		if err := w.writeFile(f.Path, content, mode); err != nil {
			return fmt.Errorf("write file %q: %w", f.Path, err)
		}
	}
	return nil
}

func (w *Workspace) writeFile(name string, content []byte, mode os.FileMode) error {
	if dir := path.Dir(name); dir != "." {
		if err := w.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := w.root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := w.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	w.files[name] = brought{executable: mode&0o100 != 0, size: uint64(len(content)), sum: sha256.Sum256(content)}
	return errors.Join(err, f.Close())
}

// brought is what a file that the job brought along was written as.
type brought struct {
	executable bool
	size       uint64
	sum        [sha256.Size]byte
}

// unchanged reports whether a file is still as it was brought along.
func (w *Workspace) unchanged(b brought, f found) bool {
	// A file with holes may be far larger than the disk: it is not read to learn that it has grown.
	if !f.regular() || f.executable() != b.executable || f.size != b.size {
		return false
	}
	file, err := w.open(f.path)
	if err != nil {
		return false
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(file, int64(f.size))); err != nil {
		return false
	}
	return [sha256.Size]byte(sum.Sum(nil)) == b.sum
}
