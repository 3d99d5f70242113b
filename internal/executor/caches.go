package executor

import (
	"context"
	"fmt"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// Caches keeps the folders that a tenant's jobs share; internal/cachefolder has one.
type Caches interface {
	// Acquire returns a tenant's folder of that name, bounded, and a function that lets go of it.
	Acquire(ctx context.Context, tenant, name string) (folder string, release func(), err error)
}

// acquireCaches takes hold of the job's cache folders until cleanUp, when its sandbox is gone.
func (a *attempt) acquireCaches(ctx context.Context) ([]sandbox.Cache, error) {
	wanted := a.lease.Job.Caches
	if len(wanted) == 0 {
		return nil, nil
	}
	if a.deps.Caches == nil {
		return nil, fmt.Errorf("cache folders: %w by this executor", glovebox.ErrUnsupported)
	}
	spec := sandbox.Spec{}
	for _, c := range wanted {
		spec.Caches = append(spec.Caches, sandbox.Cache{Path: c.Path})
	}
	if err := spec.CheckCaches(); err != nil { // before folders are made for nothing
		return nil, err
	}
	for i, c := range wanted {
		folder, release, err := a.deps.Caches.Acquire(ctx, a.lease.Job.Tenant, c.Name)
		if err != nil {
			return nil, err
		}
		a.mu.Lock()
		a.releases = append(a.releases, release)
		a.mu.Unlock()
		spec.Caches[i].Source = folder
	}
	return spec.Caches, nil
}
