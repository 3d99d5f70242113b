package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/view"
)

const (
	// grace is how long a step that is asked to end has before it is killed.
	grace = 2 * time.Second
	// killPatience is how long gVisor has to kill a step before the whole sentry is killed.
	killPatience = 3 * time.Second
	// drainPatience is how long output may still come once runsc has ended.
	drainPatience = 5 * time.Second
	// runscFailed is runsc's own exit code when it could not do what it was told.
	runscFailed = 128
)

// stepRun is one step being run.
type stepRun struct {
	sandbox *Sandbox
	step    sandbox.Step
	layer   *layer
	// name is the step's name among our files; dir holds them.
	name, dir string
}

func (r *stepRun) id() string  { return r.sandbox.spec.ID + "-" + r.name }
func (r *stepRun) log() string { return filepath.Join(r.dir, "log") }

// runPlaced runs the step with what it is shown besides its image in place, and takes that away again.
func (r *stepRun) runPlaced(ctx context.Context, stdout, stderr io.Writer) (sandbox.Exit, error) {
	if err := r.layer.place(r.sandbox.spec, r.step); err != nil {
		var fault *view.Fault
		if errors.As(err, &fault) {
			fmt.Fprintf(stderr, "glovebox: %v\n", fault)
			return sandbox.Exit{Code: sandbox.ExitFault}, nil
		}
		return sandbox.Exit{}, fmt.Errorf("start step: %w", err)
	}
	exit, err := r.run(ctx, stdout, stderr)
	if left := r.layer.placed.Remove(); left != nil {
		return exit, errors.Join(err, left)
	}
	return exit, err
}

// run starts the step's container, waits for its end and says how that came.
func (r *stepRun) run(ctx context.Context, stdout, stderr io.Writer) (sandbox.Exit, error) {
	s := r.sandbox
	if err := writeBundle(r.dir, stepSpec(s.spec, r.step, s.sentry.id, r.layer)); err != nil {
		return sandbox.Exit{}, fmt.Errorf("start step: %w", err)
	}
	cmd := short(s.command(r.log(), "run", "--bundle="+r.dir, r.id()))
	out, err := newStream(stdout)
	if err != nil {
		return sandbox.Exit{}, fmt.Errorf("start step: %w", err)
	}
	errs, err := newStream(stderr)
	if err != nil {
		return sandbox.Exit{}, errors.Join(fmt.Errorf("start step: %w", err), out.finish(0))
	}
	cmd.Stdout, cmd.Stderr = out.in, errs.in
	m := s.cgroup.measure()
	exit, err := r.supervise(ctx, cmd, m)
	drain := drainPatience
	if failed := cmd.ProcessState == nil || cmd.ProcessState.ExitCode() == runscFailed && lastError(r.log()) != ""; failed {
		drain = 50 * time.Millisecond
	}
	written := errors.Join(out.finish(drain), errs.finish(drain))
	exit.Usage = m.stop(s.sentry.baseline, int64(s.spec.Limits.Memory))
	if err != nil {
		return sandbox.Exit{}, err
	}
	exit, err = r.judge(ctx, cmd, exit)
	if err == nil && written != nil {
		return sandbox.Exit{}, fmt.Errorf("run step: %w", written)
	}
	return exit, err
}

// supervise starts cmd and waits for its end, with an eye on the memory limit. Its error
// says that the step was not started.
func (r *stepRun) supervise(ctx context.Context, cmd *exec.Cmd, m *meter) (sandbox.Exit, error) {
	s := r.sandbox
	var oom atomic.Bool
	stopWatch, err := s.cgroup.watchOOM(func() {
		oom.Store(true)
		s.cgroup.kill()
	})
	if err != nil {
		return sandbox.Exit{}, fmt.Errorf("start step: %w", err)
	}
	defer stopWatch()
	if err := s.start(cmd); err != nil {
		return sandbox.Exit{}, fmt.Errorf("start step: %w", err)
	}
	for _, f := range []any{cmd.Stdout, cmd.Stderr} {
		f.(*os.File).Close() // ours: the step has its own
	}
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
	}()
	r.wait(ctx, waited)
	return sandbox.Exit{OOM: oom.Load() || s.cgroup.oomKills() > m.kills}, nil
}

// wait waits for the step's end. When ctx ends it asks the step to end, then kills it,
// then kills the sentry.
func (r *stepRun) wait(ctx context.Context, waited <-chan struct{}) {
	select {
	case <-waited:
		return
	case <-ctx.Done():
	}
	for _, signal := range []struct {
		name string
		wait time.Duration
	}{{"TERM", grace}, {"KILL", killPatience}} {
		timer := time.NewTimer(signal.wait)
		defer timer.Stop()
		kill := short(r.sandbox.command(r.log(), "kill", "--all", r.id(), signal.name))
		signaled := make(chan struct{})
		started := r.sandbox.start(kill) == nil
		go func() {
			defer close(signaled)
			if started {
				_ = kill.Wait() // a step that has just ended can't be signaled
			}
		}()
		ended := false
		select {
		case <-waited:
			ended = true
		case <-timer.C:
		}
		if started { // a sentry that does not answer must not hold up the end
			_ = kill.Process.Kill()
		}
		<-signaled
		if ended {
			return
		}
	}
	r.sandbox.cgroup.kill()
	<-waited
}

// judge turns the end of "runsc run" into the step's end.
func (r *stepRun) judge(ctx context.Context, cmd *exec.Cmd, exit sandbox.Exit) (sandbox.Exit, error) {
	if ctx.Err() != nil {
		return sandbox.Exit{}, context.Cause(ctx)
	}
	if exit.OOM {
		// What is left of the sentry after the kernel killed in it can't be trusted.
		r.sandbox.cgroup.kill()
		<-r.sandbox.sentry.exited
		exit.Code = 137
		return exit, nil
	}
	exit.Code = cmd.ProcessState.ExitCode()
	if exit.Code == runscFailed {
		if message := lastError(r.log()); message != "" {
			code, ok := startFailure(message)
			if !ok {
				return sandbox.Exit{}, fmt.Errorf("run step: %s", message)
			}
			exit.Code = code
		}
	}
	if exit.Code < 0 {
		return sandbox.Exit{}, fmt.Errorf("run step: runsc ended by %v", cmd.ProcessState)
	}
	return exit, nil
}

// startFailure tells the step's own mistakes, which shells report as 126 and 127, from
// failures of runsc.
func startFailure(message string) (code int, ok bool) {
	if strings.Contains(message, "failed to create process working directory") {
		return 126, true
	}
	if !strings.Contains(message, "error finding executable") && !strings.Contains(message, "creating process: failed to load") {
		return 0, false
	}
	if strings.HasSuffix(message, "no such file or directory") {
		return 127, true
	}
	return 126, true
}
