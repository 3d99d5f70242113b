package queuetest

import (
	"errors"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// testModel drives the queue and a model of it, thirty lines of plain rules, through
// the same random interleavings of submitters, claimers, expiries, late writers, crashes and
// users, and compares the two after every step.
func testModel(f *fixture) {
	run := 0
	rapid.Check(f.T, func(t *rapid.T) {
		run++
		m := &model{f: newFixture(f.T, f.store, queue.ConcurrencyLimits{}), queue: fmt.Sprintf("q%d", run)}
		t.Repeat(map[string]func(*rapid.T){
			"submit": m.submit, "claim": m.claim, "claim again": m.claim, "heartbeat": m.heartbeat,
			"complete": m.complete, "complete again": m.complete, "pass time": m.pass, "reap": m.reap,
			"cancel": m.cancel, "retry": m.retry, "": m.compare,
		})
		m.drain(t)
	})
}

// model is what the queue ought to know.
type model struct {
	f     *fixture
	queue string
	jobs  []*modelJob
	refs  []glovebox.LeaseRef // every lease ever handed out, oldest first: executors never forget, and crash by never using one
}

type modelJob struct {
	id, tenant string
	priority   int
	state      glovebox.State
	attempt    int
	attempts   int // allowed in this life
	left       int // still allowed
	cancel     bool
	notBefore  time.Time
	expires    time.Time
	holder     glovebox.LeaseRef // whose writes or repeats are accepted; zero for nobody's
	result     string            // what the holder completed with
	accepted   int               // final results accepted in this life
}

func (m *model) job(id string) *modelJob {
	for _, j := range m.jobs {
		if j.id == id {
			return j
		}
	}
	return nil
}

func (m *model) now() time.Time { return m.f.clock.Now() }

// anyJob and anyRef skip the action when there is none.
func (m *model) anyJob(t *rapid.T) *modelJob {
	if len(m.jobs) == 0 {
		t.Skip("no job")
	}
	return rapid.SampledFrom(m.jobs).Draw(t, "job")
}

func (m *model) anyRef(t *rapid.T) glovebox.LeaseRef {
	if len(m.refs) == 0 {
		t.Skip("no lease")
	}
	return rapid.SampledFrom(m.refs).Draw(t, "lease")
}

func (m *model) submit(t *rapid.T) {
	j := &modelJob{
		tenant:   rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tenant"),
		priority: rapid.IntRange(-1, 1).Draw(t, "priority"),
		attempts: rapid.IntRange(1, 3).Draw(t, "attempts"),
		state:    glovebox.StateQueued,
	}
	j.left = j.attempts
	job, err := m.f.q.Submit(m.f.ctx, j.tenant, "user:ada", spec(func(s *glovebox.JobSpec) {
		s.Queue, s.Priority, s.Attempts = m.queue, j.priority, j.attempts
	}))
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	m.f.clock.advance(time.Millisecond)
	j.id = job.ID
	m.jobs = append(m.jobs, j)
}

func (j *modelJob) ready(now time.Time) bool {
	return j.state == glovebox.StateQueued && !j.notBefore.After(now)
}

func (m *model) claim(t *rapid.T) { m.claimUpTo(t, rapid.IntRange(1, 3).Draw(t, "max")) }

func (m *model) claimUpTo(t *rapid.T, limit int) int {
	ready := 0
	for _, j := range m.jobs {
		if j.ready(m.now()) {
			ready++
		}
	}
	leases, err := m.f.q.Claim(m.f.ctx, offer(func(o *glovebox.Offer) { o.Max, o.Queues = limit, []string{m.queue} }))
	if err != nil || len(leases) != min(limit, ready) {
		t.Fatalf("claimed %d of %d ready jobs with a limit of %d: %v", len(leases), ready, limit, err)
	}
	for _, lease := range leases {
		j := m.job(lease.JobID)
		if j == nil || !j.ready(m.now()) {
			t.Fatalf("claimed a job that was not ready: %+v", j)
		}
		for _, other := range m.jobs {
			if other.ready(m.now()) && other.tenant == j.tenant && other.priority > j.priority {
				t.Fatalf("claimed priority %d of tenant %s before priority %d", j.priority, j.tenant, other.priority)
			}
		}
		j.attempt++
		j.left--
		if lease.Attempt != j.attempt {
			t.Fatalf("lease of attempt %d, want %d", lease.Attempt, j.attempt)
		}
		j.state, j.holder, j.result = glovebox.StateProcessing, lease.LeaseRef, ""
		j.expires, j.notBefore = m.now().Add(ttl), time.Time{}
		m.refs = append(m.refs, lease.LeaseRef)
	}
	return len(leases)
}

func (m *model) heartbeat(t *rapid.T) {
	ref := m.anyRef(t)
	j := m.job(ref.JobID)
	want := glovebox.LeaseGone
	if j.state == glovebox.StateProcessing && j.holder == ref {
		want = glovebox.LeaseHeld
		if j.cancel {
			want = glovebox.LeaseCanceled
		}
		j.expires = m.now().Add(ttl)
	}
	statuses, err := m.f.q.Heartbeat(m.f.ctx, glovebox.Beat{Executor: "exec-1", Leases: []glovebox.LeaseRef{ref}})
	if err != nil || statuses[0].Verdict != want {
		t.Fatalf("heartbeat: %+v, %v; want %s", statuses, err, want)
	}
	if _, err := m.f.q.Check(m.f.ctx, ref); (err == nil) != (want != glovebox.LeaseGone) {
		t.Fatalf("check: %v; the lease is %s", err, want)
	}
}

func (m *model) complete(t *rapid.T) {
	ref := m.anyRef(t)
	state := rapid.SampledFrom([]glovebox.State{
		glovebox.StateCompleted, glovebox.StateFailed, glovebox.StateErrored, glovebox.StateCanceled}).Draw(t, "state")
	m.completeAs(t, ref, state)
}

func (m *model) completeAs(t *rapid.T, ref glovebox.LeaseRef, state glovebox.State) {
	j := m.job(ref.JobID)
	var want error
	switch {
	case j.holder == ref && j.result == string(state): // a repetition
	case j.holder == ref && j.state == glovebox.StateProcessing:
		j.result = string(state)
		if state == glovebox.StateErrored || state == glovebox.StateCanceled && !j.cancel {
			j.errored(m.now())
		} else {
			j.end(state)
			j.accepted++
		}
	default:
		want = glovebox.ErrLeaseLost
	}
	_, err := m.f.q.Complete(m.f.ctx, ref, glovebox.Result{State: state})
	if !errors.Is(err, want) {
		t.Fatalf("complete with %s: %v, want %v", state, err, want)
	}
	if j.accepted > 1 {
		t.Fatalf("job %s has %d accepted results", j.id, j.accepted)
	}
}

func (j *modelJob) end(state glovebox.State) {
	j.state, j.cancel, j.expires, j.notBefore = state, false, time.Time{}, time.Time{}
}

func (j *modelJob) errored(now time.Time) {
	switch {
	case j.cancel:
		j.end(glovebox.StateCanceled)
	case j.left == 0:
		j.end(glovebox.StateErrored)
	default:
		j.end(glovebox.StateQueued)
		j.notBefore = now.Add(backoff(j.attempts - j.left))
	}
}

func (m *model) pass(t *rapid.T) {
	m.f.clock.advance(time.Duration(rapid.IntRange(1, 90_000).Draw(t, "ms")) * time.Millisecond)
}

func (m *model) reap(t *rapid.T) {
	for _, j := range m.jobs {
		if j.state == glovebox.StateProcessing && !j.expires.After(m.now()) {
			j.holder, j.result = glovebox.LeaseRef{}, ""
			j.errored(m.now())
		}
	}
	if _, _, err := m.f.q.Reap(m.f.ctx); err != nil {
		t.Fatalf("reap: %v", err)
	}
}

func (m *model) cancel(t *rapid.T) {
	j := m.anyJob(t)
	var want error
	switch j.state {
	case glovebox.StateQueued:
		j.end(glovebox.StateCanceled)
	case glovebox.StateProcessing:
		j.cancel = true
	case glovebox.StateCanceled:
	default:
		want = glovebox.ErrConflict
	}
	if _, err := m.f.q.Cancel(m.f.ctx, j.id, "user:bob", ""); !errors.Is(err, want) {
		t.Fatalf("cancel: %v, want %v", err, want)
	}
}

func (m *model) retry(t *rapid.T) {
	j := m.anyJob(t)
	var want error
	if j.state == glovebox.StateQueued || j.state == glovebox.StateProcessing {
		want = glovebox.ErrConflict
	} else {
		j.end(glovebox.StateQueued)
		j.left, j.accepted, j.holder, j.result = j.attempts, 0, glovebox.LeaseRef{}, ""
	}
	if _, err := m.f.q.Retry(m.f.ctx, j.id, "user:bob"); !errors.Is(err, want) {
		t.Fatalf("retry: %v, want %v", err, want)
	}
}

// compare holds the store to the model.
func (m *model) compare(t *rapid.T) {
	for _, j := range m.jobs {
		r, err := m.f.store.Lookup(m.f.ctx, j.id)
		if err != nil {
			t.Fatalf("job %s is lost: %v", j.id, err)
		}
		if r.Job.State != j.state || r.Job.Attempt != j.attempt || r.Job.CancelRequested != j.cancel ||
			!r.LeaseExpires.Equal(j.expires) || (r.Job.FinishedAt != nil) != j.state.Final() {
			t.Fatalf("job is %+v, want %+v", r, j)
		}
		if j.state == glovebox.StateQueued {
			got := time.Time{}
			if r.Job.NotBefore != nil {
				got = *r.Job.NotBefore
			}
			if !got.Equal(j.notBefore) {
				t.Fatalf("job is delayed until %v, want %v", got, j.notBefore)
			}
		}
	}
}

// drain runs everything to its end: no job may be left over.
func (m *model) drain(t *rapid.T) {
	for range 20 {
		m.f.clock.advance(time.Hour)
		m.reap(t)
		for m.claimUpTo(t, 3) > 0 {
		}
		for _, ref := range m.refs {
			if j := m.job(ref.JobID); j.holder == ref && j.state == glovebox.StateProcessing {
				m.completeAs(t, ref, glovebox.StateCompleted)
			}
		}
	}
	m.compare(t)
	for _, j := range m.jobs {
		if !j.state.Final() {
			t.Fatalf("job %s was never finished: %+v", j.id, j)
		}
	}
}
