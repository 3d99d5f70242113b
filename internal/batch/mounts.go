package batch

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

// Bounds of mounts: as in the original format for one file, and all of a spec's together.
const (
	maxMountFile  = 10 << 20
	maxMounts     = 64 << 20
	maxMountFiles = 10_000
)

// MountReader reads files beside the spec.
type MountReader interface {
	// ReadMount returns a file, or all files beneath a folder, at a path relative to the spec.
	ReadMount(path string) ([]MountFile, error)
}

// MountFile is one file to mount.
type MountFile struct {
	// Path is relative to the mounted folder, slash-separated; empty for a mounted file.
	Path       string
	Executable bool
	Content    []byte
}

// mounted is a mounted file as jobs hold it.
type mounted struct {
	path, base64 string
	executable   bool
}

// mountCache reads each path once, for several steps, and bounds all of them together.
type mountCache struct {
	reader MountReader
	files  map[string][]mounted
	size   int
}

func (c *mountCache) read(p string) ([]mounted, error) {
	p = path.Clean(p)
	if found, ok := c.files[p]; ok {
		return found, nil
	}
	if c.reader == nil {
		return nil, fmt.Errorf("read %s: there is no folder of the spec: %w", p, fs.ErrNotExist)
	}
	files, err := c.reader.ReadMount(p)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	if len(files) > maxMountFiles {
		return nil, fmt.Errorf("read %s: more than %d files", p, maxMountFiles)
	}
	found := make([]mounted, 0, len(files))
	for _, f := range files {
		if f.Path != "" && !(fs.ValidPath(f.Path) && f.Path != "." && plain(f.Path) && len(f.Path) <= 4096) {
			return nil, fmt.Errorf("read %s: the path %q can't be mounted", p, clip(strings.ToValidUTF8(f.Path, "\ufffd")))
		}
		if len(f.Content) > maxMountFile {
			return nil, fmt.Errorf("read %s: %s is larger than %s", p, path.Join(p, f.Path), glovebox.Size(maxMountFile))
		}
		if c.size += len(f.Content); c.size > maxMounts {
			return nil, fmt.Errorf("read %s: all mounts together are larger than %s", p, glovebox.Size(maxMounts))
		}
		found = append(found, mounted{path: f.Path, base64: base64.StdEncoding.EncodeToString(f.Content), executable: f.Executable})
	}
	c.files[p] = found
	return found, nil
}

// FolderMounts reads mounts from the spec's folder. Links are followed as far as the file
// system allows: hand in that of an os.Root, which keeps them in the folder.
func FolderMounts(folder fs.FS) MountReader { return folderMounts{folder} }

type folderMounts struct{ fs.FS }

// ReadMount implements MountReader.
func (m folderMounts) ReadMount(root string) ([]MountFile, error) {
	if root = path.Clean(root); !fs.ValidPath(root) {
		return nil, errors.New("want a path in the folder of the spec")
	}
	var files []MountFile
	left := int64(maxMounts)
	err := fs.WalkDir(m.FS, root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if len(files) == maxMountFiles {
			return fmt.Errorf("more than %d files", maxMountFiles)
		}
		f, err := m.readFile(p, &left)
		if err != nil {
			return err
		}
		if p != root {
			f.Path = p
			if root != "." {
				f.Path = p[len(root)+1:]
			}
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// readFile reads a regular file. It looks before it opens: to open a pipe would wait for ever.
func (m folderMounts) readFile(p string, left *int64) (MountFile, error) {
	info, err := fs.Stat(m.FS, p)
	if err != nil {
		return MountFile{}, err
	}
	if !info.Mode().IsRegular() {
		return MountFile{}, fmt.Errorf("%s is neither a file nor a folder nor a link to a file", p)
	}
	f, err := m.Open(p)
	if err != nil {
		return MountFile{}, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxMountFile+1))
	if err != nil {
		return MountFile{}, err
	}
	if len(content) > maxMountFile {
		return MountFile{}, fmt.Errorf("%s is larger than %s", p, glovebox.Size(maxMountFile))
	}
	if *left -= int64(len(content)); *left < 0 {
		return MountFile{}, fmt.Errorf("all files together are larger than %s", glovebox.Size(maxMounts))
	}
	return MountFile{Executable: info.Mode()&0o111 != 0, Content: content}, nil
}
