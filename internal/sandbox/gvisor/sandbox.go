package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/glovebox-dev/glovebox/internal/egress"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// Sandbox is one job's sandbox.
type Sandbox struct {
	runtime  *Runtime
	spec     sandbox.Spec
	logger   *slog.Logger
	cgroup   *cgroup
	network  *egress.Network
	launcher *launcher

	// running is held by Run for as long as it lasts and by Close while it cleans up.
	running sync.Mutex
	// sentry is the running sentry, nil or dead before a step needs a new one. Guarded by running.
	sentry *sentry
	// count numbers sentries and steps, so that a name is used once. Guarded by running.
	count int
	// last is the root of the step before, unmounted. Guarded by running.
	last *layer

	mu     sync.Mutex
	closed bool
}

// Run runs one step as a container of its own in the sentry.
func (s *Sandbox) Run(ctx context.Context, step sandbox.Step, stdout, stderr io.Writer) (sandbox.Exit, error) {
	s.running.Lock()
	defer s.running.Unlock()
	if ctx.Err() != nil {
		return sandbox.Exit{}, context.Cause(ctx)
	}
	if s.isClosed() {
		return sandbox.Exit{}, errClosed
	}
	if s.spec.Ready != nil { // the sentry's start needed no workspace
		if err := s.spec.Await(ctx); err != nil {
			return sandbox.Exit{}, err
		}
		if err := checkFolders(s.spec); err != nil {
			return sandbox.Exit{}, fmt.Errorf("run step: %w", err)
		}
	}
	if s.network != nil { // fail closed should somebody have flushed the rules meanwhile
		if err := egress.Guard(ctx); err != nil {
			return sandbox.Exit{}, err
		}
	}
	// A step that breaks the memory limit takes the sentry with it; the next gets a new one.
	if !s.sentry.alive() {
		if err := s.boot(ctx); err != nil {
			return sandbox.Exit{}, err
		}
	}
	s.clear()
	s.count++
	name := fmt.Sprintf("step-%d", s.count)
	l, err := newLayer(s.spec, step, name, s.files())
	if err != nil {
		return sandbox.Exit{}, err
	}
	s.last = l
	r := &stepRun{sandbox: s, step: step, layer: l, name: name, dir: filepath.Join(s.spec.State, name)}
	exit, err := r.runPlaced(ctx, stdout, stderr)
	if unmountErr := l.unmount(); unmountErr != nil {
		s.logger.Warn("a step's root was not unmounted", "step", step.Key, "error", unmountErr)
	}
	if s.isClosed() {
		return sandbox.Exit{}, errClosed
	}
	return exit, err
}

// clear removes the root of the step before, which gives its room on the disk to the next.
// What can't be removed is gone with the job's disk.
func (s *Sandbox) clear() {
	if s.last == nil {
		return
	}
	if err := s.last.close(); err != nil {
		s.logger.Warn("the root of the step before was not removed", "error", err)
	}
	s.last = nil
}

// files are those that every step sees whatever its image holds.
func (s *Sandbox) files() map[string]string {
	files := map[string]string{
		"etc/hosts":    "127.0.0.1\tlocalhost " + hostname + "\n::1\tlocalhost\n",
		"etc/hostname": hostname + "\n",
	}
	if s.network != nil {
		files["etc/resolv.conf"] = string(s.network.ResolvConf)
	}
	return files
}

// Sync does nothing: steps write to Spec.Workspace itself, and gVisor holds no write back.
func (s *Sandbox) Sync(context.Context) error { return nil }

func (s *Sandbox) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Close kills everything in the sandbox and removes it. A Run in progress returns.
func (s *Sandbox) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if s.cgroup != nil {
		s.cgroup.kill()
	}
	if err := s.lockRunning(ctx); err != nil {
		return fmt.Errorf("close sandbox: %w", err)
	}
	defer s.running.Unlock()
	errs := []error{s.stopSentry()}
	s.launcher.close() // whatever were left would get its parent-death signal now
	errs = append(errs, s.cgroup.remove(ctx))
	if s.network != nil {
		errs = append(errs, s.network.Close())
	}
	return errors.Join(errs...)
}

// lockRunning waits for a Run to return, killing what it may just have started.
func (s *Sandbox) lockRunning(ctx context.Context) error {
	return retry(ctx, func() bool {
		if s.running.TryLock() {
			return true
		}
		if s.cgroup != nil {
			s.cgroup.kill()
		}
		return false
	})
}
