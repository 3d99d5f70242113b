package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// list reads all pages of a filter and returns the jobs' names.
func (f *fixture) list(filter queue.Filter) []string {
	f.Helper()
	got := []string{}
	for {
		jobs, next, err := f.q.List(f.ctx, filter)
		if err != nil {
			f.Fatalf("list: %v", err)
		}
		if len(jobs) > filter.PageSize() {
			f.Fatalf("page of %d jobs, want at most %d", len(jobs), filter.PageSize())
		}
		for _, job := range jobs {
			got = append(got, job.Name)
		}
		if next == "" {
			return got
		}
		filter.Cursor = next
	}
}

func testList(f *fixture) {
	if got := f.list(queue.Filter{}); len(got) != 0 {
		f.Errorf("list of nothing: %q", got)
	}
	var want []string
	for i := range 7 {
		name := fmt.Sprint(i)
		if _, err := f.q.Submit(f.ctx, "acme", "user:ada", spec(named("%s", name))); err != nil {
			f.Fatal(err)
		}
		want = slices.Insert(want, 0, name) // all within one millisecond, or two
		if i == 3 {
			f.clock.advance(time.Millisecond)
		}
	}
	for limit := 1; limit <= 8; limit++ {
		if got := f.list(queue.Filter{Limit: limit}); !slices.Equal(got, want) {
			f.Errorf("pages of %d: %q, want %q", limit, got, want)
		}
	}
	for _, cursor := range []string{"x", "!!!", "MTIz", "LmE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5LmE"} {
		var invalid *glovebox.ValidationError
		if _, _, err := f.q.List(f.ctx, queue.Filter{Cursor: cursor}); !errors.As(err, &invalid) {
			f.Errorf("cursor %q: %v, want a *ValidationError", cursor, err)
		}
	}
}

func testListFilters(f *fixture) {
	in := func(queue, repo string) func(*glovebox.JobSpec) {
		return func(s *glovebox.JobSpec) {
			s.Queue = queue
			if repo != "" {
				s.Repo = &glovebox.Repo{Name: repo}
			}
		}
	}
	first := f.submit("acme", named("Build 100%%"), in("fast", "corp/app"))
	f.submit("acme", named("test_app"), in("slow", "corp/app"))
	f.submit("umbrella", named("TestXapp"), in("fast", ""))
	f.submit("umbrella", named("deploy"), in("fast", "Umbrella/Site"))
	f.complete(f.claimOne().LeaseRef, glovebox.StateCompleted)
	f.claimOne()
	for _, c := range []struct {
		filter queue.Filter
		want   []string
	}{
		{queue.Filter{Tenant: "acme"}, []string{"test_app", "Build 100%"}},
		{queue.Filter{Tenant: "nobody"}, nil},
		{queue.Filter{Queue: "fast"}, []string{"deploy", "TestXapp", "Build 100%"}},
		{queue.Filter{Repo: "corp/app"}, []string{"test_app", "Build 100%"}},
		{queue.Filter{Repo: "corp/app", Queue: "slow"}, []string{"test_app"}},
		{queue.Filter{States: []glovebox.State{glovebox.StateCompleted}}, []string{"Build 100%"}},
		{queue.Filter{States: []glovebox.State{glovebox.StateQueued, glovebox.StateCompleted}}, []string{"deploy", "test_app", "Build 100%"}},
		{queue.Filter{States: []glovebox.State{"nonsense"}}, nil},
		{queue.Filter{States: []glovebox.State{glovebox.StateProcessing}, Tenant: "acme"}, nil},
		{queue.Filter{Text: "100%"}, []string{"Build 100%"}},
		{queue.Filter{Text: "T_APP"}, []string{"test_app"}},
		{queue.Filter{Text: "umbrella/"}, []string{"deploy"}},
		{queue.Filter{Text: first.ID}, []string{"Build 100%"}},
		{queue.Filter{Text: `\`}, nil},
		{queue.Filter{Text: "'; DROP TABLE jobs; --"}, nil},
	} {
		for _, limit := range []int{0, 1} {
			c.filter.Limit = limit
			if got := f.list(c.filter); !slices.Equal(got, append([]string{}, c.want...)) {
				f.Errorf("%+v: %q, want %q", c.filter, got, c.want)
			}
		}
	}
}

func testStats(f *fixture) {
	stats, err := f.q.Stats(f.ctx)
	if err != nil || len(stats.Counts) != 0 || !stats.OldestQueued.IsZero() {
		f.Errorf("stats of nothing: %+v, %v", stats, err)
	}
	f.submit("acme")
	second := f.submit("acme", func(s *glovebox.JobSpec) { s.Queue = "other" })
	f.submit("acme", func(s *glovebox.JobSpec) { s.Queue = "other" })
	f.claimOne()
	stats, err = f.q.Stats(f.ctx)
	want := []queue.Count{{Queue: "default", State: glovebox.StateProcessing, Jobs: 1}, {Queue: "other", State: glovebox.StateQueued, Jobs: 2}}
	if err != nil || !slices.Equal(stats.Counts, want) || !stats.OldestQueued.Equal(second.CreatedAt) {
		f.Errorf("stats: %+v, %v", stats, err)
	}
}

func testInsertTwice(f *fixture) {
	job := f.submit("acme", named("first"))
	job.Name = "second"
	f.wantErr(f.store.Insert(f.ctx, queue.Record{Job: job, LastAttempt: 1}, nil), glovebox.ErrConflict)
	if got := f.want(job.ID, glovebox.StateQueued, 0); got.Name != "first" {
		f.Errorf("the second insert replaced the job: %+v", got)
	}
}

// testUpdateUndone: an update whose change fails leaves nothing behind, also not for
// those that share its commit.
func testUpdateUndone(f *fixture) {
	job, other := f.submit("acme"), f.submit("acme")
	boom := errors.New("boom")
	done := make(chan error, 20)
	for i := range cap(done) {
		go func() {
			if i%2 == 0 {
				_, err := f.store.Update(f.ctx, job.ID, func(r *queue.Record) ([]glovebox.Event, error) {
					r.Job.Reason = "half"
					return nil, boom
				})
				if err != boom { //nolint:errorlint // it must come back as it is
					done <- fmt.Errorf("update answered %v", err)
					return
				}
				done <- nil
				return
			}
			_, err := f.store.Update(f.ctx, other.ID, func(r *queue.Record) ([]glovebox.Event, error) {
				r.LastAttempt++
				return nil, nil
			})
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			f.Error(err)
		}
	}
	if got := f.want(job.ID, glovebox.StateQueued, 0); got.Reason != "" {
		f.Errorf("an undone update left %q", got.Reason)
	}
	if r, err := f.store.Lookup(f.ctx, other.ID); err != nil || r.LastAttempt != 13 {
		f.Errorf("last attempt %d, %v; want 13", r.LastAttempt, err)
	}
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	if _, err := f.store.Claim(ctx, queue.Claim{Offer: offer(), Grants: []queue.Grant{{TokenHash: "x"}}, Now: f.clock.Now(), Until: f.clock.Now()}); err == nil {
		f.want(job.ID, glovebox.StateProcessing, 1) // it may win; but then wholly
	}
}
