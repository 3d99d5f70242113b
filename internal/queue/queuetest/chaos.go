package queuetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// Size of testChaos.
const (
	chaosJobs     = 120
	chaosClaimers = 8
)

// testChaos runs many claimers at once, truly concurrently, some of which crash, dawdle past their leases and write
// late, while users cancel and the reaper reaps. Its clock is moved by one of them.
// In the end every job is over, none was handed out twice in one attempt, and none had two results accepted.
func testChaos(f *fixture) {
	seed := uint64(time.Now().UnixNano())
	f.Logf("seed %d", seed)
	c := &chaos{f: f, claimed: map[string]bool{}, accepted: map[string]int{}}
	for i := range chaosJobs {
		c.ids = append(c.ids, f.submit(fmt.Sprintf("tenant %d", i%3), func(s *glovebox.JobSpec) { s.Attempts = 20 }).ID)
	}
	var wg sync.WaitGroup
	for i := range chaosClaimers {
		wg.Go(func() { c.claimer(rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	stop := make(chan struct{})
	var keepers sync.WaitGroup
	keepers.Go(func() { c.keeper(rand.New(rand.NewPCG(seed, 1000)), stop) })
	wg.Wait()
	close(stop)
	keepers.Wait()
	c.check()
}

// chaos is what the claimers of testChaos saw together.
type chaos struct {
	f   *fixture
	ids []string

	mu       sync.Mutex
	claimed  map[string]bool // job and attempt
	accepted map[string]int  // final results by job
	late     []glovebox.LeaseRef
	canceled atomic.Int64
	refused  atomic.Int64
}

// claimer claims until everything is over.
func (c *chaos) claimer(rnd *rand.Rand) {
	idle := 0
	for idle < 3 {
		leases, err := c.f.q.Claim(c.f.ctx, offer(func(o *glovebox.Offer) { o.Max = 1 + rnd.IntN(3) }))
		if err != nil {
			c.f.Errorf("claim: %v", err)
			return
		}
		if len(leases) == 0 {
			if c.over() {
				idle++
			}
			c.f.clock.advance(time.Second)
			continue
		}
		for _, lease := range leases {
			c.saw(lease)
			c.treat(rnd, lease.LeaseRef)
		}
	}
}

// over reports whether no job is left to do.
func (c *chaos) over() bool {
	stats, err := c.f.q.Stats(c.f.ctx)
	if err != nil {
		c.f.Errorf("stats: %v", err)
		return true
	}
	for _, count := range stats.Counts {
		if !count.State.Final() {
			return false
		}
	}
	return true
}

func (c *chaos) saw(lease glovebox.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := fmt.Sprintf("%s/%d", lease.JobID, lease.Attempt)
	if c.claimed[key] {
		c.f.Errorf("%s was handed out twice", key)
	}
	c.claimed[key] = true
}

// treat does with a lease what executors do on good and bad days.
func (c *chaos) treat(rnd *rand.Rand, ref glovebox.LeaseRef) {
	switch rnd.IntN(6) {
	case 0: // crash: never heard of again
	case 1: // dawdle: write much later
		c.mu.Lock()
		c.late = append(c.late, ref)
		c.mu.Unlock()
		c.f.clock.advance(ttl / 4)
	case 2: // write for somebody who dawdles, perhaps twice
		c.complete(ref, glovebox.StateErrored)
		c.mu.Lock()
		var late glovebox.LeaseRef
		if len(c.late) > 0 {
			late = c.late[rnd.IntN(len(c.late))]
		}
		c.mu.Unlock()
		if late.JobID != "" {
			c.complete(late, glovebox.StateFailed)
		}
	case 3:
		if _, err := c.f.q.Heartbeat(c.f.ctx, glovebox.Beat{Executor: "exec-1", Leases: []glovebox.LeaseRef{ref}}); err != nil {
			c.f.Errorf("heartbeat: %v", err)
		}
		fallthrough
	default:
		c.complete(ref, glovebox.StateCompleted)
	}
}

// complete counts results that were accepted. Each writer's result is told apart, so that repetitions do not count.
func (c *chaos) complete(ref glovebox.LeaseRef, state glovebox.State) {
	result := glovebox.Result{State: state, Commit: fmt.Sprint(rand.Uint64())}
	job, err := c.f.q.Complete(c.f.ctx, ref, result)
	switch {
	case errors.Is(err, glovebox.ErrLeaseLost):
		c.refused.Add(1)
	case err != nil:
		c.f.Errorf("complete: %v", err)
	case job.State.Final() && job.State != glovebox.StateCanceled:
		c.mu.Lock()
		c.accepted[ref.JobID]++
		c.mu.Unlock()
	}
}

// keeper is time, the reaper and the users.
func (c *chaos) keeper(rnd *rand.Rand, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		c.f.clock.advance(time.Duration(rnd.IntN(5)) * time.Second)
		if _, _, err := c.f.q.Reap(c.f.ctx); err != nil {
			c.f.Errorf("reap: %v", err)
		}
		if rnd.IntN(4) == 0 {
			_, err := c.f.q.Cancel(c.f.ctx, c.ids[rnd.IntN(len(c.ids))], "user:bob", "")
			if err == nil {
				c.canceled.Add(1)
			} else if !errors.Is(err, glovebox.ErrConflict) {
				c.f.Errorf("cancel: %v", err)
			}
		}
	}
}

// check counts what came of the jobs.
func (c *chaos) check() {
	states := map[glovebox.State]int{}
	for _, id := range c.ids {
		job, err := c.f.q.Get(c.f.ctx, id)
		if err != nil {
			c.f.Errorf("job %s is lost: %v", id, err)
			continue
		}
		states[job.State]++
		if !job.State.Final() {
			c.f.Errorf("job %s is %s in the end", id, job.State)
		}
		finished, claims := 0, 0
		for _, e := range job.Timeline {
			switch e.Kind {
			case glovebox.EventFinished:
				finished++
			case glovebox.EventClaimed:
				claims++
			}
		}
		want := 0
		if job.State == glovebox.StateCompleted || job.State == glovebox.StateFailed {
			want = 1
		}
		if job.State != glovebox.StateErrored && c.accepted[id] != want || c.accepted[id] > 1 {
			c.f.Errorf("job %s is %s with %d accepted results", id, job.State, c.accepted[id])
		}
		if finished != 1 || claims != job.Attempt {
			c.f.Errorf("job %s finished %d times and was claimed %d times in %d attempts", id, finished, claims, job.Attempt)
		}
	}
	c.f.Logf("states %v, %d leases, %d writes refused, %d cancels", states, len(c.claimed), c.refused.Load(), c.canceled.Load())
}
