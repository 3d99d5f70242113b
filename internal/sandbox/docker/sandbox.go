package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/disk"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

var errClosed = errors.New("sandbox closed")

// removeTimeout bounds the removal of one object of the engine.
const removeTimeout = time.Minute

// box is one job's sandbox. It is a network at most: the containers are the steps'.
type box struct {
	runtime *Runtime
	spec    sandbox.Spec
	facts   facts
	// network is the name of the job's network; empty for none. networkID is the engine's.
	network, networkID string

	life     context.Context // ends with Close
	end      context.CancelCauseFunc
	running  sync.Mutex // held by Run, and for good once closed
	steps    int
	last     *root          // of the step before
	removals sync.WaitGroup // of containers, in the background
	close    sync.Once
	closed   chan struct{}
	closeErr error
}

// Create makes a sandbox: checks what it is given, and makes its network if it has one.
func (r *Runtime) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	switch spec.Network {
	case glovebox.NetworkNone, glovebox.NetworkPublic:
	default:
		return nil, fmt.Errorf("network policy %q on docker: %w", spec.Network, glovebox.ErrUnsupported)
	}
	if err := spec.CheckCaches(); err != nil {
		return nil, fmt.Errorf("create sandbox %s: %w", spec.ID, err)
	}
	if err := spec.Await(ctx); err != nil {
		return nil, fmt.Errorf("create sandbox %s: %w", spec.ID, err)
	}
	dirs := []string{spec.Workspace, spec.Scratch, spec.State}
	for _, c := range spec.Caches {
		dirs = append(dirs, c.Source)
	}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("create sandbox %s: %w", spec.ID, err)
		} else if !info.IsDir() || !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("create sandbox %s: %s is no absolute folder", spec.ID, dir)
		}
	}
	f, err := r.learn(ctx)
	if err != nil {
		return nil, fmt.Errorf("create sandbox %s: %w", spec.ID, err)
	}
	b := &box{runtime: r, spec: spec, facts: f, closed: make(chan struct{})}
	b.life, b.end = context.WithCancelCause(context.Background())
	if spec.Network == glovebox.NetworkPublic {
		if err := b.createNetwork(ctx); err != nil {
			return nil, fmt.Errorf("create sandbox %s: %w", spec.ID, err)
		}
	}
	return b, nil
}

// Sync does nothing: the workspace is the host's own folder.
func (b *box) Sync(context.Context) error { return nil }

// Close kills a running step, waits for it, and removes everything.
func (b *box) Close(ctx context.Context) error {
	b.close.Do(func() {
		b.end(errClosed)
		go b.dismantle()
	})
	select {
	case <-b.closed:
		return b.closeErr
	case <-ctx.Done():
		return fmt.Errorf("close sandbox %s: %w", b.spec.ID, context.Cause(ctx))
	}
}

func (b *box) dismantle() {
	defer close(b.closed)
	b.running.Lock() // until Run has returned; never unlocked
	b.removals.Wait()
	if b.networkID != "" {
		ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
		defer cancel()
		b.closeErr = b.runtime.removeNetwork(ctx, b.networkID)
	}
}

// nextRoot mounts the root of the next step, after clearing the disk of the last one's.
func (b *box) nextRoot(lower string) (*root, error) {
	if b.last != nil {
		// What can't be removed is gone with the job's disk.
		_ = disk.Clear(b.last.dir)
		b.last = nil
	}
	b.steps++
	root, err := mountRoot(lower, filepath.Join(b.spec.Scratch, "root-"+strconv.Itoa(b.steps)), b.spec.Instance)
	if err != nil {
		return nil, err
	}
	b.last = root
	return root, nil
}

// removeLater removes a step's container in the background; Close waits for it.
func (b *box) removeLater(id string, l *layer, group string) {
	b.removals.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
		defer cancel()
		var err error
		if l != nil {
			err = l.unmount()
		}
		err = errors.Join(err, b.runtime.remove(ctx, id))
		if group != "" {
			removeGroup(cgroups, group)
		}
		if err != nil {
			b.runtime.log.Warn("container left behind", "sandbox", b.spec.ID, "container", id, "error", err)
		}
	})
}
