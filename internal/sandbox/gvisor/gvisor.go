// Package gvisor is the default runtime: gVisor, linked into our own binary, which is
// executed again as runsc. One sentry (gVisor's kernel in user space) serves one job;
// its first container holds it open and each step is a container of its own in it.
//
// What bounds a job: a cgroup of the host around the sentry (memory, CPU, host
// processes), RLIMIT_NPROC and RLIMIT_NOFILE inside the sentry, the bounded disk that
// workspace and writable roots lie on, a network namespace. Nothing of a job outlives
// Close; after a crash of this process the kernel kills the sentry (parent-death
// signal) and Sweep finds the rest by names: the cgroup's path, the source of each
// overlay mount and the network's names hold the instance.
//
// The package imports nothing of gVisor: it knows runsc's command line only.
package gvisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"sync"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/egress"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// Name is what users write.
const Name = "gvisor"

// Options of New; the zero value is good.
type Options struct {
	// Exe is the program to execute as runsc: glovebox itself, or a runsc. The running program when empty.
	Exe string
	// Logger receives what clean-up could not do; slog's default when nil.
	Logger *slog.Logger
}

// Runtime makes sandboxes with gVisor.
type Runtime struct {
	exe    string
	logger *slog.Logger
	host   cgroupHost
}

// New makes the runtime. It touches nothing.
func New(o Options) *Runtime {
	r := &Runtime{exe: o.Exe, logger: o.Logger, host: cgroupHost{root: "/sys/fs/cgroup"}}
	if r.exe == "" {
		r.exe = "/proc/self/exe"
	}
	if r.logger == nil {
		r.logger = slog.Default()
	}
	return r
}

// Name is "gvisor".
func (r *Runtime) Name() string { return Name }

// names is the shape of sandbox IDs and instance names, which become parts of paths.
var names = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`) })

// validate refuses what can't be enforced or would not be safe in a path.
func validate(spec sandbox.Spec) error {
	if !names().MatchString(spec.ID) || !names().MatchString(spec.Instance) {
		return fmt.Errorf("sandbox ID %q of instance %q: want lower-case letters, digits and \"-\"", spec.ID, spec.Instance)
	}
	if spec.Network != glovebox.NetworkNone && spec.Network != glovebox.NetworkPublic {
		return fmt.Errorf("network policy %q: %w", spec.Network, glovebox.ErrUnsupported)
	}
	l := spec.Limits
	if l.CPUs <= 0 || l.Memory <= 0 || l.Pids <= 0 || l.OpenFiles <= 0 {
		return fmt.Errorf("limits must all be set: %w", glovebox.ErrUnsupported)
	}
	if err := spec.CheckCaches(); err != nil {
		return err
	}
	return checkFolders(spec)
}

// checkFolders wants the folders of a sandbox to be folders, as far as they are there yet.
func checkFolders(spec sandbox.Spec) error {
	dirs := []string{spec.State}
	for _, c := range spec.Caches {
		dirs = append(dirs, c.Source)
	}
	if spec.Ready == nil {
		dirs = append(dirs, spec.Workspace, spec.Scratch)
	}
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is not a folder", dir)
		}
	}
	return nil
}

// Create makes the sandbox of one job and starts its sentry.
func (r *Runtime) Create(ctx context.Context, spec sandbox.Spec) (_ sandbox.Sandbox, err error) {
	if err := validate(spec); err != nil {
		return nil, fmt.Errorf("create sandbox: %w", err)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s := &Sandbox{runtime: r, spec: spec, logger: r.logger.With("sandbox", spec.ID)}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("create sandbox: %w", err), s.Close(context.WithoutCancel(ctx)))
		}
	}()
	if s.cgroup, err = r.host.create(spec.Instance, spec.ID, spec.Limits); err != nil {
		return nil, err
	}
	if spec.Network == glovebox.NetworkPublic {
		s.network, err = egress.Create(ctx, egress.Spec{ID: spec.ID, Instance: spec.Instance, Policy: spec.Network})
		if err != nil {
			return nil, err
		}
	}
	if s.launcher, err = newLauncher(s.cgroup.join); err != nil {
		return nil, err
	}
	if err := s.boot(ctx); err != nil {
		return nil, err
	}
	return s, nil
}
