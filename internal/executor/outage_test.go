package executor

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// waitingSource is a memorySource that can hold heartbeats' answers back.
type waitingSource struct {
	*memorySource
	waits atomic.Int32
}

func (s *waitingSource) HeartbeatWait(ctx context.Context, beat glovebox.Beat, wait time.Duration) (glovebox.BeatReply, error) {
	s.waits.Add(1)
	deadline := time.After(wait)
	for {
		s.mu.Lock()
		arrived := s.arrived
		s.mu.Unlock()
		reply, err := s.Heartbeat(ctx, beat)
		if err != nil || reply.Drain && !beat.Draining {
			return reply, err
		}
		for _, l := range reply.Leases {
			if l.Verdict != glovebox.LeaseHeld {
				return reply, nil
			}
		}
		select {
		case <-arrived:
		case <-deadline:
			return reply, nil
		case <-ctx.Done():
			return reply, ctx.Err()
		}
	}
}

// A source that can wait carries a cancellation at once, long before the next beat; and is not asked again and
// again about a job that takes its time to stop.
func TestListen(t *testing.T) {
	s := &waitingSource{memorySource: newMemorySource()}
	r := newRig(t, s)
	started(t, r, func(c *Config) { c.BeatEvery = time.Hour })
	s.submit("j", glovebox.JobSpec{Steps: steps("echo begun\nsleep 1h")})
	s.until(t, "the step's output", func() bool { return strings.Contains(string(s.logs["j"]), "begun") })
	s.until(t, "somebody who listens", func() bool { return s.waits.Load() > 0 })
	asked := time.Now()
	s.change(func() { s.verdicts["j"] = glovebox.LeaseCanceled })
	if got := s.result(t, "j"); got.State != glovebox.StateCanceled || time.Since(asked) > 5*time.Second {
		t.Errorf("%+v after %v", got, time.Since(asked))
	}
	if n := s.waits.Load(); n > 3 {
		t.Errorf("asked %d times", n)
	}
}

// hastySource answers every question at once, as if there was no waiting.
type hastySource struct {
	*memorySource
	waits, claims atomic.Int32
}

func (s *hastySource) HeartbeatWait(ctx context.Context, beat glovebox.Beat, _ time.Duration) (glovebox.BeatReply, error) {
	s.waits.Add(1)
	return s.Heartbeat(ctx, beat)
}

func (s *hastySource) Claim(ctx context.Context, offer glovebox.Offer) ([]glovebox.Lease, error) {
	s.claims.Add(1)
	offer.Wait = 0
	return s.memorySource.Claim(ctx, offer)
}

func TestAnswersThatDoNotWaitAreNoHotLoop(t *testing.T) {
	s := &hastySource{memorySource: newMemorySource()}
	r := newRig(t, s)
	started(t, r, func(c *Config) { c.BeatEvery, c.PollAhead, c.Slots = time.Hour, 20*time.Millisecond, 2 })
	s.submit("j", glovebox.JobSpec{Steps: steps("echo begun\nsleep 400ms")})
	s.result(t, "j")
	if w, c := s.waits.Load(), s.claims.Load(); w > 5 || c > 50 {
		t.Errorf("%d heartbeats and %d claims", w, c)
	}
}

// A full disk of the host's own: nothing is claimed, and what ran is not blamed on the job.
func TestHostDiskFull(t *testing.T) {
	s := newMemorySource()
	r := newRig(t, s)
	var free atomic.Int64
	r.deps.FreeDisk = func(string) (glovebox.Size, error) { return glovebox.Size(free.Load()), nil }
	started(t, r, func(c *Config) { c.Capacity.Disk = 100 << 30 })
	s.submit("j", glovebox.JobSpec{Steps: steps("echo begun\nsleep 100ms\nexit 1")})
	time.Sleep(50 * time.Millisecond) // for what should not happen
	s.mu.Lock()
	if len(s.offers) != 0 {
		t.Errorf("claims on a full disk: %+v", s.offers)
	}
	s.mu.Unlock()
	free.Store(1 << 30)
	s.until(t, "the step's output", func() bool { return strings.Contains(string(s.logs["j"]), "begun") })
	if got := s.offers[0].Free.Disk; got != 1<<30 {
		t.Errorf("offered %v of disk", got)
	}
	free.Store(0)
	if got := s.result(t, "j"); got.State != glovebox.StateErrored || !strings.Contains(got.Reason, errHostFull.Error()) {
		t.Errorf("%+v", got)
	}
}

// stuckSource takes no artifacts.
type stuckSource struct {
	*memorySource
	asked chan struct{}
}

func (s *stuckSource) PutArtifact(ctx context.Context, _ glovebox.LeaseRef, _ string, _ int64, _ io.Reader) error {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return ctx.Err()
}

// An executor that is stopped while it delivers does not go on for an hour.
func TestStopWhileDelivering(t *testing.T) {
	t.Parallel()
	s := &stuckSource{memorySource: newMemorySource(), asked: make(chan struct{}, 1)}
	r := newRig(t, s)
	d, stop, ended := started(t, r, nil)
	s.submit("j", glovebox.JobSpec{Steps: steps("write out.txt x"), Outputs: []string{"out.txt"}})
	<-s.asked
	d.Drain()
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(2 * shutdownFor):
		t.Fatal("it goes on")
	}
}
