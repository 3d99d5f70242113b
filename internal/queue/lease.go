package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// Claim hands out up to offer.Max jobs that fit the offer. Without one it waits up to offer.Wait,
// answers the moment a job is queued, and returns none when the time is over.
// CloneURL and Secrets of the leases are left to the caller.
func (q *Queue) Claim(ctx context.Context, offer glovebox.Offer) ([]glovebox.Lease, error) {
	if problem := checkOffer(&offer); problem != "" {
		return nil, &glovebox.ValidationError{Problems: []glovebox.Problem{{Message: problem}}}
	}
	deadline := time.NewTimer(min(time.Duration(offer.Wait), MaxWait))
	defer deadline.Stop()
	poll := time.NewTicker(q.opt.Poll)
	defer poll.Stop()
	for {
		ready := q.hub.waitReady() // taken before the look, so that no wake-up falls between
		leases, err := q.claimNow(ctx, offer)
		if err != nil || len(leases) > 0 || offer.Wait <= 0 {
			return leases, err
		}
		select {
		case <-ready:
		case <-poll.C:
		case <-deadline.C:
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// checkOffer completes the offer and says what is wrong with it.
func checkOffer(offer *glovebox.Offer) string {
	offer.Max = min(max(offer.Max, 1), maxClaim)
	switch {
	case offer.Executor == "" || len(offer.Executor) > 128 || oneLine(offer.Executor) != offer.Executor:
		return "executor: want a name of 1 to 128 bytes without control characters"
	case len(offer.Queues) > 100 || len(offer.Runtimes) > 100 || len(offer.Labels) > 100:
		return "queues, runtimes, labels: want at most 100 of each"
	}
	return ""
}

// claimNow claims what is there.
func (q *Queue) claimNow(ctx context.Context, offer glovebox.Offer) ([]glovebox.Lease, error) {
	tokens := make([]string, offer.Max)
	grants := make([]Grant, offer.Max)
	for i := range tokens {
		tokens[i] = newToken()
		grants[i].TokenHash = HashToken(tokens[i])
	}
	now := q.now()
	until := now.Add(q.opt.LeaseTTL)
	jobs, err := q.store.Claim(ctx, Claim{Offer: offer, Grants: grants, Now: now, Until: until, Limits: q.opt.Limits})
	if err != nil {
		return nil, fmt.Errorf("claim jobs: %w", err)
	}
	leases := make([]glovebox.Lease, len(jobs))
	for i, job := range jobs {
		leases[i] = glovebox.Lease{
			LeaseRef: glovebox.LeaseRef{JobID: job.ID, Attempt: job.Attempt, Token: tokens[i]},
			Job:      job, Expires: until, TTL: glovebox.Duration(q.opt.LeaseTTL),
		}
		q.hub.changed(job.ID)
	}
	if ctx.Err() != nil { // the executor went away while its jobs were claimed: nobody will ever run them
		q.giveBack(context.WithoutCancel(ctx), leases)
		return nil, context.Cause(ctx)
	}
	return leases, nil
}

// giveBack returns leases that nobody received, without charging the attempt.
func (q *Queue) giveBack(ctx context.Context, leases []glovebox.Lease) {
	for _, lease := range leases {
		_, err := q.update(ctx, lease.JobID, func(r *Record) ([]glovebox.Event, error) {
			if !r.holds(lease.LeaseRef) {
				return nil, errUnchanged
			}
			now := q.now()
			r.LastAttempt++
			r.TokenHash = ""
			event := glovebox.Event{Time: now, Kind: glovebox.EventRequeued, Actor: "server", Attempt: r.Job.Attempt, Message: "the executor left before it got the job"}
			if r.Job.CancelRequested {
				event.Kind, event.Message = glovebox.EventFinished, r.Job.Reason
				return []glovebox.Event{event}, r.finish(glovebox.StateCanceled, r.Job.Reason, now)
			}
			return []glovebox.Event{event}, r.requeue("", time.Time{})
		})
		if err != nil { // its lease will expire
			q.opt.Logger.Warn("give back unreceived job", "job", lease.JobID, "err", err)
		}
	}
}

// Heartbeat extends the leases of beat, adds its events, and answers for each lease whether it is held, to be
// canceled, or gone.
func (q *Queue) Heartbeat(ctx context.Context, beat glovebox.Beat) ([]glovebox.LeaseStatus, error) {
	held := make([]Held, len(beat.Leases))
	for i, ref := range beat.Leases {
		held[i] = Held{JobID: ref.JobID, Attempt: ref.Attempt, TokenHash: HashToken(ref.Token)}
	}
	var statuses []glovebox.LeaseStatus
	if len(held) > 0 {
		var err error
		if statuses, err = q.store.Extend(ctx, held, q.now().Add(q.opt.LeaseTTL)); err != nil {
			return nil, fmt.Errorf("extend leases: %w", err)
		}
	}
	if err := q.addBeatEvents(ctx, beat.Events); err != nil {
		return nil, err
	}
	return statuses, nil
}

// Check returns the job, without its files, that ref holds; glovebox.ErrLeaseLost when it does not.
func (q *Queue) Check(ctx context.Context, ref glovebox.LeaseRef) (glovebox.Job, error) {
	record, err := q.store.Lookup(ctx, ref.JobID)
	if err != nil {
		return glovebox.Job{}, fmt.Errorf("check lease of job %q: %w", ref.JobID, err)
	}
	if !record.holds(ref) {
		return glovebox.Job{}, leaseLost(ref)
	}
	return record.Job, nil
}

// JobByToken returns the job, without its files, whose live lease has the token; glovebox.ErrUnauthorized when none has.
func (q *Queue) JobByToken(ctx context.Context, token string) (glovebox.Job, glovebox.LeaseRef, error) {
	record, err := q.store.LookupToken(ctx, HashToken(token))
	if err != nil {
		if isNotFound(err) {
			err = glovebox.ErrUnauthorized
		}
		return glovebox.Job{}, glovebox.LeaseRef{}, fmt.Errorf("look up job token: %w", err)
	}
	ref := glovebox.LeaseRef{JobID: record.Job.ID, Attempt: record.Job.Attempt, Token: token}
	if !record.holds(ref) {
		return glovebox.Job{}, glovebox.LeaseRef{}, fmt.Errorf("look up job token: %w", glovebox.ErrUnauthorized)
	}
	return record.Job, ref, nil
}

func leaseLost(ref glovebox.LeaseRef) error {
	return fmt.Errorf("attempt %d of job %q: %w", ref.Attempt, ref.JobID, glovebox.ErrLeaseLost)
}
