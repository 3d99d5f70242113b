package queue

import (
	"context"

	"github.com/glovebox-dev/glovebox"
)

// Refused notes on the timeline of the job that ref holds that its token was used for
// something it gives no right to; glovebox.ErrLeaseLost when ref holds nothing.
func (q *Queue) Refused(ctx context.Context, ref glovebox.LeaseRef, message string) error {
	_, err := q.update(ctx, ref.JobID, func(r *Record) ([]glovebox.Event, error) {
		if !r.holds(ref) {
			return nil, leaseLost(ref)
		}
		return []glovebox.Event{{
			Time: q.now(), Kind: glovebox.EventRefused, Actor: "executor:" + r.Job.Executor, Attempt: ref.Attempt, Message: oneLine(message),
		}}, nil
	})
	return err
}
