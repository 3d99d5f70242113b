package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

const (
	// grace is how long a step that is asked to end has before it is killed.
	grace = 2 * time.Second
	// killPatience is how long gVisor has to kill a step before the whole sentry is killed.
	killPatience = 3 * time.Second
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

// run starts the step's container, waits for its end and says how that came.
func (r *stepRun) run(ctx context.Context, stdout, stderr io.Writer) (sandbox.Exit, error) {
	s := r.sandbox
	if err := writeBundle(r.dir, stepSpec(s.spec, r.step, s.sentry.id, r.layer)); err != nil {
		return sandbox.Exit{}, fmt.Errorf("start step: %w", err)
	}
	cmd := s.command(r.log(), "run", "--bundle="+r.dir, r.id())
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = killPatience // should something still hold the streams once runsc has ended
	m := s.cgroup.measure()
	var oom atomic.Bool
	stopWatch, err := s.cgroup.watchOOM(func() {
		oom.Store(true)
		s.cgroup.kill()
	})
	if err == nil {
		err = s.start(cmd)
	}
	if err != nil {
		m.stop(0, 0)
		if stopWatch != nil {
			stopWatch()
		}
		return sandbox.Exit{}, fmt.Errorf("start step: %w", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }()
	err = r.wait(ctx, waited)
	stopWatch()
	exit := sandbox.Exit{OOM: oom.Load() || s.cgroup.oomKills() > m.kills}
	exit.Usage = m.stop(s.sentry.baseline, int64(s.spec.Limits.Memory))
	return r.judge(ctx, cmd, exit, err)
}

// wait waits for the step's end. When ctx ends it asks the step to end, then kills it,
// then kills the sentry.
func (r *stepRun) wait(ctx context.Context, waited <-chan error) error {
	select {
	case err := <-waited:
		return err
	case <-ctx.Done():
	}
	for _, signal := range []struct {
		name string
		wait time.Duration
	}{{"TERM", grace}, {"KILL", killPatience}} {
		timer := time.NewTimer(signal.wait)
		defer timer.Stop()
		kill := r.sandbox.command(r.log(), "kill", "--all", r.id(), signal.name)
		if r.sandbox.start(kill) == nil {
			_ = kill.Wait() // a step that has just ended can't be signaled
		}
		select {
		case err := <-waited:
			return err
		case <-timer.C:
		}
	}
	r.sandbox.cgroup.kill()
	return <-waited
}

// judge turns the end of "runsc run" into the step's end.
func (r *stepRun) judge(ctx context.Context, cmd *exec.Cmd, exit sandbox.Exit, err error) (sandbox.Exit, error) {
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
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) && !errors.Is(err, exec.ErrWaitDelay) {
		return sandbox.Exit{}, fmt.Errorf("run step: %w", err)
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
