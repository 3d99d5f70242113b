package store_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
	"github.com/glovebox-dev/glovebox/internal/store"
)

func trivial(i int) glovebox.JobSpec {
	return glovebox.JobSpec{Name: fmt.Sprintf("job %d", i), Repo: &glovebox.Repo{Name: fmt.Sprintf("corp/app%d", i%50)},
		Steps: []glovebox.Step{{Image: "debian", Run: "true"}}}
}

// BenchmarkJobs is a job's whole life, submitted, claimed and completed, with several doing so at once.
func BenchmarkJobs(b *testing.B) {
	for _, claimers := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("claimers=%d", claimers), func(b *testing.B) {
			q := queue.New(store.NewJobs(open(b)), queue.Options{})
			var wg sync.WaitGroup
			b.ResetTimer()
			for c := range claimers {
				wg.Go(func() {
					for i := c; i < b.N; i += claimers {
						if _, err := q.Submit(b.Context(), fmt.Sprint("t", i%5), "user:ada", trivial(i)); err != nil {
							b.Error(err)
							return
						}
						leases, err := q.Claim(b.Context(), glovebox.Offer{Executor: "e", Max: 1})
						if err != nil || len(leases) != 1 {
							b.Errorf("claim: %v, %v", leases, err)
							return
						}
						if _, err := q.Complete(b.Context(), leases[0].LeaseRef, glovebox.Result{State: glovebox.StateCompleted}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// BenchmarkFull measures a store of 100,000 jobs, a tenth of which has ended.
func BenchmarkFull(b *testing.B) {
	q := queue.New(store.NewJobs(open(b)), queue.Options{})
	const jobs = 100_000
	var wg sync.WaitGroup
	for c := range 32 {
		wg.Go(func() {
			for i := c; i < jobs; i += 32 {
				job, err := q.Submit(b.Context(), fmt.Sprint("t", i%5), "user:ada", trivial(i))
				if err == nil && i%10 == 0 {
					_, err = q.Cancel(b.Context(), job.ID, "user:ada", "")
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for name, filter := range map[string]queue.Filter{
		"all": {}, "state": {States: []glovebox.State{glovebox.StateCanceled}}, "tenant": {Tenant: "t3"},
		"two states":       {States: []glovebox.State{glovebox.StateCanceled, glovebox.StateQueued}},
		"tenant and state": {Tenant: "t0", States: []glovebox.State{glovebox.StateCanceled}},
		"rare state":       {States: []glovebox.State{glovebox.StateFailed}}, "tenant and rare state": {Tenant: "t0", States: []glovebox.State{glovebox.StateFailed}},
		"repo": {Repo: "corp/app7"}, "text": {Text: "job 99"}, "rare text": {Text: "no such job"},
	} {
		b.Run("list/"+name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := q.List(b.Context(), filter); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("stats", func(b *testing.B) {
		for b.Loop() {
			if _, err := q.Stats(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("claim", func(b *testing.B) {
		for b.Loop() {
			leases, err := q.Claim(b.Context(), glovebox.Offer{Executor: "e", Max: 1})
			if err != nil || len(leases) != 1 {
				b.Fatal(leases, err)
			}
			if _, err := q.Complete(b.Context(), leases[0].LeaseRef, glovebox.Result{State: glovebox.StateCompleted}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
