package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/glovebox-dev/glovebox/internal/egress"
)

// Sweep kills and removes what sandboxes of an instance left: first the processes, by
// their cgroups, then the mounts, then the networks.
func (r *Runtime) Sweep(ctx context.Context, instance string) error {
	if !names().MatchString(instance) {
		return fmt.Errorf("sweep instance %q: not a name", instance)
	}
	var errs []error
	for _, id := range r.host.sandboxes(instance) {
		c := &cgroup{unified: r.host.unified(), dirs: r.host.dirs(instance, id)}
		errs = append(errs, c.remove(ctx))
	}
	instanceGroup := &cgroup{unified: r.host.unified(), dirs: r.host.dirs(instance)}
	errs = append(errs, instanceGroup.remove(ctx), sweepMounts(instance), egress.Sweep(ctx, instance))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep instance %s: %w", instance, err)
	}
	return nil
}

// sandboxes lists the cgroups of an instance, in whichever hierarchy they still are.
func (h cgroupHost) sandboxes(instance string) []string {
	found := map[string]bool{}
	for _, dir := range h.dirs(instance) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if e.IsDir() {
				found[e.Name()] = true
			}
		}
	}
	var ids []string
	for id := range found {
		ids = append(ids, id)
	}
	return ids
}

// sweepMounts unmounts the overlays of an instance and runsc's empty namespaces.
func sweepMounts(instance string) error {
	prefix := overlaySource + ":" + instance + ":"
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.Source, prefix), false
	})
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	var errs []error
	for _, m := range mounts {
		errs = append(errs, unmount(m.Mountpoint))
	}
	entries, _ := os.ReadDir(sharedParent) // without the folder there is nothing to sweep
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), instance+"~") {
			errs = append(errs, removeShared(filepath.Join(sharedParent, e.Name())))
		}
	}
	return errors.Join(errs...)
}
