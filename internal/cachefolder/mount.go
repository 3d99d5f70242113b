package cachefolder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/disk"
)

// mount sees to it that a folder is mounted, anew if what is there can't be trusted. The store is locked.
func (s *Store) mount(ctx context.Context, f folder, tenant, name string) error {
	mounted, err := disk.Mounted(f.mnt())
	if err != nil {
		return err
	}
	st, _ := f.read() // what can't be read is the state of no folder
	doubt := ""
	if mounted {
		if doubt = f.sick(); doubt == "" {
			return nil
		}
	} else if doubt, err = s.doubt(f, st); err != nil {
		return err
	}
	st = state{Tenant: tenant, Name: name, Boot: s.boot, Mounts: st.Mounts + 1}
	for again := false; ; again = true {
		if doubt != "" {
			s.log.Warn("a cache folder is replaced by an empty one", "tenant", tenant, "name", name, "reason", doubt)
			// Who still uses the old one goes on with it until the end of its sandbox's step.
			if err := errors.Join(disk.Unmount(f.mnt()), os.Remove(f.image())); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if err := s.create(ctx, f); err != nil {
			return err
		}
		if err := f.write(st); err != nil {
			return err
		}
		err := disk.Mount(ctx, f.image(), f.mnt())
		if err == nil {
			err = f.enter()
		}
		if err == nil || again || !errors.Is(err, disk.ErrBroken) {
			return err
		}
		doubt = err.Error()
	}
}

// doubt says why the bytes of a folder that is not mounted can't be trusted; "" when they can.
func (s *Store) doubt(f folder, st state) (string, error) {
	if _, err := os.Lstat(f.image()); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	inUse, err := disk.InUse(f.image())
	if err != nil || inUse { // a living file system is the kernel's to vouch for
		return "", err
	}
	if st.Mounts == 0 {
		return "nothing is known of it", nil
	}
	if st.Boot != "" && st.Boot != s.boot {
		return "the machine went down before its bytes were on the disk", nil
	}
	clean, err := disk.Clean(f.image())
	if err == nil && !clean {
		return "it was not unmounted in order, or has errors", nil
	}
	return "", err
}

// sick says why a mounted folder can't be used; "" when it can.
func (f folder) sick() string {
	var st unix.Statfs_t
	if err := unix.Statfs(f.mnt(), &st); err != nil {
		return err.Error()
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return "its file system has errors"
	}
	if err := f.enter(); err != nil {
		return err.Error()
	}
	return ""
}

// create makes the image if it is not there.
func (s *Store) create(ctx context.Context, f folder) error {
	if _, err := os.Lstat(f.image()); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fresh := f.image() + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := disk.Format(ctx, fresh, s.opts.Size, disk.Options{}); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	return os.Rename(fresh, f.image())
}

// enter makes the folder that steps see in the mounted file system.
func (f folder) enter() error {
	err := os.Mkdir(f.content(), 0o755)
	if err == nil || !errors.Is(err, os.ErrExist) {
		if err != nil {
			err = fmt.Errorf("%w: %w", disk.ErrBroken, err)
		}
		return err
	}
	info, err := os.Lstat(f.content())
	if err != nil || !info.IsDir() {
		return fmt.Errorf("%w: its top is not as it was made (%v)", disk.ErrBroken, err)
	}
	return nil
}

// detachPatience bounds the wait for the kernel to let go of an unmounted image.
const detachPatience = 5 * time.Second

// settle writes the bytes of a folder that was let go to the host's disk, so that they can be trusted after
// the machine went down. Whoever uses the folder meanwhile settles it again afterwards.
func (s *Store) settle(f folder) {
	before, err := f.read()
	if err != nil || before.Boot == "" {
		return
	}
	if !f.detached() || syncFile(f.image()) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), releasePatience)
	defer cancel()
	unlock, err := s.lock(ctx)
	if err != nil {
		return
	}
	defer unlock()
	st, err := f.read()
	if err != nil || st != before {
		return
	}
	if inUse, err := disk.InUse(f.image()); err != nil || inUse {
		return
	}
	st.Boot = ""
	if err := f.write(st); err != nil {
		s.log.Warn("a cache folder's state was not written", "folder", f.path, "error", err)
	}
}

// detached waits until nothing uses the image.
func (f folder) detached() bool {
	for end := time.Now().Add(detachPatience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		inUse, err := disk.InUse(f.image())
		if err != nil || !inUse {
			return err == nil
		}
	}
	return false
}
