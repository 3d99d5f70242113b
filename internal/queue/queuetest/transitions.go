package queuetest

import (
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
)

func testSubmit(f *fixture) {
	job := f.submit("acme", func(s *glovebox.JobSpec) { s.Labels = map[string]string{"arch": "amd64"} })
	got := f.want(job.ID, glovebox.StateQueued, 0)
	if got.Tenant != "acme" || got.Queue != glovebox.DefaultQueue || got.SubmittedBy != "ada" || got.Attempts != 3 ||
		got.Steps[0].Key != "step-1" || got.Labels["arch"] != "amd64" || !got.CreatedAt.Equal(job.CreatedAt) || got.NotBefore != nil {
		f.Errorf("stored job: %+v", got)
	}
	f.wantTimeline(job.ID, "submitted")
	_, err := f.q.Submit(f.ctx, "acme", "user:ada", glovebox.JobSpec{})
	if _, ok := err.(*glovebox.ValidationError); !ok {
		f.Errorf("submit of an empty spec: %v, want a *ValidationError", err)
	}
}

func testComplete(f *fixture) {
	for _, state := range []glovebox.State{glovebox.StateCompleted, glovebox.StateFailed} {
		job := f.submit("acme")
		lease := f.claimOne()
		if lease.Job.State != glovebox.StateProcessing || lease.Attempt != 1 || !lease.Expires.Equal(f.clock.Now().Add(ttl)) ||
			lease.Job.Executor != "exec-1" || lease.Job.StartedAt == nil {
			f.Errorf("lease: %+v", lease)
		}
		result := glovebox.Result{State: state, Reason: "because", Commit: "abc",
			Steps: []glovebox.StepResult{{Key: "step-1", State: state, ExitCode: 3, Usage: glovebox.Usage{CPUSeconds: 1.5}}}}
		if _, err := f.q.Complete(f.ctx, lease.LeaseRef, result); err != nil {
			f.Fatal(err)
		}
		got := f.want(job.ID, state, 1)
		if got.Result == nil || got.Result.Steps[0].ExitCode != 3 || got.Result.Commit != "abc" || got.FinishedAt == nil || got.Reason != "because" {
			f.Errorf("completed job: %+v", got)
		}
		f.wantTimeline(job.ID, "submitted claimed finished")
		if f.verdict(lease.LeaseRef) != glovebox.LeaseGone {
			f.Error("the lease of a completed job is still held")
		}
	}
	f.claimNone()
}

func testCompleteTwice(f *fixture) {
	job := f.submit("acme")
	ref := f.claimOne().LeaseRef
	f.complete(ref, glovebox.StateCompleted)
	f.complete(ref, glovebox.StateCompleted)
	f.wantTimeline(job.ID, "submitted claimed finished")
	_, err := f.q.Complete(f.ctx, ref, glovebox.Result{State: glovebox.StateFailed})
	f.wantErr(err, glovebox.ErrLeaseLost)
	f.want(job.ID, glovebox.StateCompleted, 1)

	job = f.submit("acme") // an errored result that was accepted may be repeated while the job waits
	ref = f.claimOne().LeaseRef
	f.complete(ref, glovebox.StateErrored)
	f.complete(ref, glovebox.StateErrored)
	f.want(job.ID, glovebox.StateQueued, 1)
	f.wantTimeline(job.ID, "submitted claimed requeued")
}

func testStaleWrites(f *fixture) {
	job := f.submit("acme")
	old := f.claimOne().LeaseRef
	f.clock.advance(ttl + backoff(1))
	f.reap(1)
	f.clock.advance(backoff(1))
	now := f.claimOne().LeaseRef
	if now.Attempt != 2 || now.Token == old.Token {
		f.Fatalf("second lease %+v", now)
	}
	forged := glovebox.LeaseRef{JobID: job.ID, Attempt: 2, Token: old.Token}
	mixed := glovebox.LeaseRef{JobID: job.ID, Attempt: 1, Token: now.Token}
	for name, ref := range map[string]glovebox.LeaseRef{
		"old": old, "old token, new attempt": forged, "new token, old attempt": mixed, "no token": {JobID: job.ID, Attempt: 2},
	} {
		for _, state := range []glovebox.State{glovebox.StateCompleted, glovebox.StateErrored, glovebox.StateCanceled} {
			if _, err := f.q.Complete(f.ctx, ref, glovebox.Result{State: state}); err == nil {
				f.Errorf("%s: complete was accepted", name)
			} else {
				f.wantErr(err, glovebox.ErrLeaseLost)
			}
		}
		if v := f.verdict(ref); v != glovebox.LeaseGone {
			f.Errorf("%s: heartbeat says %s", name, v)
		}
		_, err := f.q.Check(f.ctx, ref)
		f.wantErr(err, glovebox.ErrLeaseLost)
		f.wantErr(f.q.AddEvents(f.ctx, ref, []glovebox.Event{{Message: "late"}}), glovebox.ErrLeaseLost)
	}
	f.want(job.ID, glovebox.StateProcessing, 2)
	f.wantTimeline(job.ID, "submitted claimed lease_expired requeued claimed")
	f.complete(now, glovebox.StateCompleted)
}

func testCancelQueued(f *fixture) {
	job := f.submit("acme")
	got, err := f.q.Cancel(f.ctx, job.ID, "user:bob", "not\nneeded")
	if err != nil || got.State != glovebox.StateCanceled || got.Reason != "canceled by bob: not needed" || got.FinishedAt == nil {
		f.Fatalf("cancel: %+v, %v", got, err)
	}
	f.claimNone()
	if _, err := f.q.Cancel(f.ctx, job.ID, "user:bob", ""); err != nil {
		f.Errorf("cancel twice: %v", err)
	}
	f.wantTimeline(job.ID, "submitted finished")
}

func testCancelProcessing(f *fixture) {
	job := f.submit("acme")
	ref := f.claimOne().LeaseRef
	for range 2 {
		got, err := f.q.Cancel(f.ctx, job.ID, "user:bob", "")
		if err != nil || got.State != glovebox.StateProcessing || !got.CancelRequested {
			f.Fatalf("cancel: %+v, %v", got, err)
		}
	}
	for range 2 { // said until it is done
		if v := f.verdict(ref); v != glovebox.LeaseCanceled {
			f.Fatalf("heartbeat says %s", v)
		}
	}
	if _, err := f.q.Check(f.ctx, ref); err != nil {
		f.Errorf("a canceled job's lease is not held until it is completed: %v", err)
	}
	got := f.complete(ref, glovebox.StateCanceled)
	if got.State != glovebox.StateCanceled || got.CancelRequested || got.Reason != "canceled by bob" {
		f.Errorf("canceled job: %+v", got)
	}
	f.want(job.ID, glovebox.StateCanceled, 1)
	f.wantTimeline(job.ID, "submitted claimed cancel_requested finished")
}

func testCancelRaces(f *fixture) {
	for range 20 {
		job := f.submit("acme")
		ref := f.claimOne().LeaseRef
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = f.q.Cancel(f.ctx, job.ID, "user:bob", "") })
		wg.Go(func() {
			if _, err := f.q.Complete(f.ctx, ref, glovebox.Result{State: glovebox.StateCompleted}); err != nil {
				f.Errorf("complete while canceled: %v", err)
			}
		})
		wg.Wait()
		f.want(job.ID, glovebox.StateCompleted, 1) // it had finished before it could be stopped
	}
	job := f.submit("acme") // an error while a cancel is pending is no reason to run again
	ref := f.claimOne().LeaseRef
	if _, err := f.q.Cancel(f.ctx, job.ID, "user:bob", ""); err != nil {
		f.Fatal(err)
	}
	f.complete(ref, glovebox.StateErrored)
	f.want(job.ID, glovebox.StateCanceled, 1)

	job = f.submit("acme") // a cancel that nobody asked for is an error
	f.complete(f.claimOne().LeaseRef, glovebox.StateCanceled)
	f.want(job.ID, glovebox.StateQueued, 1)
}

func testCancelAndCrash(f *fixture) {
	job := f.submit("acme")
	f.claimOne()
	if _, err := f.q.Cancel(f.ctx, job.ID, "user:bob", ""); err != nil {
		f.Fatal(err)
	}
	f.clock.advance(ttl)
	f.reap(1)
	f.want(job.ID, glovebox.StateCanceled, 1)
	f.wantTimeline(job.ID, "submitted claimed cancel_requested lease_expired finished")
}

func testRetry(f *fixture) {
	job := f.submit("acme", func(s *glovebox.JobSpec) { s.Attempts = 1 })
	for attempt := 1; attempt <= 3; attempt++ {
		ref := f.claimOne().LeaseRef
		f.complete(ref, glovebox.StateErrored)
		f.want(job.ID, glovebox.StateErrored, attempt)
		got, err := f.q.Retry(f.ctx, job.ID, "user:bob")
		if err != nil || got.State != glovebox.StateQueued || got.Result != nil || got.Reason != "" || got.FinishedAt != nil {
			f.Fatalf("retry: %+v, %v", got, err)
		}
		_, err = f.q.Complete(f.ctx, ref, glovebox.Result{State: glovebox.StateErrored})
		f.wantErr(err, glovebox.ErrLeaseLost)
	}
	ref := f.claimOne().LeaseRef
	if ref.Attempt != 4 {
		f.Errorf("attempt %d after three retries, want 4", ref.Attempt)
	}
	f.complete(ref, glovebox.StateCompleted)
}

func testRefusedTransitions(f *fixture) {
	job := f.submit("acme")
	_, err := f.q.Retry(f.ctx, job.ID, "user:bob")
	f.wantErr(err, glovebox.ErrConflict)
	ref := f.claimOne().LeaseRef
	_, err = f.q.Retry(f.ctx, job.ID, "user:bob")
	f.wantErr(err, glovebox.ErrConflict)
	for _, state := range []glovebox.State{"", "done", glovebox.StateQueued, glovebox.StateProcessing, glovebox.StateSkipped} {
		if _, err := f.q.Complete(f.ctx, ref, glovebox.Result{State: state}); err == nil {
			f.Errorf("a result of state %q was accepted", state)
		}
	}
	f.complete(ref, glovebox.StateFailed)
	_, err = f.q.Cancel(f.ctx, job.ID, "user:bob", "")
	f.wantErr(err, glovebox.ErrConflict)
	f.want(job.ID, glovebox.StateFailed, 1)
}

func testUnknown(f *fixture) {
	ref := glovebox.LeaseRef{JobID: "nothing", Attempt: 1, Token: "gbj_x"}
	_, err := f.q.Get(f.ctx, "nothing")
	f.wantErr(err, glovebox.ErrNotFound)
	_, err = f.q.Cancel(f.ctx, "nothing", "user:bob", "")
	f.wantErr(err, glovebox.ErrNotFound)
	_, err = f.q.Retry(f.ctx, "nothing", "user:bob")
	f.wantErr(err, glovebox.ErrNotFound)
	_, err = f.q.Complete(f.ctx, ref, glovebox.Result{State: glovebox.StateCompleted})
	f.wantErr(err, glovebox.ErrNotFound)
	if v := f.verdict(ref); v != glovebox.LeaseGone {
		f.Errorf("heartbeat of an unknown job says %s", v)
	}
}

func testBackoff(f *fixture) {
	job := f.submit("acme")
	for attempt := 1; attempt <= 2; attempt++ {
		f.complete(f.claimOne().LeaseRef, glovebox.StateErrored)
		got := f.want(job.ID, glovebox.StateQueued, attempt)
		if got.NotBefore == nil || !got.NotBefore.Equal(f.clock.Now().Add(backoff(attempt))) || got.Result != nil {
			f.Fatalf("after attempt %d: not before %v, now %v", attempt, got.NotBefore, f.clock.Now())
		}
		if _, next, err := f.q.Reap(f.ctx); err != nil || !next.Equal(*got.NotBefore) {
			f.Errorf("next thing to do is at %v, %v; want %v", next, err, got.NotBefore)
		}
		f.claimNone()
		f.clock.advance(backoff(attempt) - time.Millisecond)
		f.claimNone()
		f.clock.advance(time.Millisecond)
	}
	lease := f.claimOne()
	if lease.Job.NotBefore != nil {
		f.Errorf("a claimed job is still delayed: %v", lease.Job.NotBefore)
	}
	f.complete(lease.LeaseRef, glovebox.StateErrored)
	got := f.want(job.ID, glovebox.StateErrored, 3)
	if got.Result == nil || got.Reason == "" {
		f.Errorf("errored job has no result or reason: %+v", got)
	}
	f.wantTimeline(job.ID, "submitted claimed requeued claimed requeued claimed finished")
}
