package queue

import (
	"context"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// Store keeps jobs and their timelines. Each method is one transaction: it
// happens wholly or not at all, and is durable when it returns. Methods may be
// called concurrently, also by several processes on one store. A job that does
// not exist is glovebox.ErrNotFound.
type Store interface {
	// Insert adds a new job and its first events. An id that exists is glovebox.ErrConflict.
	Insert(ctx context.Context, record Record, events []glovebox.Event) error
	// Claim hands out up to len(claim.Grants) queued jobs in the order that the
	// package store documents: it makes each processing, raises its attempt,
	// gives it a grant's token hash and the lease's end, and adds the event
	// glovebox.EventClaimed. It returns the claimed jobs in the order of the grants,
	// with their files; none is no error. A job is never handed out twice in one attempt.
	Claim(ctx context.Context, claim Claim) ([]glovebox.Job, error)
	// Update reads a job, lets change alter the record in place and writes it back with
	// the events that change returns. When change returns an error nothing is
	// written and Update returns that error as it is. Change may be called more than
	// once (after a conflict with another process), so it must have no other effects.
	// A store may drop an executor's remarks, never a transition, from a timeline that has thousands of events.
	// Id, tenant, creation and the spec do not change. Files are not read: Job.Files is nil.
	Update(ctx context.Context, id string, change func(*Record) ([]glovebox.Event, error)) (Record, error)
	// Extend sets the end of each lease that is still held (same attempt, same token hash,
	// state processing) to until and answers for each, in order. A lease that
	// is not held is glovebox.LeaseGone and stays untouched: that is no error.
	Extend(ctx context.Context, leases []Held, until time.Time) ([]glovebox.LeaseStatus, error)
	// Lookup returns a job without its timeline and without the contents of its files.
	Lookup(ctx context.Context, id string) (Record, error)
	// LookupToken is Lookup by the token hash of a lease that is held now.
	LookupToken(ctx context.Context, tokenHash string) (Record, error)
	// Get returns a job with its files and its timeline, oldest event first.
	Get(ctx context.Context, id string) (glovebox.Job, error)
	// List returns jobs, newest first, without timelines and files. Next is the cursor of the
	// page that follows, empty at the end. A cursor that List did not make is a *glovebox.ValidationError.
	List(ctx context.Context, filter Filter) (jobs []glovebox.Job, next string, err error)
	// Due returns the ids of up to limit jobs whose lease ended at or before now, longest
	// overdue first, and the next time after now at which a lease ends or a delayed job
	// becomes ready; zero when there is none.
	Due(ctx context.Context, now time.Time, limit int) (ids []string, next time.Time, err error)
	// Stats counts the jobs.
	Stats(ctx context.Context) (Stats, error)
}

// Record is a job with what only the queue and its store may see.
type Record struct {
	// Job is the job, without Timeline.
	Job glovebox.Job
	// LastAttempt is the number of the last attempt the job may have: submission and a
	// user's retry set it Job.Attempts beyond the attempts made so far.
	LastAttempt int
	// TokenHash is the hash (HashToken) of the latest attempt's token, empty before the
	// first claim and once that attempt's right to write was taken away.
	TokenHash string
	// LeaseExpires is the end of the lease; zero unless the job is processing.
	LeaseExpires time.Time
	// ResultHash identifies the result that the latest attempt completed with, so that
	// repeating it succeeds; empty when it has not completed.
	ResultHash string
}

// Claim is what Store.Claim needs to know.
type Claim struct {
	Offer  glovebox.Offer
	Grants []Grant
	// Now decides which delayed jobs are ready and stamps the claims.
	Now time.Time
	// Until is the end of the leases.
	Until  time.Time
	Limits ConcurrencyLimits
}

// Grant is the hash of a token that a claimed job is given.
type Grant struct{ TokenHash string }

// Held names a lease by its token's hash.
type Held struct {
	JobID     string
	Attempt   int
	TokenHash string
}

// Filter narrows a list. Zero fields do not restrict.
type Filter struct {
	Tenant string
	States []glovebox.State
	Queue  string
	Repo   string
	// Text is looked for, without regard to case, in name and repository, and as a prefix of the id.
	Text string
	// Limit is the size of the page: DefaultPage when zero, at most MaxPage.
	Limit int
	// Cursor is the next of the page before; empty for the first page.
	Cursor string
}

// Sizes of a page.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// PageSize is f.Limit within its bounds.
func (f Filter) PageSize() int {
	if f.Limit <= 0 {
		return DefaultPage
	}
	return min(f.Limit, MaxPage)
}

// ConcurrencyLimits bound how many jobs are processed at once; 0 is no limit.
type ConcurrencyLimits struct {
	// PerTenant and PerQueue hold for each one that the maps do not name.
	PerTenant int
	PerQueue  int
	Tenants   map[string]int
	Queues    map[string]int
}

// Stats describes the queue for metrics.
type Stats struct {
	Counts []Count
	// OldestQueued is when the job that waits longest was submitted; zero when none waits.
	OldestQueued time.Time
}

// Count is the number of jobs of one queue in one state.
type Count struct {
	Queue string
	State glovebox.State
	Jobs  int
}
