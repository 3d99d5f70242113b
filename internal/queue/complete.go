package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// Complete accepts the result of the attempt that ref holds, once. Repeating it with the same
// ref and result succeeds and changes nothing; any other ref or result is
// glovebox.ErrLeaseLost. A result of glovebox.StateErrored returns the job to the queue
// with back-off while it has attempts left. A result of glovebox.StateCanceled that nobody asked for
// counts as errored: only a user cancels.
func (q *Queue) Complete(ctx context.Context, ref glovebox.LeaseRef, result glovebox.Result) (glovebox.Job, error) {
	if !result.State.Final() {
		return glovebox.Job{}, &glovebox.ValidationError{Problems: []glovebox.Problem{{
			Path: "state", Message: fmt.Sprintf("want completed, failed, errored or canceled, not %q", result.State)}}}
	}
	hash, err := hashResult(result)
	if err != nil {
		return glovebox.Job{}, err
	}
	result.Reason = oneLine(result.Reason)
	job, err := q.update(ctx, ref.JobID, func(r *Record) ([]glovebox.Event, error) {
		if r.names(ref) && r.ResultHash == hash {
			return nil, errUnchanged
		}
		if !r.holds(ref) {
			return nil, leaseLost(ref)
		}
		r.ResultHash = hash
		return q.complete(r, result)
	})
	if err != nil {
		return glovebox.Job{}, fmt.Errorf("complete job: %w", err)
	}
	return job, nil
}

// complete is the transition of a processing job that its holder reports a result for.
func (q *Queue) complete(r *Record, result glovebox.Result) ([]glovebox.Event, error) {
	now := q.now()
	actor := "executor:" + r.Job.Executor
	var events []glovebox.Event
	var err error
	switch {
	case result.State == glovebox.StateErrored:
		events, err = q.errored(r, actor, orElse(result.Reason, "the executor reported an error"), now)
	case result.State == glovebox.StateCanceled && !r.Job.CancelRequested:
		events, err = q.errored(r, actor, orElse(result.Reason, "the executor stopped the job"), now)
	default:
		reason := result.Reason
		if result.State == glovebox.StateCanceled {
			reason = r.Job.Reason // who canceled it
		}
		events = []glovebox.Event{{Time: now, Kind: glovebox.EventFinished, Actor: actor, Attempt: r.Job.Attempt, Message: finishedMessage(result.State, reason)}}
		err = r.finish(result.State, reason, now)
	}
	if err == nil && r.Job.State.Final() {
		r.Job.Result = &result
	}
	return events, err
}

func finishedMessage(state glovebox.State, reason string) string {
	if reason == "" {
		return string(state)
	}
	return string(state) + ": " + reason
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func isNotFound(err error) bool { return errors.Is(err, glovebox.ErrNotFound) }

// expire takes an overdue lease away. It reports false when the lease was extended or ended meanwhile.
func (q *Queue) expire(ctx context.Context, id string) (bool, error) {
	record, err := q.store.Update(ctx, id, func(r *Record) ([]glovebox.Event, error) {
		now := q.now()
		if r.Job.State != glovebox.StateProcessing || r.LeaseExpires.After(now) {
			return nil, errUnchanged
		}
		r.TokenHash, r.ResultHash = "", "" // whatever its holder says from now on is refused
		expired := glovebox.Event{Time: now, Kind: glovebox.EventLeaseExpired, Actor: "server", Attempt: r.Job.Attempt,
			Message: fmt.Sprintf("executor %s was last heard of %s ago", r.Job.Executor, now.Sub(r.LeaseExpires.Add(-q.opt.LeaseTTL)).Round(time.Second))}
		events, err := q.errored(r, "server", "lease expired: executor "+r.Job.Executor+" fell silent", now)
		return append([]glovebox.Event{expired}, events...), err
	})
	if errors.Is(err, errUnchanged) || isNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("expire lease of job %s: %w", id, err)
	}
	q.changed(glovebox.StateProcessing, record.Job)
	return true, nil
}
