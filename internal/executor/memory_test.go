package executor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/logs"
)

var errAway = errors.New("the server is away")

// memorySource is a server in memory: a queue, logs, artifacts and results, which can go away.
type memorySource struct {
	mu        sync.Mutex
	waiting   []glovebox.Lease
	arrived   chan struct{}
	away      bool
	drain     bool
	verdicts  map[string]string
	logs      map[string][]byte
	artifacts map[string]string
	results   map[string]glovebox.Result
	completes map[string]int
	events    []glovebox.JobEvent
	offers    []glovebox.Offer
	done      chan struct{}
}

func newMemorySource() *memorySource {
	return &memorySource{arrived: make(chan struct{}), verdicts: map[string]string{}, logs: map[string][]byte{}, artifacts: map[string]string{},
		results: map[string]glovebox.Result{}, completes: map[string]int{}, done: make(chan struct{})}
}

// change changes the server under its lock, and wakes whoever waits for it.
func (s *memorySource) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.arrived)
	s.arrived = make(chan struct{})
}

func lease(id string, spec glovebox.JobSpec) glovebox.Lease {
	return glovebox.Lease{LeaseRef: glovebox.LeaseRef{JobID: id, Attempt: 1, Token: "gbj_" + id + "-token"},
		Job: glovebox.Job{ID: id, Attempt: 1, JobSpec: spec}, TTL: glovebox.Duration(time.Minute)}
}

func (s *memorySource) submit(id string, spec glovebox.JobSpec) {
	s.change(func() { s.waiting = append(s.waiting, lease(id, spec)) })
}

func (s *memorySource) Claim(ctx context.Context, offer glovebox.Offer) ([]glovebox.Lease, error) {
	deadline := time.After(time.Duration(offer.Wait))
	for {
		s.mu.Lock()
		s.offers = append(s.offers, offer)
		if s.away {
			s.mu.Unlock()
			return nil, errAway
		}
		n := min(offer.Max, len(s.waiting))
		got := s.waiting[:n:n]
		s.waiting = s.waiting[n:]
		arrived := s.arrived
		s.mu.Unlock()
		if n > 0 {
			return got, nil
		}
		select {
		case <-arrived:
		case <-deadline:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *memorySource) Heartbeat(_ context.Context, beat glovebox.Beat) (glovebox.BeatReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return glovebox.BeatReply{}, errAway
	}
	s.events = append(s.events, beat.Events...)
	reply := glovebox.BeatReply{Drain: s.drain}
	for _, l := range beat.Leases {
		verdict := s.verdicts[l.JobID]
		if verdict == "" {
			verdict = glovebox.LeaseHeld
		}
		reply.Leases = append(reply.Leases, glovebox.LeaseStatus{JobID: l.JobID, Attempt: l.Attempt, Verdict: verdict})
	}
	return reply, nil
}

func (s *memorySource) check(ref glovebox.LeaseRef) error {
	if s.away {
		return errAway
	}
	if s.verdicts[ref.JobID] == glovebox.LeaseGone {
		return glovebox.ErrLeaseLost
	}
	return nil
}

func (s *memorySource) AppendLog(_ context.Context, ref glovebox.LeaseRef, offset int64, records []byte) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ref); err != nil {
		return 0, err
	}
	end := int64(len(s.logs[ref.JobID]))
	if offset > end {
		return end, glovebox.ErrOffset
	}
	if skip := end - offset; skip < int64(len(records)) {
		s.logs[ref.JobID] = append(s.logs[ref.JobID], records[skip:]...)
	}
	return int64(len(s.logs[ref.JobID])), nil
}

func (s *memorySource) PutArtifact(_ context.Context, ref glovebox.LeaseRef, name string, size int64, r io.Reader) error {
	data, err := io.ReadAll(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(err, s.check(ref)); err != nil {
		return err
	}
	if int64(len(data)) != size {
		return errors.New("size differs")
	}
	s.artifacts[ref.JobID+"/"+name] = string(data)
	return nil
}

func (s *memorySource) Complete(_ context.Context, ref glovebox.LeaseRef, result glovebox.Result) error {
	s.mu.Lock()
	err := s.check(ref)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.change(func() {
		s.completes[ref.JobID]++
		s.results[ref.JobID] = result
	})
	return nil
}

// result waits for a job's result.
func (s *memorySource) result(t *testing.T, id string) glovebox.Result {
	t.Helper()
	var result glovebox.Result
	s.until(t, "a result of "+id, func() (ok bool) {
		result, ok = s.results[id]
		return ok
	})
	return result
}

// until waits until a condition on the server's state holds.
func (s *memorySource) until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		ok, arrived := condition(), s.arrived
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-arrived:
		case <-time.After(2 * time.Millisecond):
		case <-deadline:
			t.Fatalf("waited for %s", what)
		}
	}
}

// text is a job's log as it would be read.
func (s *memorySource) text(t *testing.T, id, stream string) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var memory logs.Memory
	for line := range bytes.Lines(s.logs[id]) {
		record, err := logs.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := memory.Write(record); err != nil {
			t.Fatal(err)
		}
	}
	return memory.Text("", stream)
}
