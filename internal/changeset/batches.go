package changeset

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
	"github.com/glovebox-dev/glovebox/internal/blob"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

// Queue is what of the queue is needed; internal/queue has it.
type Queue interface {
	NewID() string
	SubmitAs(ctx context.Context, id, tenant, actor string, spec glovebox.JobSpec) (glovebox.Job, error)
	Get(ctx context.Context, id string) (glovebox.Job, error)
	Cancel(ctx context.Context, id, actor, reason string) (glovebox.Job, error)
	Retry(ctx context.Context, id, actor string) (glovebox.Job, error)
	Watch(ctx context.Context, jobID string) <-chan struct{}
}

// Repositories is what the git gateway may serve.
type Repositories interface {
	Get(ctx context.Context, name string) (glovebox.Repository, error)
	List(ctx context.Context) ([]glovebox.Repository, error)
}

// Mirrors are the git gateway's copies of repositories; internal/gitgateway has them.
type Mirrors interface {
	Branch(ctx context.Context, repo glovebox.Repository, branch string) (ref, commit string, err error)
	GitDir(ctx context.Context, repo glovebox.Repository, commit string) (string, error)
}

// Push makes a commit and pushes it; codehost.Push is one.
type Push func(ctx context.Context, opts codehost.PushOptions) (commit string, err error)

// Options are what Batches works with. Store, Queue, Repositories, Mirrors and Blobs are needed.
type Options struct {
	Store        Store
	Queue        Queue
	Repositories Repositories
	Mirrors      Mirrors
	Blobs        blob.Store
	// Hosts are the code hosts that requests are opened at; branches of other repositories are only pushed.
	Hosts []Host
	// Link is the page of the batch change of a name, for batch_change_link in texts; nil leaves the words as they are.
	Link    func(name string) string
	Rollout Rollout
	// Push is codehost.Push when nil.
	Push Push
	// PollOpen is how soon an open request is looked at again without a webhook, 3 min; twice as long after each look that
	// found nothing new, up to PollMax, 30 min.
	PollOpen, PollMax time.Duration
	// Backoff is how long the n-th failed try in a row keeps a changeset waiting; 30 s, doubled up to an hour.
	Backoff func(n int) time.Duration
	// MaxTries is how many tries in a row may fail before a changeset that is being published fails; 10.
	MaxTries int
	// StepTime bounds one try at a changeset, 20 min; ResolveTime the resolution of a run, an hour.
	StepTime, ResolveTime time.Duration
	// PerRemote is how many branches of one plain git remote are pushed at once; 2.
	PerRemote int
	Now       func() time.Time
	Logger    *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.Store == nil || o.Queue == nil || o.Repositories == nil || o.Mirrors == nil || o.Blobs == nil {
		return o, errors.New("batch changes: Store, Queue, Repositories, Mirrors and Blobs must be set")
	}
	defaultTo(&o.PollOpen, 3*time.Minute)
	defaultTo(&o.PollMax, 30*time.Minute)
	defaultTo(&o.MaxTries, 10)
	defaultTo(&o.StepTime, 20*time.Minute)
	defaultTo(&o.ResolveTime, time.Hour)
	defaultTo(&o.PerRemote, 2)
	if o.Push == nil {
		o.Push = codehost.Push
	}
	if o.Backoff == nil {
		o.Backoff = backoff
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	names := map[string]bool{}
	for _, h := range o.Hosts {
		if err := h.validate(); err != nil {
			return o, err
		}
		if names[h.Name] {
			return o, fmt.Errorf("code host %s: is there twice", h.Name)
		}
		names[h.Name] = true
	}
	return o, nil
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func backoff(n int) time.Duration {
	return min(30*time.Second<<min(max(n-1, 0), 10), time.Hour)
}

// Batches owns the batch changes of a server. Its methods may be called concurrently; Run does what takes time.
type Batches struct {
	Options
	specs *specCache
	// runs and lanes wake the two loops of Run.
	runs, lanes chan struct{}
	// publishing is held while a place in the rollout window is taken.
	publishing sync.Mutex
	pauses     pauses
}

// New returns batch changes on a store. Nothing happens before Run.
func New(o Options) (*Batches, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Batches{Options: o, specs: newSpecCache(), runs: make(chan struct{}, 1), lanes: make(chan struct{}, 1),
		pauses: pauses{until: map[string]time.Time{}}}, nil
}

// Run resolves runs, follows their jobs and keeps changesets as they are wanted, until ctx ends. What was
// begun before, by this process or one before it, goes on.
func (b *Batches) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { b.followRuns(ctx); return nil })
	group.Go(func() error { b.reconcile(ctx); return nil })
	return group.Wait()
}

// now is the time in the resolution that stores keep.
func (b *Batches) now() time.Time { return b.Now().UTC().Truncate(time.Millisecond) }

// wake makes a loop look again.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it will look
	}
}

// retryAfter is how long a loop waits after the store or the queue failed.
const retryAfter = 2 * time.Second

// specCache keeps the specs of the runs that were looked at last, read and parsed.
type specCache struct {
	mu    sync.Mutex
	order []string
	specs map[string]*parsed
}

// parsed is a run's input with its spec.
type parsed struct {
	input glovebox.BatchRunInput
	spec  *batch.Spec
}

// maxParsed bounds the cache: an input may have 16 MiB of files.
const maxParsed = 4

func newSpecCache() *specCache { return &specCache{specs: map[string]*parsed{}} }

func (c *specCache) get(run string) *parsed {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.specs[run]
}

func (c *specCache) put(run string, p *parsed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.specs[run] == nil {
		c.order = append(c.order, run)
	}
	c.specs[run] = p
	if len(c.order) > maxParsed {
		delete(c.specs, c.order[0])
		c.order = c.order[1:]
	}
}
