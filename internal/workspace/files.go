package workspace

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
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
	sum := w.newHash(uint64(len(content)))
	sum.Write(content)
	w.files[name] = brought{executable: mode&0o100 != 0, size: uint64(len(content)), object: hex.EncodeToString(sum.Sum(nil))}
	return errors.Join(err, f.Close())
}

// brought is what a file that the job brought along was written as.
type brought struct {
	executable bool
	size       uint64
	// object is the content's name as git gives it.
	object string
}
