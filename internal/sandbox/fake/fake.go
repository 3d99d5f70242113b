// Package fake is a sandbox runtime for tests and for measuring everything but a
// sandbox. It starts no process: a step's script is a few lines of a language
// of its own, and it touches nothing but the workspace and the cache folders, beneath their
// roots only; a step's own files are in memory. It isolates
// nothing and needs nothing, so it must never be offered to users.
//
// The words, one command a line; "#" begins a comment, arguments are separated
// by blanks and may be quoted as in Go:
//
//	echo TEXT…        a line on standard output; err TEXT… on standard error
//	print TEXT        the same without the newline, Go escapes in quotes: print "a\r\x1b[31m"
//	spam N [LINE]     N lines
//	env NAME          the variable's value as a line; exit 1 when it is not set
//	write PATH TEXT…  append PATH TEXT…  cat PATH  rm PATH  mkdir PATH  link TARGET NAME
//	exists PATH       exit 1 when it does not
//	sleep DURATION    hang (until stopped)   exit N   oom   pids   cpu SECONDS
//	fail TEXT…        Glovebox itself fails
//	call NAME         the test's function of that name (Runtime.Calls)
//
// A command that fails writes to standard error and, as with "sh -e", ends the step with exit code 1.
package fake

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// Runtime is the fake. Its zero value works; set its fields before the first use.
type Runtime struct {
	// CheckErr, CreateErr, SweepErr, SyncErr and CloseErr are returned by the methods they name, when set.
	CheckErr, SweepErr error
	CreateErr          func(spec sandbox.Spec) error
	SyncErr, CloseErr  error
	// CreateDelay and RunDelay are slept at each Create and Run.
	CreateDelay, RunDelay time.Duration
	// Calls are the functions that scripts may call.
	Calls map[string]func(ctx context.Context, step sandbox.Step) error
	// OnRun is called at the start of each step.
	OnRun func(spec sandbox.Spec, step sandbox.Step)

	mu      sync.Mutex
	open    map[string]*box
	created []sandbox.Spec
	steps   []sandbox.Step
	swept   []string
}

var _ sandbox.Runtime = (*Runtime)(nil)

// Name returns "fake".
func (r *Runtime) Name() string { return "fake" }

// Check returns CheckErr.
func (r *Runtime) Check(context.Context) error { return r.CheckErr }

// Sweep records the instance.
func (r *Runtime) Sweep(_ context.Context, instance string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.swept = append(r.swept, instance)
	return r.SweepErr
}

// Create makes a sandbox over spec.Workspace.
func (r *Runtime) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if spec.Network != "" && spec.Network != glovebox.NetworkNone && spec.Network != glovebox.NetworkPublic {
		return nil, fmt.Errorf("network policy %q: %w", spec.Network, glovebox.ErrUnsupported)
	}
	if err := spec.CheckCaches(); err != nil {
		return nil, err
	}
	if r.CreateErr != nil {
		if err := r.CreateErr(spec); err != nil {
			return nil, err
		}
	}
	if err := sleep(ctx, r.CreateDelay); err != nil {
		return nil, err
	}
	if err := spec.Await(ctx); err != nil {
		return nil, err
	}
	b := &box{runtime: r, spec: spec, closed: make(chan struct{})}
	if err := b.openRoots(); err != nil {
		b.closeRoots()
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[string]*box{}
	}
	if r.open[spec.ID] != nil {
		b.closeRoots()
		return nil, fmt.Errorf("sandbox %s exists", spec.ID)
	}
	r.open[spec.ID] = b
	r.created = append(r.created, spec)
	return b, nil
}

// Open returns how many sandboxes are not closed.
func (r *Runtime) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

// Created returns the specs of all sandboxes, Steps the steps run, Swept the instances swept; in order.
func (r *Runtime) Created() []sandbox.Spec {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]sandbox.Spec(nil), r.created...)
}

// Steps returns the steps run in all sandboxes, in order of their start.
func (r *Runtime) Steps() []sandbox.Step {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]sandbox.Step(nil), r.steps...)
}

// Swept returns the instances that Sweep was called with.
func (r *Runtime) Swept() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.swept...)
}

// box is one sandbox.
type box struct {
	runtime *Runtime
	spec    sandbox.Spec
	root    *os.Root
	caches  []*os.Root // as in spec
	running sync.Mutex // held by Run
	once    sync.Once
	closed  chan struct{}
}

// Run interprets the step's script: the last argument of its command.
func (b *box) Run(ctx context.Context, step sandbox.Step, stdout, stderr io.Writer) (sandbox.Exit, error) {
	if !b.running.TryLock() {
		return sandbox.Exit{}, fmt.Errorf("run step %s: another step is running", step.Key)
	}
	defer b.running.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-b.closed:
			cancel(errClosed)
		case <-done:
		}
	})
	defer watch.Wait()
	defer close(done)
	b.runtime.started(b.spec, step)
	start := time.Now()
	if err := sleep(ctx, b.runtime.RunDelay); err != nil {
		return sandbox.Exit{}, err
	}
	s := script{box: b, step: step, stdout: stdout, stderr: stderr}
	if fault := s.readFiles(); fault != nil {
		fmt.Fprintf(stderr, "fake: %v\n", fault)
		return sandbox.Exit{Code: sandbox.ExitFault}, nil
	}
	exit, err := s.run(ctx)
	exit.Usage.WallSeconds = time.Since(start).Seconds()
	return exit, err
}

func (r *Runtime) started(spec sandbox.Spec, step sandbox.Step) {
	r.mu.Lock()
	r.steps = append(r.steps, step)
	r.mu.Unlock()
	if r.OnRun != nil {
		r.OnRun(spec, step)
	}
}

// Sync returns the runtime's SyncErr.
func (b *box) Sync(context.Context) error { return b.runtime.SyncErr }

// Close ends a running step and forgets the sandbox.
func (b *box) Close(context.Context) error {
	b.once.Do(func() {
		close(b.closed)
		b.running.Lock() // until Run has returned
		defer b.running.Unlock()
		b.closeRoots()
		b.runtime.mu.Lock()
		defer b.runtime.mu.Unlock()
		delete(b.runtime.open, b.spec.ID)
	})
	return b.runtime.CloseErr
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
