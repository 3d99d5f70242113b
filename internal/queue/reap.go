package queue

import (
	"context"
	"time"
)

// reapBatch is how many overdue leases are read at once.
const reapBatch = 100

// Reap takes every overdue lease away and returns how many, with the next time at which there is something to do
// (zero when nothing is in sight).
func (q *Queue) Reap(ctx context.Context) (expired int, next time.Time, err error) {
	for {
		var ids []string
		if ids, next, err = q.store.Due(ctx, q.now(), reapBatch); err != nil {
			return expired, time.Time{}, err
		}
		progress := false
		for _, id := range ids {
			ok, err := q.expire(ctx, id)
			if err != nil {
				return expired, time.Time{}, err
			}
			if ok {
				expired++
				progress = true
			}
		}
		if len(ids) < reapBatch || !progress {
			return expired, next, nil
		}
	}
}

// Run expires leases as they fall due and wakes claims as delayed jobs become ready, until ctx ends; it
// then returns nil. Because executors could not reach a server that was away, Run leaves
// them one lease's time to come back before it takes the first lease away.
func (q *Queue) Run(ctx context.Context) error {
	start := q.now().Add(q.opt.LeaseTTL)
	var delayed time.Time // when a wake-up for a delayed job is owed
	for {
		now := q.now()
		var next time.Time
		var err error
		if now.Before(start) {
			if _, next, err = q.store.Due(ctx, now, 0); next.IsZero() || next.After(start) {
				next = start
			}
		} else {
			_, next, err = q.Reap(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			q.opt.Logger.Error("expire leases", "err", err)
		}
		if !delayed.IsZero() && !now.Before(delayed) {
			q.hub.wakeReady()
		}
		delayed = next
		wait := min(q.opt.Poll, q.opt.LeaseTTL/2) // no new lease ends earlier
		if !next.IsZero() {
			wait = min(wait, max(next.Sub(now), time.Millisecond))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-q.hub.sooner:
			timer.Stop()
		case <-timer.C:
		}
	}
}
