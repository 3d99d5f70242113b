package queuetest

import (
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
)

func testExpiry(f *fixture) {
	job := f.submit("acme", func(s *glovebox.JobSpec) { s.Attempts = 2 })
	f.claimOne()
	f.clock.advance(ttl - time.Millisecond)
	f.reap(0)
	f.clock.advance(time.Millisecond)
	f.reap(1)
	got := f.want(job.ID, glovebox.StateQueued, 1)
	if !strings.Contains(got.Reason, "exec-1") || got.StartedAt != nil {
		f.Errorf("job after expiry: %+v", got)
	}
	f.claimNone()
	f.clock.advance(backoff(1))
	f.claimOne()
	f.clock.advance(ttl)
	f.reap(1)
	got = f.want(job.ID, glovebox.StateErrored, 2)
	if !strings.Contains(got.Reason, "lease expired") {
		f.Errorf("reason: %q", got.Reason)
	}
	f.wantTimeline(job.ID, "submitted claimed lease_expired requeued claimed lease_expired finished")
	f.reap(0)
}

// testReattach: a lease that is overdue but that nobody noticed can be extended.
func testReattach(f *fixture) {
	job := f.submit("acme")
	ref := f.claimOne().LeaseRef
	f.clock.advance(3 * ttl)
	if v := f.verdict(ref); v != glovebox.LeaseHeld {
		f.Fatalf("heartbeat says %s", v)
	}
	f.reap(0)
	f.complete(ref, glovebox.StateCompleted)
	f.want(job.ID, glovebox.StateCompleted, 1)
}

func testHeartbeat(f *fixture) {
	var refs []glovebox.LeaseRef
	for range 3 {
		f.submit("acme")
		refs = append(refs, f.claimOne().LeaseRef)
	}
	if _, err := f.q.Cancel(f.ctx, refs[1].JobID, "user:bob", ""); err != nil {
		f.Fatal(err)
	}
	f.complete(refs[2], glovebox.StateCompleted)
	f.clock.advance(ttl / 2)
	statuses, err := f.q.Heartbeat(f.ctx, glovebox.Beat{Executor: "exec-1", Leases: refs})
	if err != nil {
		f.Fatal(err)
	}
	for i, want := range []string{glovebox.LeaseHeld, glovebox.LeaseCanceled, glovebox.LeaseGone} {
		s := statuses[i]
		if s.Verdict != want || s.JobID != refs[i].JobID || s.Attempt != 1 {
			f.Errorf("status %d: %+v, want %s", i, s, want)
		}
		if extended := s.Expires.Equal(f.clock.Now().Add(ttl)); extended != (want != glovebox.LeaseGone) {
			f.Errorf("status %d: expires %v", i, s.Expires)
		}
	}
	f.clock.advance(ttl - time.Millisecond) // past the first lease's end
	f.reap(0)
	f.clock.advance(time.Millisecond)
	f.reap(2)
}

func testEvents(f *fixture) {
	job := f.submit("acme")
	ref := f.claimOne().LeaseRef
	f.clock.advance(time.Second)
	at := f.clock.Now()
	f.clock.advance(time.Second)
	beat := glovebox.Beat{Executor: "exec-1", Leases: []glovebox.LeaseRef{ref}, Events: []glovebox.JobEvent{
		{LeaseRef: ref, Event: glovebox.Event{Kind: glovebox.EventStepStarted, Time: at, Message: "a\x00b\n" + strings.Repeat("ü", 5000)}},
		{LeaseRef: ref, Event: glovebox.Event{Kind: glovebox.EventFinished, Actor: "user:root", Time: at.Add(time.Hour), Attempt: 9}},
		{LeaseRef: glovebox.LeaseRef{JobID: job.ID, Attempt: 1, Token: "gbj_wrong"}, Event: glovebox.Event{Kind: glovebox.EventProgress}},
	}}
	if _, err := f.q.Heartbeat(f.ctx, beat); err != nil {
		f.Fatal(err)
	}
	f.wantTimeline(job.ID, "submitted claimed step_started progress")
	got, err := f.q.Get(f.ctx, job.ID)
	if err != nil {
		f.Fatal(err)
	}
	first, second := got.Timeline[2], got.Timeline[3]
	if !first.Time.Equal(at) || !strings.HasPrefix(first.Message, "a b ü") || len(first.Message) > 1000 || first.Attempt != 1 {
		f.Errorf("first remark: %+v", first)
	}
	if second.Actor != "executor:exec-1" || !second.Time.Equal(f.clock.Now()) || second.Attempt != 1 {
		f.Errorf("second remark: %+v", second)
	}
}

// testRefused: a token's misuse is noted while its lease is held.
func testRefused(f *fixture) {
	job := f.submit("acme")
	ref := f.claimOne().LeaseRef
	if err := f.q.Refused(f.ctx, ref, "read\nanother repository"); err != nil {
		f.Fatal(err)
	}
	f.wantTimeline(job.ID, "submitted claimed refused")
	f.complete(ref, glovebox.StateCompleted)
	f.wantErr(f.q.Refused(f.ctx, ref, "late"), glovebox.ErrLeaseLost)
	f.wantTimeline(job.ID, "submitted claimed refused finished")
}

// testManyRemarks: an executor can't fill the store with remarks, and transitions are kept all the same.
func testManyRemarks(f *fixture) {
	job := f.submit("acme")
	ref := f.claimOne().LeaseRef
	f.wantErr(f.q.AddEvents(f.ctx, ref, make([]glovebox.Event, 1001)), glovebox.ErrTooLarge)
	for range 6 {
		if err := f.q.AddEvents(f.ctx, ref, make([]glovebox.Event, 1000)); err != nil {
			f.Fatal(err)
		}
	}
	f.complete(ref, glovebox.StateCompleted)
	got := f.want(job.ID, glovebox.StateCompleted, 1)
	if n := len(got.Timeline); n > 5100 || got.Timeline[n-1].Kind != glovebox.EventFinished {
		f.Errorf("timeline of %d events ends in %+v", n, got.Timeline[n-1])
	}
}

func testTokenLookup(f *fixture) {
	job := f.submit("acme")
	ref := f.claimOne().LeaseRef
	got, gotRef, err := f.q.JobByToken(f.ctx, ref.Token)
	if err != nil || got.ID != job.ID || gotRef != ref {
		f.Errorf("job by token: %v, %v", got.ID, err)
	}
	_, _, err = f.q.JobByToken(f.ctx, "")
	f.wantErr(err, glovebox.ErrUnauthorized)
	_, _, err = f.q.JobByToken(f.ctx, ref.Token+"x")
	f.wantErr(err, glovebox.ErrUnauthorized)
	f.complete(ref, glovebox.StateCompleted)
	_, _, err = f.q.JobByToken(f.ctx, ref.Token)
	f.wantErr(err, glovebox.ErrUnauthorized)
	record, err := f.store.Lookup(f.ctx, job.ID)
	if err != nil || record.TokenHash == "" || strings.Contains(record.TokenHash, ref.Token) {
		f.Errorf("token at rest: %q, %v", record.TokenHash, err)
	}
}
