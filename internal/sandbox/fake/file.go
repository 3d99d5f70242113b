package fake

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

func (b *box) openRoots() (err error) {
	if b.root, err = os.OpenRoot(b.spec.Workspace); err != nil {
		return fmt.Errorf("open workspace: %w", err)
	}
	for _, c := range b.spec.Caches {
		root, err := os.OpenRoot(c.Source)
		if err != nil {
			return fmt.Errorf("open cache folder: %w", err)
		}
		b.caches = append(b.caches, root)
	}
	return nil
}

func (b *box) closeRoots() {
	for _, root := range append(b.caches, b.root) {
		if root != nil {
			root.Close()
		}
	}
}

// readFiles takes the step's own files in. Its error is the step's fault.
func (s *script) readFiles() error {
	for _, f := range s.step.Files {
		if msg := sandbox.CheckPath(f.Path); msg != "" {
			return fmt.Errorf("can't show %q: %s", f.Path, msg)
		}
		data := f.Data
		if f.Source != "" {
			var err error
			if data, err = os.ReadFile(f.Source); err != nil {
				return err
			}
		}
		if s.files == nil {
			s.files = map[string][]byte{}
		}
		s.files[f.Path] = data
	}
	return nil
}

// place is which argument of a command is the path it works on; -1 for none.
func place(word string) int {
	switch word {
	case "write", "append", "cat", "rm", "mkdir", "exists":
		return 0
	case "link":
		return 1
	}
	return -1
}

// ownFile is the commands on a file of the step's own, which is read-only.
func (s *script) ownFile(word, name string, data []byte) error {
	switch word {
	case "cat":
		return write(s.stdout, string(data))
	case "exists":
		return nil
	}
	return failed{fmt.Sprintf("%s: %s: %v", word, name, errors.New("read-only file system"))}
}

// abs makes an argument an absolute path, from the step's folder.
func (s *script) abs(arg string) string {
	if !path.IsAbs(arg) {
		arg = path.Join(s.step.Dir, arg)
	}
	return arg
}

// find finds the folder of the host that an argument lies in, and its name there: a cache
// folder or, for everything else, the workspace.
func (s *script) find(arg string) (*os.Root, string) {
	arg = s.abs(arg)
	root, rel := s.box.root, strings.TrimPrefix(arg, sandbox.WorkspaceDir)
	for i, c := range s.box.spec.Caches {
		if sandbox.Beneath(path.Clean(arg), c.Path) {
			root, rel = s.box.caches[i], strings.TrimPrefix(path.Clean(arg), c.Path)
		}
	}
	if rel = strings.TrimPrefix(rel, "/"); rel == "" {
		rel = "."
	}
	return root, rel
}
