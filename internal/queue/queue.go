package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// Defaults of Options.
const (
	DefaultLeaseTTL = time.Minute
	DefaultPoll     = 2 * time.Second
)

// MaxWait bounds how long a claim is held open.
const MaxWait = 5 * time.Minute

// maxClaim bounds how many jobs one claim hands out.
const maxClaim = 64

// Options configure a Queue; zero fields take the defaults.
type Options struct {
	Now   func() time.Time
	NewID func() string
	// LeaseTTL is how long a claim or heartbeat holds a job.
	LeaseTTL time.Duration
	// Poll is how often claims and Run look at the store without having been woken.
	Poll time.Duration
	// Backoff is how long a job waits after its n-th errored attempt, n from 1.
	Backoff func(attempt int) time.Duration
	Logger  *slog.Logger
	Limits  ConcurrencyLimits
	// OnExpire is told of each lease that was taken away because it ran out, for metrics; it may be nil.
	OnExpire func()
}

// Queue is the state machine of jobs. Its methods may be called concurrently.
type Queue struct {
	store Store
	opt   Options
	hub   *hub
}

// New returns a queue on store.
func New(store Store, opt Options) *Queue {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.NewID == nil {
		opt.NewID = newIDs(opt.Now)
	}
	if opt.LeaseTTL <= 0 {
		opt.LeaseTTL = DefaultLeaseTTL
	}
	if opt.Poll <= 0 {
		opt.Poll = DefaultPoll
	}
	if opt.Backoff == nil {
		opt.Backoff = ExponentialBackoff
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Queue{store: store, opt: opt, hub: newHub()}
}

// ExponentialBackoff waits 2, 4, 8, … seconds, at most five minutes.
func ExponentialBackoff(attempt int) time.Duration {
	return min(time.Second<<min(max(attempt, 1), 20), 5*time.Minute)
}

// now is the time in the resolution that stores keep.
func (q *Queue) now() time.Time { return q.opt.Now().UTC().Truncate(time.Millisecond) }

// LeaseTTL is how long each heartbeat extends a lease.
func (q *Queue) LeaseTTL() time.Duration { return q.opt.LeaseTTL }

// Submit validates spec, fills in its defaults and queues it for tenant. Actor is who did it ("user:NAME").
func (q *Queue) Submit(ctx context.Context, tenant, actor string, spec glovebox.JobSpec) (glovebox.Job, error) {
	return q.SubmitAs(ctx, q.opt.NewID(), tenant, actor, spec)
}

// NewID returns an id for SubmitAs.
func (q *Queue) NewID() string { return q.opt.NewID() }

// SubmitAs is Submit with an id that NewID gave before: who keeps it can submit again after a crash and gets
// glovebox.ErrConflict for a job that is there already. An id is used once.
func (q *Queue) SubmitAs(ctx context.Context, id, tenant, actor string, spec glovebox.JobSpec) (glovebox.Job, error) {
	spec.ApplyDefaults()
	if err := spec.Validate(); err != nil {
		return glovebox.Job{}, err
	}
	if tenant == "" {
		tenant = glovebox.DefaultTenant
	}
	now := q.now()
	job := glovebox.Job{
		ID: id, Tenant: tenant, JobSpec: spec, State: glovebox.StateQueued,
		SubmittedBy: actorName(actor), CreatedAt: now,
	}
	submitted := glovebox.Event{Time: now, Kind: glovebox.EventSubmitted, Actor: actor}
	record := Record{Job: job, LastAttempt: spec.Attempts}
	if err := q.store.Insert(ctx, record, []glovebox.Event{submitted}); err != nil {
		return glovebox.Job{}, fmt.Errorf("insert job: %w", err)
	}
	q.hub.changed(job.ID)
	q.hub.wakeReady()
	job.Timeline = []glovebox.Event{submitted}
	return job, nil
}

// Get returns the job with its files and its timeline.
func (q *Queue) Get(ctx context.Context, id string) (glovebox.Job, error) {
	job, err := q.store.Get(ctx, id)
	if err != nil {
		return glovebox.Job{}, fmt.Errorf("get job %q: %w", id, err)
	}
	return job, nil
}

// List returns a page of jobs, newest first, without timelines and files, and the cursor of the next page.
func (q *Queue) List(ctx context.Context, filter Filter) ([]glovebox.Job, string, error) {
	jobs, next, err := q.store.List(ctx, filter)
	if err != nil {
		return nil, "", fmt.Errorf("list jobs: %w", err)
	}
	return jobs, next, nil
}

// Stats counts the jobs by queue and state.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	stats, err := q.store.Stats(ctx)
	if err != nil {
		return Stats{}, fmt.Errorf("count jobs: %w", err)
	}
	return stats, nil
}

// Watch returns a channel on which a token arrives after each change of the job made through this
// process, or of any job when jobID is empty. Several changes may share one token.
// The channel is closed when ctx ends.
func (q *Queue) Watch(ctx context.Context, jobID string) <-chan struct{} {
	return q.hub.watch(ctx, jobID)
}

// Cancel stops a job: a queued one at once, a processing one as soon as its executor
// hears of it with its next heartbeat (CancelRequested until then). Canceling what is canceled or
// being canceled changes nothing; a job that ended otherwise is glovebox.ErrConflict.
func (q *Queue) Cancel(ctx context.Context, id, actor, reason string) (glovebox.Job, error) {
	canceled := "canceled by " + actorName(actor)
	if reason = oneLine(reason); reason != "" {
		canceled += ": " + reason
	}
	return q.update(ctx, id, func(r *Record) ([]glovebox.Event, error) {
		now := q.now()
		event := glovebox.Event{Time: now, Actor: actor, Attempt: r.Job.Attempt, Message: reason}
		switch {
		case r.Job.State == glovebox.StateQueued:
			event.Kind = glovebox.EventFinished
			event.Message = canceled
			return []glovebox.Event{event}, r.finish(glovebox.StateCanceled, canceled, now)
		case r.Job.State == glovebox.StateProcessing && !r.Job.CancelRequested:
			r.Job.CancelRequested = true
			r.Job.Reason = canceled
			event.Kind = glovebox.EventCancelRequested
			return []glovebox.Event{event}, nil
		case r.Job.State == glovebox.StateProcessing, r.Job.State == glovebox.StateCanceled:
			return nil, errUnchanged
		default:
			return nil, fmt.Errorf("cancel job %s, which is %s: %w", id, r.Job.State, glovebox.ErrConflict)
		}
	})
}

// Retry queues a job that is over once more, with all its attempts. A job that is
// not over is glovebox.ErrConflict.
func (q *Queue) Retry(ctx context.Context, id, actor string) (glovebox.Job, error) {
	return q.update(ctx, id, func(r *Record) ([]glovebox.Event, error) {
		if !r.Job.State.Final() {
			return nil, fmt.Errorf("retry job %s, which is %s: %w", id, r.Job.State, glovebox.ErrConflict)
		}
		now := q.now()
		r.LastAttempt = r.Job.Attempt + max(r.Job.Attempts, 1)
		if err := r.requeue("", time.Time{}); err != nil {
			return nil, err
		}
		r.TokenHash, r.ResultHash = "", ""
		return []glovebox.Event{{Time: now, Kind: glovebox.EventRetried, Actor: actor, Attempt: r.Job.Attempt}}, nil
	})
}

// errUnchanged ends an update that has nothing to write.
var errUnchanged = errors.New("unchanged")

// update runs change on the job in one transaction, then wakes those who wait for it.
func (q *Queue) update(ctx context.Context, id string, change func(*Record) ([]glovebox.Event, error)) (glovebox.Job, error) {
	var before Record
	record, err := q.store.Update(ctx, id, func(r *Record) ([]glovebox.Event, error) {
		before = *r
		return change(r)
	})
	if errors.Is(err, errUnchanged) {
		return before.Job, nil
	}
	if err != nil {
		return glovebox.Job{}, err
	}
	q.changed(before.Job.State, record.Job)
	return record.Job, nil
}

// changed wakes those who wait for what a job's transition brought.
func (q *Queue) changed(before glovebox.State, job glovebox.Job) {
	q.hub.changed(job.ID)
	if job.State == before {
		return
	}
	// A queued job can be claimed; one that left processing makes room under a concurrency limit.
	q.hub.wakeReady()
	if job.NotBefore != nil {
		q.hub.wakeSooner() // for the end of its back-off
	}
}

// actorName is an actor without its kind: "ada" of "user:ada".
func actorName(actor string) string {
	if _, name, ok := strings.Cut(actor, ":"); ok {
		return name
	}
	return actor
}
