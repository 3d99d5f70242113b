package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// started runs a daemon until the test ends.
func started(t *testing.T, r *rig, change func(*Config)) (d *Daemon, stop context.CancelFunc, ended <-chan error) {
	t.Helper()
	cfg := Config{Deps: r.deps, Name: "ex", Slots: 1, BeatEvery: 5 * time.Millisecond, PollAhead: 2 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	d, err := NewDaemon(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var wait sync.WaitGroup
	wait.Go(func() { done <- d.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wait.Wait()
		r.nothingLeft()
	})
	return d, cancel, done
}

func TestDaemonRunsJobs(t *testing.T) {
	s := newMemorySource()
	r := newRig(t, s)
	d, _, ended := started(t, r, func(c *Config) { c.Slots = 3; c.Ahead = 2 })
	for i := range 20 {
		s.submit(fmt.Sprint("job-", i), glovebox.JobSpec{Steps: steps("echo hi " + fmt.Sprint(i))})
	}
	for i := range 20 {
		id := fmt.Sprint("job-", i)
		if got := s.result(t, id); got.State != glovebox.StateCompleted {
			t.Errorf("%s: %+v", id, got)
		}
		if got := s.text(t, id, glovebox.StreamStdout); got != fmt.Sprintf("hi %d\n", i) {
			t.Errorf("%s: log %q", id, got)
		}
	}
	d.Drain()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for id, n := range s.completes {
		if n != 1 {
			t.Errorf("%s completed %d times", id, n)
		}
	}
	finished := 0
	for _, e := range s.events {
		if e.Event.Kind == glovebox.EventStepFinished {
			finished++
		}
	}
	if finished != 20 {
		t.Errorf("%d events of finished steps", finished)
	}
}

func TestStates(t *testing.T) {
	tests := []struct {
		name   string
		spec   glovebox.JobSpec
		state  glovebox.State
		reason string
		steps  []glovebox.State
	}{
		{"exit code", glovebox.JobSpec{Steps: steps("exit 3", "echo no")}, glovebox.StateFailed, "step step-1 ended with exit code 3", []glovebox.State{"failed", "skipped"}},
		{"out of memory", glovebox.JobSpec{Steps: steps("oom")}, glovebox.StateFailed, glovebox.ReasonOutOfMemory, []glovebox.State{"failed"}},
		{"pids", glovebox.JobSpec{Steps: steps("pids")}, glovebox.StateFailed, glovebox.ReasonPids, []glovebox.State{"failed"}},
		{"ours", glovebox.JobSpec{Steps: steps("fail it broke", "echo no")}, glovebox.StateErrored, "it broke", []glovebox.State{"errored", "skipped"}},
		{"no image", glovebox.JobSpec{Steps: []glovebox.Step{{Image: "missing", Run: "echo"}}}, glovebox.StateErrored, "no such image", []glovebox.State{"skipped"}},
		{"no secret", glovebox.JobSpec{Steps: []glovebox.Step{{Image: "i", Run: "echo", Secrets: []string{"TOKEN"}}}}, glovebox.StateErrored, "secret TOKEN has no value", []glovebox.State{"skipped"}},
		{"no runtime", glovebox.JobSpec{Runtime: "warp", Steps: steps("echo")}, glovebox.StateErrored, "unsupported", []glovebox.State{"skipped"}},
		{"job timeout", glovebox.JobSpec{Limits: glovebox.Limits{Timeout: glovebox.Duration(20 * time.Millisecond)}, Steps: steps("sleep 1h", "echo no")},
			glovebox.StateFailed, glovebox.ReasonTimedOut, []glovebox.State{"failed", "skipped"}},
		{"step timeout", glovebox.JobSpec{Steps: []glovebox.Step{
			{Image: "i", Run: "sleep 1h", Timeout: glovebox.Duration(20 * time.Millisecond)}, {Image: "i", Run: "echo no"},
			{Image: "i", Run: "echo yes", If: "failure"}, {Image: "i", Run: "echo yes", If: "always"}}},
			glovebox.StateFailed, glovebox.ReasonTimedOut, []glovebox.State{"failed", "skipped", "completed", "completed"}},
		{"conditions", glovebox.JobSpec{Steps: []glovebox.Step{{Image: "i", Run: "echo", If: "failure"}, {Image: "i", Run: "echo", If: "always"}, {Image: "i", Run: "echo", If: "success"}}},
			glovebox.StateCompleted, "", []glovebox.State{"skipped", "completed", "completed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newMemorySource()
			r := newRig(t, s)
			got := Run(t.Context(), r.deps, lease("j", tt.spec))
			if got.State != tt.state || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("%s: %q", got.State, got.Reason)
			}
			var states []glovebox.State
			for _, step := range got.Steps {
				states = append(states, step.State)
			}
			if fmt.Sprint(states) != fmt.Sprint(tt.steps) {
				t.Errorf("steps %v, want %v", states, tt.steps)
			}
			if s.completes["j"] != 1 || s.results["j"].State != got.State {
				t.Errorf("reported %d times: %+v", s.completes["j"], s.results["j"])
			}
		})
	}
}

func TestHostImageNeedsLeave(t *testing.T) {
	r := newRig(t, newMemorySource())
	r.deps.AllowHostImage = false
	got := Run(t.Context(), r.deps, lease("j", glovebox.JobSpec{Steps: []glovebox.Step{{Image: "host", Run: "echo"}}}))
	if got.State != glovebox.StateErrored || !strings.Contains(got.Reason, "--allow-host-image") {
		t.Errorf("%+v", got)
	}
}

func TestServerCannotNameALocalRepository(t *testing.T) {
	l := lease("j", glovebox.JobSpec{Repo: &glovebox.Repo{Name: "r", Commit: strings.Repeat("a", 40)}, Steps: steps("echo")})
	for _, url := range []string{repository(t), "ssh://127.0.0.1/x", "ext::touch x"} {
		l.CloneURL = url
		r := newRig(t, newMemorySource())
		r.deps.Transports = nil
		if got := Run(t.Context(), r.deps, l); got.State != glovebox.StateErrored || !strings.Contains(got.Reason, "repository address") {
			t.Errorf("%s: %+v", url, got)
		}
	}
}

func TestDiskFull(t *testing.T) {
	r := newRig(t, newMemorySource())
	r.deps.MakeDisk = func(ctx context.Context, path string, size int64) (Disk, error) {
		d, err := makePlainDisk(ctx, path, size)
		d.(*plainDisk).full = true
		return d, err
	}
	if got := Run(t.Context(), r.deps, lease("j", glovebox.JobSpec{Steps: steps("exit 1")})); got.Reason != glovebox.ReasonDiskFull {
		t.Errorf("%+v", got)
	}
}

// TestStopAtEveryStage stops a job while its disk is made, while its sandbox is made, and in a step, for each cause.
func TestStopAtEveryStage(t *testing.T) {
	causes := map[error]glovebox.State{glovebox.ErrCanceled: glovebox.StateCanceled, glovebox.ErrShutdown: glovebox.StateErrored, glovebox.ErrTimedOut: glovebox.StateFailed, glovebox.ErrLeaseLost: glovebox.StateErrored}
	for _, stage := range []string{"disk", "sandbox", "step"} {
		for cause, want := range causes {
			t.Run(stage+"/"+cause.Error(), func(t *testing.T) {
				s := newMemorySource()
				r := newRig(t, s)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				script := "echo before\nsleep 1h"
				switch stage {
				case "disk":
					r.deps.MakeDisk = func(ctx context.Context, path string, size int64) (Disk, error) {
						cancel(cause)
						return nil, context.Cause(ctx)
					}
				case "sandbox":
					r.runtime.CreateErr = func(sandbox.Spec) error {
						cancel(cause)
						return ctx.Err()
					}
				case "step":
					r.runtime.OnRun = func(sandbox.Spec, sandbox.Step) { cancel(cause) }
				}
				got := Run(ctx, r.deps, lease("j", glovebox.JobSpec{Steps: steps(script)}))
				if got.State != want {
					t.Errorf("%+v", got)
				}
				reported := 1
				if errors.Is(cause, glovebox.ErrLeaseLost) {
					reported = 0
				}
				if s.completes["j"] != reported {
					t.Errorf("reported %d times", s.completes["j"])
				}
			})
		}
	}
}

func TestCancelByHeartbeat(t *testing.T) {
	s := newMemorySource()
	r := newRig(t, s)
	started(t, r, nil)
	s.submit("j", glovebox.JobSpec{Steps: steps("echo begun\nsleep 1h")})
	s.until(t, "the step's output", func() bool { return strings.Contains(string(s.logs["j"]), "begun") })
	s.change(func() { s.verdicts["j"] = glovebox.LeaseCanceled })
	if got := s.result(t, "j"); got.State != glovebox.StateCanceled || got.Steps[0].State != glovebox.StateCanceled {
		t.Errorf("%+v", got)
	}
}

func TestStaleLeaseStopsAndReportsNothing(t *testing.T) {
	s := newMemorySource()
	r := newRig(t, s)
	started(t, r, nil)
	s.submit("stale", glovebox.JobSpec{Steps: steps("echo begun\nsleep 1h")})
	s.until(t, "the step's output", func() bool { return strings.Contains(string(s.logs["stale"]), "begun") })
	s.change(func() { s.verdicts["stale"] = glovebox.LeaseGone })
	s.submit("next", glovebox.JobSpec{Steps: steps("echo")})
	s.result(t, "next")
	if s.completes["stale"] != 0 {
		t.Error("a stale attempt reported")
	}
}

func TestServerAwayLosesNothing(t *testing.T) {
	s := newMemorySource()
	r := newRig(t, s)
	gate := make(chan struct{})
	r.runtime.OnRun = func(_ sandbox.Spec, step sandbox.Step) {
		if step.Key == "step-2" {
			s.change(func() { s.away = true })
			close(gate)
		}
	}
	started(t, r, nil)
	spec := glovebox.JobSpec{Repo: &glovebox.Repo{Name: "r"}, Steps: steps("spam 100 early", "spam 5000 line\nwrite new.txt x\nwrite out.txt y"), Outputs: []string{"out.txt"}}
	repo := repository(t)
	l, _, err := LocalLease(t.Context(), "j", glovebox.JobSpec{Repo: &glovebox.Repo{Name: repo}, Steps: spec.Steps, Outputs: spec.Outputs}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.change(func() { s.waiting = append(s.waiting, l) })
	<-gate
	// The job runs to its end while nothing gets through.
	deadline := time.Now().Add(10 * time.Second)
	for r.runtime.Open() > 0 {
		if time.Now().After(deadline) {
			t.Fatal("the job does not end")
		}
		time.Sleep(time.Millisecond)
	}
	s.change(func() { s.away = false })
	if got := s.result(t, "j"); got.State != glovebox.StateCompleted || got.Diff == nil || len(got.Outputs) != 1 {
		t.Errorf("%+v", got)
	}
	if got := strings.Count(s.text(t, "j", glovebox.StreamStdout), "\n"); got != 5100 {
		t.Errorf("%d lines", got)
	}
	if s.artifacts["j/outputs/out.txt"] != "y\n" || !strings.Contains(s.artifacts["j/diff"], "new.txt") {
		t.Errorf("artifacts %v", s.artifacts)
	}
}

func TestDrain(t *testing.T) {
	s := newMemorySource()
	r := newRig(t, s)
	release := make(chan struct{})
	r.runtime.Calls = map[string]func(context.Context, sandbox.Step) error{"wait": func(ctx context.Context, _ sandbox.Step) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	d, _, ended := started(t, r, nil)
	s.submit("running", glovebox.JobSpec{Steps: steps("echo begun\ncall wait")})
	s.until(t, "the step's output", func() bool { return strings.Contains(string(s.logs["running"]), "begun") })
	d.Drain()
	d.Drain()
	s.submit("late", glovebox.JobSpec{Steps: steps("echo")})
	select {
	case <-ended:
		t.Fatal("it did not wait for the running job")
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s.results["running"].State != glovebox.StateCompleted || len(s.waiting) != 1 {
		t.Errorf("%+v, %d waiting", s.results, len(s.waiting))
	}
}

func TestSecondSignalHandsBack(t *testing.T) {
	s := newMemorySource()
	r := newRig(t, s)
	d, stop, ended := started(t, r, nil)
	s.submit("j", glovebox.JobSpec{Steps: steps("echo begun\nsleep 1h")})
	s.until(t, "the step's output", func() bool { return strings.Contains(string(s.logs["j"]), "begun") })
	d.Drain()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := s.results["j"]; got.State != glovebox.StateErrored || got.Reason != glovebox.ErrShutdown.Error() {
		t.Errorf("%+v", got)
	}
}

func TestServerAsksForDrain(t *testing.T) {
	s := newMemorySource()
	r := newRig(t, s)
	s.drain = true
	d, _, _ := started(t, r, nil)
	s.until(t, "the drain", func() bool {
		d.beats.mu.Lock()
		defer d.beats.mu.Unlock()
		return d.beats.asked
	})
	s.submit("j", glovebox.JobSpec{Steps: steps("echo")})
	s.change(func() { s.drain = false })
	if got := s.result(t, "j"); got.State != glovebox.StateCompleted {
		t.Errorf("%+v", got)
	}
}

func TestSweepAndLock(t *testing.T) {
	s := newMemorySource()
	r := newRig(t, s)
	left := filepath.Join(r.deps.Dir, "old-1", "git")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	var swept atomic.Int32
	started(t, r, func(c *Config) {
		c.SweepDisks = func(string) error { swept.Add(1); return nil }
	})
	s.submit("j", glovebox.JobSpec{Steps: steps("echo")})
	s.result(t, "j")
	if _, err := os.Stat(left); err == nil || swept.Load() != 1 || len(r.runtime.Swept()) != 1 {
		t.Errorf("not swept: %v, %d, %v", err, swept.Load(), r.runtime.Swept())
	}
	second, err := NewDaemon(Config{Deps: r.deps, Name: "two", Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another executor") {
		t.Errorf("second executor in the same folder: %v", err)
	}
}

func TestPreparesAhead(t *testing.T) {
	s := newMemorySource()
	r := newRig(t, s)
	release := make(chan struct{})
	r.runtime.Calls = map[string]func(context.Context, sandbox.Step) error{"wait": func(context.Context, sandbox.Step) error { <-release; return nil }}
	started(t, r, func(c *Config) { c.Ahead = 1 })
	s.submit("a", glovebox.JobSpec{Steps: steps("call wait")})
	s.submit("b", glovebox.JobSpec{Steps: steps("echo")})
	s.submit("c", glovebox.JobSpec{Steps: steps("echo")})
	s.until(t, "the second job's workspace", func() bool {
		for _, e := range s.events {
			if e.JobID == "b" && e.Event.Message == "workspace ready" {
				return true
			}
		}
		return false
	})
	if n := len(r.runtime.Created()); n != 1 {
		t.Errorf("%d sandboxes while one slot is taken", n)
	}
	if len(s.waiting) != 1 {
		t.Errorf("%d jobs left for others", len(s.waiting))
	}
	close(release)
	for _, id := range []string{"a", "b", "c"} {
		s.result(t, id)
	}
}

func TestCapacity(t *testing.T) {
	c := newCapacity(4, glovebox.Limits{CPUs: 4, Memory: 8 << 30, Disk: 100 << 30}, 2)
	if n, free, ahead, _ := c.offer(1); n != 4 || free.CPUs != 0 || free.Memory != 8<<30 || ahead {
		t.Fatal(n, free, ahead)
	}
	big := c.add(glovebox.Limits{CPUs: 64, Memory: 6 << 30, Disk: 1 << 30})
	if !c.fits(big) {
		t.Fatal("an idle host refuses")
	}
	big.admitted = true
	if n, free, _, _ := c.offer(1); n != 3 || free.CPUs != 2 || free.Memory != 2<<30 || free.Disk != 99<<30 {
		t.Fatal(n, free)
	}
	large, small := c.add(glovebox.Limits{CPUs: 1, Memory: 4 << 30}), c.add(glovebox.Limits{CPUs: 1, Memory: 1 << 20})
	if c.fits(large) || c.fits(small) {
		t.Fatal("memory promised twice, or one overtook the other")
	}
	if n, _, _, _ := c.offer(1); n != 0 {
		t.Fatal("claims although two wait")
	}
	c.remove(big)
	if !c.fits(large) {
		t.Fatal("room was freed")
	}
}
