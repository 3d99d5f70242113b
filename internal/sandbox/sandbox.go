// Package sandbox is the contract between the executor and the runtimes that
// isolate a job's steps. It owns the words Runtime, Sandbox, Spec, Step and
// Exit; it must not know queues, servers, git or any one runtime. Each runtime
// lives in a folder of its own, passes the suite in sandboxtest and is listed in
// sandbox/all; runtimes never import each other.
package sandbox

import (
	"context"
	"fmt"
	"io"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/image"
)

// WorkspaceDir is where every step sees the workspace.
const WorkspaceDir = "/work"

// Runtime makes sandboxes. Its methods may be called concurrently.
type Runtime interface {
	// Name is the word users write: "gvisor", "docker".
	Name() string
	// Check returns nil when this host can run sandboxes, else a *CheckError.
	// It may start a sandbox to find out and returns within 45 s.
	Check(ctx context.Context) error
	// Create makes a sandbox, with its limits and its network policy in force
	// before any of the job's code runs. A limit or policy that can't be
	// enforced is glovebox.ErrUnsupported. After an error nothing is left behind.
	Create(ctx context.Context, spec Spec) (Sandbox, error)
	// Sweep removes everything that earlier processes with the same instance name
	// left behind: sandboxes, networks, cgroups, mounts. The executor calls it before
	// the first Create.
	Sweep(ctx context.Context, instance string) error
}

// Sandbox is the isolation of one job: each step is a container in it.
type Sandbox interface {
	// Run runs one step to its end and returns when all its processes are gone
	// and all its output is written. The exit code is data: err is set only when
	// Glovebox failed or ctx ended; then context.Cause(ctx) says why. Stdout and
	// stderr are written from at most one goroutine each. A step's processes are
	// killed when it ends. Steps of one sandbox run one at a time.
	Run(ctx context.Context, step Step, stdout, stderr io.Writer) (Exit, error)
	// Sync makes what the steps wrote visible in Spec.Workspace.
	Sync(ctx context.Context) error
	// Close kills what runs and removes everything. It may be called twice, from any
	// goroutine, and during Run; it honours ctx only as a bound on waiting.
	Close(ctx context.Context) error
}

// Spec describes one job's sandbox.
type Spec struct {
	// ID is unique on the host: lower-case letters, digits, "-", at most 40 bytes.
	ID string
	// Instance is the executor's instance name, on every object the runtime makes.
	Instance string
	// Workspace is a host folder, seen as WorkspaceDir, read-write. It lies on a file system
	// bounded by Limits.Disk (internal/disk); the runtime needs no further disk limit there.
	Workspace string
	// Scratch is an empty host folder on the same bounded file system, for the runtime's
	// writable layers (the steps' roots, /tmp).
	Scratch string
	// Ready, when it is not nil, waits for Workspace and Scratch, which are empty until
	// Await has called it: a sandbox whose start needs neither starts while they are made.
	// It has returned once before the first Run is called.
	Ready func(context.Context) (workspace, scratch string, err error) `json:"-"`
	// State is an empty host folder for the runtime's own files, never seen by a step.
	State string
	// Limits hold for the whole sandbox. Timeout and Log are the executor's business.
	Limits glovebox.Limits
	// Network is the egress policy.
	Network glovebox.NetworkPolicy
	// Caches are folders that all steps see, read-write, and other sandboxes at the same time.
	Caches []Cache
}

// Await sets Workspace and Scratch once they are there. It does nothing when they are set.
func (s *Spec) Await(ctx context.Context) (err error) {
	if s.Ready == nil {
		return nil
	}
	if s.Workspace, s.Scratch, err = s.Ready(ctx); err != nil {
		return fmt.Errorf("wait for the workspace: %w", err)
	}
	s.Ready = nil
	return nil
}

// Step is one command with everything resolved.
type Step struct {
	// Key is the step's key, unique in the sandbox, safe in a path.
	Key string
	// Image is the unpacked image that the step sees as its root, with a
	// writable layer of its own on top.
	Image *image.Image
	// Argv is the command; Argv[0] is looked up in PATH inside the sandbox.
	Argv []string
	// Env is the complete environment, as "K=V".
	Env []string
	// Dir is an absolute path inside the sandbox. It has been checked to lie beneath
	// WorkspaceDir lexically only: links inside the sandbox may lead elsewhere inside it.
	Dir string
	// Files are seen by this step alone. One that can't be shown where it should be is the
	// step's fault: a line on its standard error and ExitFault.
	Files []File
}

// ExitFault is the exit code of a step that was not started by a fault of its own.
const ExitFault = 126

// Exit is how a step ended.
type Exit struct {
	// Code is the exit code; 128+N when signal N ended it; 127 when Argv[0]
	// was not found, 126 when it could not be executed.
	Code int
	// OOM is set when the memory limit ended the step.
	OOM bool
	// PidsLimit is set when the process limit was hit and the runtime can tell.
	PidsLimit bool
	Usage     glovebox.Usage
}

// CheckError says why a runtime can't run here and what to do about it.
type CheckError struct {
	Reason string
	Fix    string
}

func (e *CheckError) Error() string { return fmt.Sprintf("%s (%s)", e.Reason, e.Fix) }
