package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// The engine's own writable layer of a container is where new names at the top
// of the root go, beside the folders that we mount there. With the storage
// driver overlay2 it is a folder of known form, and before the container starts
// we mount one of the job's bounded disk over it. With other drivers the
// top of the root is read-only instead.

// layer is the engine's folder for a container's writable layer, with ours over it.
type layer struct {
	engines string
	ours    string
}

// boundLayer puts a new folder beneath dir over the container's layer.
func (b *box) boundLayer(ctx context.Context, id, dir string) (*layer, error) {
	c, err := b.runtime.client.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return nil, fmt.Errorf("inspect container: %w", err)
	}
	driver := c.Container.GraphDriver
	if driver == nil || driver.Data["UpperDir"] == "" {
		return nil, errors.New("the engine does not say where the container's layer is")
	}
	l := &layer{engines: filepath.Dir(driver.Data["UpperDir"]), ours: filepath.Join(dir, "layer")}
	for _, d := range []string{"", "diff", "work"} {
		if err := os.Mkdir(filepath.Join(l.ours, d), 0o755); err != nil {
			return nil, fmt.Errorf("make the container's layer: %w", err)
		}
	}
	for _, name := range []string{"link", "lower", "committed"} {
		b, err := os.ReadFile(filepath.Join(l.engines, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(l.ours, name), b, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("make the container's layer: %w", err)
		}
	}
	if err := unix.Mount(l.ours, l.engines, "", unix.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("mount the container's layer: %w", err)
	}
	// What the engine mounts in it must not show up in ours.
	if err := unix.Mount("", l.engines, "", unix.MS_PRIVATE, ""); err != nil {
		return nil, errors.Join(fmt.Errorf("mount the container's layer: %w", err), l.unmount())
	}
	return l, nil
}

// inUse tells whether the engine took our folder: the kernel leaves a folder in
// an overlay's work folder when it is mounted.
func (l *layer) inUse() bool { return exists(filepath.Join(l.ours, "work", "work")) }

// unmount gives the engine its folder back, for it to remove.
func (l *layer) unmount() error {
	if err := unmount(l.engines); err != nil {
		return fmt.Errorf("unmount the container's layer: %w", err)
	}
	return nil
}

// unmountLayer is unmount for a container found by its ID, as after a crash.
func (r *Runtime) unmountLayer(ctx context.Context, id string) {
	c, err := r.client.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil || c.Container.GraphDriver == nil {
		return
	}
	if upper := c.Container.GraphDriver.Data["UpperDir"]; upper != "" {
		_ = unmount(filepath.Dir(upper)) // most often nothing is mounted there
	}
}
