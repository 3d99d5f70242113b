package queue_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
	"github.com/glovebox-dev/glovebox/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// never is longer than any test: what waits for it hangs.
const never = time.Hour

// spied is a store that tells what is asked of it.
type spied struct {
	queue.Store
	claims, dues chan struct{} // one token for each call that returned
	onClaim      func()        // called before a claim returns
}

func (s *spied) Claim(ctx context.Context, c queue.Claim) ([]glovebox.Job, error) {
	jobs, err := s.Store.Claim(ctx, c)
	if s.onClaim != nil {
		s.onClaim()
	}
	tell(s.claims)
	return jobs, err
}

func (s *spied) Due(ctx context.Context, now time.Time, limit int) ([]string, time.Time, error) {
	ids, next, err := s.Store.Due(ctx, now, limit)
	tell(s.dues)
	return ids, next, err
}

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func newStore(t *testing.T) *spied {
	t.Helper()
	db, err := store.Open(context.Background(), filepath.Join(t.TempDir(), "q.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &spied{Store: store.NewJobs(db), claims: make(chan struct{}, 100), dues: make(chan struct{}, 100)}
}

// wait fails the test when c stays silent.
func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func submit(t *testing.T, q *queue.Queue) glovebox.Job {
	t.Helper()
	job, err := q.Submit(t.Context(), "acme", "user:ada", glovebox.JobSpec{Steps: []glovebox.Step{{Image: "debian", Run: "true"}}})
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func claim(t *testing.T, q *queue.Queue) glovebox.Lease {
	t.Helper()
	leases, err := q.Claim(t.Context(), glovebox.Offer{Executor: "e"})
	if err != nil || len(leases) != 1 {
		t.Fatalf("claimed %d jobs: %v", len(leases), err)
	}
	return leases[0]
}

// run starts Run and waits for it at the test's end.
func run(t *testing.T, q *queue.Queue) {
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := q.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
}

// waitingClaim starts a claim that found nothing and waits.
func waitingClaim(t *testing.T, q *queue.Queue, s *spied) <-chan []glovebox.Lease {
	t.Helper()
	got := make(chan []glovebox.Lease, 1)
	go func() {
		leases, err := q.Claim(t.Context(), glovebox.Offer{Executor: "e", Wait: glovebox.Duration(queue.MaxWait)})
		if err != nil {
			t.Errorf("claim: %v", err)
		}
		got <- leases
	}()
	wait(t, s.claims, "the claim's first look")
	return got
}

func TestClaimIsWokenBySubmit(t *testing.T) {
	s := newStore(t)
	q := queue.New(s, queue.Options{Poll: never})
	got := waitingClaim(t, q, s)
	job := submit(t, q)
	if leases := wait(t, got, "the claim"); len(leases) != 1 || leases[0].JobID != job.ID {
		t.Errorf("claimed %v, want job %s", leases, job.ID)
	}
}

func TestClaimIsWokenByARetry(t *testing.T) {
	s := newStore(t)
	q := queue.New(s, queue.Options{Poll: never})
	job := submit(t, q)
	if _, err := q.Cancel(t.Context(), job.ID, "user:ada", ""); err != nil {
		t.Fatal(err)
	}
	got := waitingClaim(t, q, s)
	if _, err := q.Retry(t.Context(), job.ID, "user:ada"); err != nil {
		t.Fatal(err)
	}
	wait(t, got, "the claim")
}

func TestClaimIsWokenByRoomUnderALimit(t *testing.T) {
	s := newStore(t)
	q := queue.New(s, queue.Options{Poll: never, Limits: queue.ConcurrencyLimits{PerTenant: 1}})
	submit(t, q)
	submit(t, q)
	first := claim(t, q)
	<-s.claims
	got := waitingClaim(t, q, s)
	if _, err := q.Complete(t.Context(), first.LeaseRef, glovebox.Result{State: glovebox.StateCompleted}); err != nil {
		t.Fatal(err)
	}
	if leases := wait(t, got, "the claim"); len(leases) != 1 {
		t.Errorf("claimed %d jobs, want 1", len(leases))
	}
}

func TestClaimFindsWhatAWakeUpMissed(t *testing.T) {
	s := newStore(t)
	q := queue.New(s, queue.Options{Poll: 5 * time.Millisecond})
	got := waitingClaim(t, q, s)
	submit(t, queue.New(s.Store, queue.Options{})) // another process, as it were
	wait(t, got, "the claim")
}

func TestRunWakesClaimsAfterBackoff(t *testing.T) {
	s := newStore(t)
	q := queue.New(s, queue.Options{Poll: never, Backoff: func(int) time.Duration { return 50 * time.Millisecond }})
	run(t, q)
	submit(t, q)
	first := claim(t, q)
	<-s.claims
	if _, err := q.Complete(t.Context(), first.LeaseRef, glovebox.Result{State: glovebox.StateErrored}); err != nil {
		t.Fatal(err)
	}
	got := waitingClaim(t, q, s)
	if leases := wait(t, got, "the delayed job"); leases[0].Attempt != 2 {
		t.Errorf("claimed attempt %d, want 2", leases[0].Attempt)
	}
}

func TestRunExpiresLeases(t *testing.T) {
	s := newStore(t)
	q := queue.New(s, queue.Options{LeaseTTL: 50 * time.Millisecond})
	run(t, q)
	job := submit(t, q)
	changes := q.Watch(t.Context(), job.ID)
	claim(t, q)
	for {
		wait(t, changes, "a change of the job")
		got, err := q.Get(t.Context(), job.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.State == glovebox.StateQueued && got.Attempt == 1 {
			return
		}
	}
}

// TestRunLeavesTimeAfterAStart: a server that was away takes no lease before its holder could beat again.
func TestRunLeavesTimeAfterAStart(t *testing.T) {
	s := newStore(t)
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	pass := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	q := queue.New(s, queue.Options{Now: clock, Poll: time.Millisecond})
	submit(t, q)
	ref := claim(t, q).LeaseRef
	pass(10 * queue.DefaultLeaseTTL) // the server was away
	run(t, q)
	for range 5 {
		wait(t, s.dues, "Run to look")
	}
	if _, err := q.Check(t.Context(), ref); err != nil {
		t.Fatalf("the lease was taken at once: %v", err)
	}
	changes := q.Watch(t.Context(), ref.JobID)
	pass(queue.DefaultLeaseTTL)
	wait(t, changes, "the lease's end")
	if _, err := q.Check(t.Context(), ref); !errors.Is(err, glovebox.ErrLeaseLost) {
		t.Errorf("check: %v, want ErrLeaseLost", err)
	}
}

// TestClaimNobodyReceives: an executor that went away while its claim was under way is not charged.
func TestClaimNobodyReceives(t *testing.T) {
	s := newStore(t)
	q := queue.New(s, queue.Options{})
	job := submit(t, q)
	ctx, cancel := context.WithCancel(t.Context())
	s.onClaim = cancel
	if leases, err := q.Claim(ctx, glovebox.Offer{Executor: "gone"}); !errors.Is(err, context.Canceled) || leases != nil {
		t.Fatalf("claim: %v, %v", leases, err)
	}
	r, err := s.Lookup(t.Context(), job.ID)
	if err != nil || r.Job.State != glovebox.StateQueued || r.LastAttempt-r.Job.Attempt != job.Attempts {
		t.Errorf("job after the claim: %+v, %v", r, err)
	}
	if lease := claim(t, q); lease.Attempt != 2 {
		t.Errorf("attempt %d, want 2", lease.Attempt)
	}
}

func TestClaimEnds(t *testing.T) {
	q := queue.New(newStore(t), queue.Options{Poll: never})
	leases, err := q.Claim(t.Context(), glovebox.Offer{Executor: "e", Wait: glovebox.Duration(time.Millisecond)})
	if err != nil || len(leases) != 0 {
		t.Errorf("claim of nothing: %v, %v", leases, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(glovebox.ErrShutdown)
	if _, err := q.Claim(ctx, glovebox.Offer{Executor: "e", Wait: glovebox.Duration(never)}); !errors.Is(err, glovebox.ErrShutdown) {
		t.Errorf("claim after the end: %v", err)
	}
	var invalid *glovebox.ValidationError
	for _, name := range []string{"", "a\nb", string(make([]byte, 200))} {
		if _, err := q.Claim(t.Context(), glovebox.Offer{Executor: name}); !errors.As(err, &invalid) {
			t.Errorf("claim as %q: %v", name, err)
		}
	}
}

func TestWatch(t *testing.T) {
	q := queue.New(newStore(t), queue.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all := q.Watch(ctx, "")
	job := submit(t, q)
	wait(t, all, "the submission")
	one, other := q.Watch(ctx, job.ID), q.Watch(ctx, "other")
	ref := claim(t, q).LeaseRef
	wait(t, one, "the claim")
	if err := q.AddEvents(ctx, ref, []glovebox.Event{{Kind: glovebox.EventProgress}}); err != nil {
		t.Fatal(err)
	}
	wait(t, one, "the remark")
	wait(t, all, "any of them")
	select {
	case <-other:
		t.Error("another job's watcher was woken")
	default:
	}
	cancel()
	for _, c := range []<-chan struct{}{all, one, other} {
		for range c { // ends when it is closed
		}
	}
}
