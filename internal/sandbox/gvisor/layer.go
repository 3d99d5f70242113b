package gvisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/disk"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/view"
)

// overlaySource begins the source of every overlay mount we make; instance and
// sandbox ID follow, so that Sweep can tell whose it is.
const overlaySource = "glovebox"

// layer is a step's root: the image below, a writable layer on the bounded disk above.
type layer struct {
	// root is where the two are mounted together; tmp becomes /tmp.
	root, tmp string
	// dir is the writable part.
	dir string
	// placed is what the step is shown besides; nil for nothing.
	placed *view.Placed
}

// shown are the mounts of what the step is shown besides its image.
func (l *layer) shown() []view.Bind {
	if l.placed == nil {
		return nil
	}
	return l.placed.Binds
}

// place prepares what a step sees besides its image: caches and its own files. A *view.Fault is the step's.
func (l *layer) place(spec sandbox.Spec, step sandbox.Step) (err error) {
	if len(spec.Caches) == 0 && len(step.Files) == 0 {
		return nil
	}
	mounts := []view.Mount{{Target: "/", Source: l.root}, {Target: "/tmp", Source: l.tmp}}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		mounts = append(mounts, view.Mount{Target: dir, Kind: view.Reserved})
	}
	for _, b := range step.Image.Binds {
		mounts = append(mounts, view.Mount{Target: filepath.Clean(b.Target), Source: b.Source, Kind: view.ReadOnly})
	}
	mounts = append(mounts, view.Mount{Target: sandbox.WorkspaceDir, Source: spec.Workspace, Kind: view.Workspace})
	l.placed, err = view.Place(mounts, filepath.Join(l.dir, "files"), spec.Caches, step.Files)
	return err
}

// newLayer mounts the root of a step. After an error nothing is left behind.
func newLayer(spec sandbox.Spec, step sandbox.Step, name string, files map[string]string) (_ *layer, err error) {
	dir := filepath.Join(spec.Scratch, name)
	l := &layer{dir: dir, root: filepath.Join(spec.State, name, "root"), tmp: filepath.Join(dir, "tmp")}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make root of step %q: %w", step.Key, err), l.close())
		}
	}()
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{dir, upper, work, l.tmp, l.root} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(l.tmp, 0o777|os.ModeSticky); err != nil {
		return nil, err
	}
	for _, path := range []string{step.Image.Rootfs, upper, work} {
		if strings.ContainsAny(path, ",:\\") {
			return nil, fmt.Errorf("%q can't be an overlay's layer: it holds one of , : \\", path)
		}
	}
	source := strings.Join([]string{overlaySource, spec.Instance, spec.ID}, ":")
	options := "lowerdir=" + step.Image.Rootfs + ",upperdir=" + upper + ",workdir=" + work
	if err := unix.Mount(source, l.root, "overlay", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, options); err != nil {
		return nil, fmt.Errorf("mount overlay: %w", err)
	}
	if err := unix.Mount("", l.root, "", unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("mount overlay: %w", err)
	}
	return l, writeFiles(l.root, files)
}

// writeFiles replaces files of the root by ours. The image's links are not followed out of it.
func writeFiles(dir string, files map[string]string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for name, text := range files {
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if err := root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := root.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// unmount ends the root. The writable part stays, so that the disk is as full as the step left it.
func (l *layer) unmount() error { return unmount(l.root) }

// close unmounts the root and removes the writable part. It may be called twice.
func (l *layer) close() error {
	if err := l.unmount(); err != nil {
		return err
	}
	return errors.Join(disk.Clear(l.dir), os.RemoveAll(filepath.Dir(l.root)))
}

// unmount takes away whatever is mounted at path, at once.
func unmount(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil // nothing is mounted
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
}
