package queue

import (
	"context"
	"errors"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// maxEvents bounds how many events one call may add.
const maxEvents = 1000

// AddEvents adds an executor's remarks to the timeline of the job that ref holds;
// glovebox.ErrLeaseLost when it does not. Kinds other than progress, step_started and
// step_finished become progress; times are put between the attempt's start and now.
func (q *Queue) AddEvents(ctx context.Context, ref glovebox.LeaseRef, events []glovebox.Event) error {
	if len(events) == 0 {
		return nil
	}
	if len(events) > maxEvents {
		return glovebox.ErrTooLarge
	}
	_, err := q.update(ctx, ref.JobID, func(r *Record) ([]glovebox.Event, error) {
		if !r.holds(ref) {
			return nil, leaseLost(ref)
		}
		now := q.now()
		out := make([]glovebox.Event, len(events))
		for i, e := range events {
			out[i] = remark(e, r, now)
		}
		return out, nil
	})
	return err
}

// remark makes an executor's event safe to keep.
func remark(e glovebox.Event, r *Record, now time.Time) glovebox.Event {
	switch e.Kind {
	case glovebox.EventProgress, glovebox.EventStepStarted, glovebox.EventStepFinished:
	default:
		e.Kind = glovebox.EventProgress
	}
	if e.Time.IsZero() || e.Time.After(now) {
		e.Time = now
	}
	if r.Job.StartedAt != nil && e.Time.Before(*r.Job.StartedAt) {
		e.Time = *r.Job.StartedAt
	}
	e.Actor = "executor:" + r.Job.Executor
	e.Attempt = r.Job.Attempt
	e.Message = oneLine(e.Message)
	return e
}

// addBeatEvents adds the events of a heartbeat, job by job. Those of a lost lease are dropped.
func (q *Queue) addBeatEvents(ctx context.Context, events []glovebox.JobEvent) error {
	byRef := map[glovebox.LeaseRef][]glovebox.Event{}
	var order []glovebox.LeaseRef
	for _, e := range events {
		if _, seen := byRef[e.LeaseRef]; !seen {
			order = append(order, e.LeaseRef)
		}
		byRef[e.LeaseRef] = append(byRef[e.LeaseRef], e.Event)
	}
	for _, ref := range order {
		err := q.AddEvents(ctx, ref, byRef[ref])
		switch {
		case errors.Is(err, glovebox.ErrLeaseLost), isNotFound(err), errors.Is(err, glovebox.ErrTooLarge):
			q.opt.Logger.Warn("drop events of a heartbeat", "job", ref.JobID, "err", err)
		case err != nil:
			return err
		}
	}
	return nil
}
