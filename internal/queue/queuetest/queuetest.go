// Package queuetest is the suite that every queue.Store must pass. It drives the
// store through a queue.Queue, as the server does, with a clock of its own.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// ttl is the lease's length in the suite.
const ttl = time.Minute

// Run runs the suite on fresh stores of newStore.
func Run(t *testing.T, newStore func(t *testing.T) queue.Store) {
	for _, c := range []struct {
		name string
		test func(*fixture)
	}{
		{"Submit", testSubmit}, {"Complete", testComplete}, {"CompleteTwice", testCompleteTwice},
		{"StaleWrites", testStaleWrites}, {"CancelQueued", testCancelQueued}, {"CancelProcessing", testCancelProcessing},
		{"CancelRaces", testCancelRaces}, {"CancelAndCrash", testCancelAndCrash}, {"Retry", testRetry},
		{"RefusedTransitions", testRefusedTransitions}, {"Unknown", testUnknown},
		{"Backoff", testBackoff}, {"Expiry", testExpiry}, {"Reattach", testReattach}, {"Heartbeat", testHeartbeat},
		{"Events", testEvents}, {"Refused", testRefused}, {"ManyRemarks", testManyRemarks}, {"TokenLookup", testTokenLookup},
		{"Priorities", testPriorities}, {"FairTenants", testFairTenants}, {"FairToRunning", testFairToRunning},
		{"QueuePreference", testQueuePreference}, {"Labels", testLabels}, {"Runtimes", testRuntimes}, {"Free", testFree},
		{"Limits", testLimits}, {"Files", testFiles},
		{"List", testList}, {"ListFilters", testListFilters}, {"Stats", testStats}, {"InsertTwice", testInsertTwice},
		{"UpdateUndone", testUpdateUndone},
		{"Model", testModel}, {"Chaos", testChaos},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(newFixture(t, newStore(t), queue.ConcurrencyLimits{}))
		})
	}
}

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fixture is a queue on a store, with short words for what tests do.
type fixture struct {
	*testing.T
	ctx   context.Context
	store queue.Store
	q     *queue.Queue
	clock *clock
}

func newFixture(t *testing.T, store queue.Store, limits queue.ConcurrencyLimits) *fixture {
	c := &clock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	return &fixture{T: t, ctx: t.Context(), store: store, clock: c, q: queue.New(store, queue.Options{
		Now: c.Now, LeaseTTL: ttl, Backoff: backoff, Limits: limits,
	})}
}

// backoff is 10 s for each attempt made.
func backoff(attempt int) time.Duration { return time.Duration(attempt) * 10 * time.Second }

// spec is a job that every offer of offer() fits.
func spec(change ...func(*glovebox.JobSpec)) glovebox.JobSpec {
	s := glovebox.JobSpec{Steps: []glovebox.Step{{Image: "debian", Run: "true"}}}
	for _, c := range change {
		c(&s)
	}
	return s
}

func (f *fixture) submit(tenant string, change ...func(*glovebox.JobSpec)) glovebox.Job {
	f.Helper()
	job, err := f.q.Submit(f.ctx, tenant, "user:ada", spec(change...))
	if err != nil {
		f.Fatalf("submit: %v", err)
	}
	f.clock.advance(time.Millisecond)
	return job
}

// offer takes one job of any kind.
func offer(change ...func(*glovebox.Offer)) glovebox.Offer {
	o := glovebox.Offer{Executor: "exec-1", Max: 1, Runtimes: []string{"gvisor"}}
	for _, c := range change {
		c(&o)
	}
	return o
}

func (f *fixture) claim(o glovebox.Offer) []glovebox.Lease {
	f.Helper()
	leases, err := f.q.Claim(f.ctx, o)
	if err != nil {
		f.Fatalf("claim: %v", err)
	}
	return leases
}

// claimOne claims exactly one job.
func (f *fixture) claimOne() glovebox.Lease {
	f.Helper()
	leases := f.claim(offer())
	if len(leases) != 1 {
		f.Fatalf("claimed %d jobs, want 1", len(leases))
	}
	return leases[0]
}

// claimNone checks that nothing can be claimed.
func (f *fixture) claimNone() {
	f.Helper()
	if leases := f.claim(offer()); len(leases) != 0 {
		f.Fatalf("claimed job %s, want none", leases[0].JobID)
	}
}

func (f *fixture) complete(ref glovebox.LeaseRef, state glovebox.State) glovebox.Job {
	f.Helper()
	job, err := f.q.Complete(f.ctx, ref, glovebox.Result{State: state})
	if err != nil {
		f.Fatalf("complete: %v", err)
	}
	return job
}

func (f *fixture) reap(want int) {
	f.Helper()
	n, _, err := f.q.Reap(f.ctx)
	if err != nil || n != want {
		f.Fatalf("reaped %d leases, error %v, want %d", n, err, want)
	}
}

// want checks a job's state and attempt and returns it as it is stored.
func (f *fixture) want(id string, state glovebox.State, attempt int) glovebox.Job {
	f.Helper()
	job, err := f.q.Get(f.ctx, id)
	if err != nil {
		f.Fatalf("get: %v", err)
	}
	if job.State != state || job.Attempt != attempt {
		f.Fatalf("job is %s in attempt %d (%s), want %s in attempt %d", job.State, job.Attempt, job.Reason, state, attempt)
	}
	return job
}

func (f *fixture) wantErr(err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Fatalf("error %v, want %v", err, want)
	}
}

// verdict is the answer to a heartbeat for one lease.
func (f *fixture) verdict(ref glovebox.LeaseRef) string {
	f.Helper()
	statuses, err := f.q.Heartbeat(f.ctx, glovebox.Beat{Executor: "exec-1", Leases: []glovebox.LeaseRef{ref}})
	if err != nil || len(statuses) != 1 {
		f.Fatalf("heartbeat: %v, %v", statuses, err)
	}
	return statuses[0].Verdict
}

// kinds are the kinds of a timeline's events.
func kinds(job glovebox.Job) string {
	s := ""
	for i, e := range job.Timeline {
		if i > 0 {
			s += " "
		}
		s += e.Kind
	}
	return s
}

func (f *fixture) wantTimeline(id, want string) {
	f.Helper()
	job, err := f.q.Get(f.ctx, id)
	if err != nil {
		f.Fatalf("get: %v", err)
	}
	if got := kinds(job); got != want {
		f.Fatalf("timeline is %q, want %q", got, want)
	}
	for i, e := range job.Timeline {
		if e.Actor == "" || e.Time.IsZero() {
			f.Errorf("event %d lacks its actor or time: %+v", i, e)
		}
	}
}

// names are the names of the leases' jobs.
func names(leases []glovebox.Lease) []string {
	out := []string{}
	for _, l := range leases {
		out = append(out, l.Job.Name)
	}
	return out
}

func named(format string, args ...any) func(*glovebox.JobSpec) {
	return func(s *glovebox.JobSpec) { s.Name = fmt.Sprintf(format, args...) }
}
