package docker

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/view"
)

// root is the root file system of one step: an overlay over the image's tree
// whose changes lie in the job's scratch folder.
type root struct {
	dir    string // holds upper, work, merged, etc and files
	merged string
	// entries is what the image has at its top.
	entries []entry
	// placed is what the step is shown besides; nil for nothing.
	placed *view.Placed
}

// shown are the mounts of what the step is shown besides its image.
func (r *root) shown() []view.Bind {
	if r.placed == nil {
		return nil
	}
	return r.placed.Binds
}

// place prepares what a step sees besides its image: caches and its own files. A *view.Fault is the step's.
func (r *root) place(spec sandbox.Spec, step sandbox.Step) (err error) {
	if len(spec.Caches) == 0 && len(step.Files) == 0 {
		return nil
	}
	mounts := []view.Mount{{Target: "/", Source: r.merged}}
	for _, name := range []string{"proc", "sys", "dev", initName} {
		mounts = append(mounts, view.Mount{Target: "/" + name, Kind: view.Reserved})
	}
	for _, b := range step.Image.Binds {
		mounts = append(mounts, view.Mount{Target: filepath.Clean(b.Target), Source: b.Source, Kind: view.ReadOnly})
	}
	mounts = append(mounts, view.Mount{Target: sandbox.WorkspaceDir, Source: spec.Workspace, Kind: view.Workspace})
	r.placed, err = view.Place(mounts, filepath.Join(r.dir, "files"), spec.Caches, step.Files)
	return err
}

// mountSource marks our overlays in the mount table.
func mountSource(instance string) string { return "glovebox-docker-" + instance }

// mountRoot mounts the overlay. dir is a new folder on the job's disk.
func mountRoot(lower, dir, instance string) (*root, error) {
	r := &root{dir: dir, merged: filepath.Join(dir, "merged")}
	for _, d := range []string{dir, filepath.Join(dir, "upper"), filepath.Join(dir, "work"), r.merged} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, fmt.Errorf("make the step's root: %w", err)
		}
	}
	if err := mountOverlay(mountSource(instance), lower, filepath.Join(dir, "upper"), filepath.Join(dir, "work"), r.merged); err != nil {
		return nil, fmt.Errorf("mount the step's root: %w", err)
	}
	return r, nil
}

// mountOverlay uses the calls that take each option by itself: paths may then hold commas.
func mountOverlay(source, lower, upper, work, target string) error {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open overlayfs: %w", err)
	}
	defer unix.Close(fd)
	escape := strings.NewReplacer(`\`, `\\`, ":", `\:`)
	for _, o := range [][2]string{
		{"source", source}, {"lowerdir", escape.Replace(lower)}, {"upperdir", upper}, {"workdir", work},
	} {
		if err := unix.FsconfigSetString(fd, o[0], o[1]); err != nil {
			return fmt.Errorf("set %s: %w", o[0], err)
		}
	}
	// volatile: nothing here must survive a crash, so nothing need be flushed; older kernels lack it.
	_ = unix.FsconfigSetFlag(fd, "volatile")
	if err := unix.FsconfigCreate(fd); err != nil {
		return fmt.Errorf("create overlay: %w", err)
	}
	mfd, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return fmt.Errorf("make overlay mount: %w", err)
	}
	defer unix.Close(mfd)
	if err := unix.MoveMount(mfd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach overlay: %w", err)
	}
	return unix.Mount("", target, "", unix.MS_PRIVATE, "")
}

// etc is the folder for files that lie over the image's, on the job's disk but not in the overlay.
func (r *root) etc() string { return filepath.Join(r.dir, "etc") }

// unmount ends the overlay on the host; what the container still holds ends with it.
func (r *root) unmount() error {
	if err := unmount(r.merged); err != nil {
		return fmt.Errorf("unmount the step's root: %w", err)
	}
	return nil
}

func unmount(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil // not, or no longer, mounted
	}
	return err
}

// sweepMounts unmounts what an instance's earlier processes left mounted.
func sweepMounts(instance string) error {
	mounts, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		return i.Source != mountSource(instance), false
	})
	if err != nil {
		return fmt.Errorf("read mount table: %w", err)
	}
	var errs []error
	for _, m := range slices.Backward(mounts) {
		errs = append(errs, unmount(m.Mountpoint))
	}
	return errors.Join(errs...)
}

// entry is one name at the top of a tree: a folder or file to bind, or a link to recreate.
type entry struct {
	name string
	kind byte // 'd', 'f' or 'l'
	link string
}

// Names at the top that are not the image's to fill: the runtime mounts on them.
func reserved(name string) bool {
	switch name {
	case "proc", "sys", "dev", "work", initName:
		return true
	}
	return false
}

// maxTop bounds the entries at an image's top: each is a mount.
const maxTop = 256

// topEntries lists what a step sees at the top of its root. Names that are not UTF-8 can't be told to the
// engine and are left out.
func topEntries(tree string) ([]entry, error) {
	list, err := os.ReadDir(tree)
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	if len(list) > maxTop {
		return nil, fmt.Errorf("image has %d files and folders at its top, at most %d can be shown", len(list), maxTop)
	}
	var entries []entry
	for _, e := range list {
		if reserved(e.Name()) || !utf8.ValidString(e.Name()) {
			continue
		}
		switch e.Type() {
		case os.ModeDir:
			entries = append(entries, entry{name: e.Name(), kind: 'd'})
		case os.ModeSymlink:
			link, err := os.Readlink(filepath.Join(tree, e.Name()))
			if err != nil {
				return nil, fmt.Errorf("read image: %w", err)
			}
			entries = append(entries, entry{name: e.Name(), kind: 'l', link: link})
		case 0:
			entries = append(entries, entry{name: e.Name(), kind: 'f'})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return entries, nil
}
