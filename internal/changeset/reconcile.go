package changeset

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// reconciler gives each lane its own room, so that a host which is slow, broken or wants to be
// left alone holds up no other. Its loop owns at and inLane.
type reconciler struct {
	*Batches
	at     map[string]string // changeset to lane, of what is being worked on
	inLane map[string]int
	done   chan string
	wg     sync.WaitGroup
}

// reconcile brings about what changesets are to be and looks at those that are open, until ctx ends.
func (b *Batches) reconcile(ctx context.Context) {
	r := &reconciler{Batches: b, at: map[string]string{}, inLane: map[string]int{}, done: make(chan string)}
	for {
		next, err := r.dispatch(ctx)
		if err != nil && ctx.Err() == nil {
			b.Logger.Error("look for changesets to work on", "error", err)
			next = b.now().Add(retryAfter)
		}
		later, stop := after(next, b.now())
		select {
		case <-ctx.Done():
			stop()
			r.drain()
			return
		case <-b.lanes:
		case <-later:
		case id := <-r.done:
			r.inLane[r.at[id]]--
			delete(r.at, id)
		}
		stop()
	}
}

// after returns a channel that something comes on at a time; nothing does when it is zero.
func after(at, now time.Time) (<-chan time.Time, func()) {
	if at.IsZero() {
		return nil, func() {}
	}
	timer := time.NewTimer(max(at.Sub(now), time.Millisecond))
	return timer.C, func() { timer.Stop() }
}

// drain waits for what was begun; its context has ended.
func (r *reconciler) drain() {
	ended := make(chan struct{})
	go func() { r.wg.Wait(); close(ended) }()
	for {
		select {
		case <-r.done:
		case <-ended:
			return
		}
	}
}

// dispatch begins what is due as far as lanes have room, and returns when to look again.
func (r *reconciler) dispatch(ctx context.Context) (time.Time, error) {
	now := r.now()
	lanes, next, err := r.Store.DueLanes(ctx, now)
	if err != nil {
		return next, err
	}
	for _, lane := range lanes {
		if until, paused := r.pauses.of(lane, now); paused {
			if next.IsZero() || until.Before(next) {
				next = until
			}
			continue
		}
		room := r.slots(lane) - r.inLane[lane]
		if room <= 0 {
			continue // one that ends looks again
		}
		due, err := r.Store.Due(ctx, lane, now, room+r.inLane[lane])
		if err != nil {
			return next, err
		}
		for _, c := range due {
			if _, busy := r.at[c.ID]; busy || room == 0 {
				continue
			}
			room--
			r.begin(ctx, c)
		}
	}
	return next, nil
}

// slots is how many changesets of a lane are worked on at once.
func (r *reconciler) slots(lane string) int {
	if name, ok := strings.CutPrefix(lane, "host:"); ok {
		if h := r.host(name); h != nil {
			return h.slots()
		}
	}
	return r.PerRemote
}

func (r *reconciler) begin(ctx context.Context, c Changeset) {
	r.at[c.ID] = c.Lane
	r.inLane[c.Lane]++
	r.wg.Go(func() {
		defer func() { r.done <- c.ID }()
		s := &step{Batches: r.Batches, c: c, revision: c.Revision}
		if err := s.run(ctx); err != nil && ctx.Err() == nil {
			r.Logger.Error("work on changeset", "changeset", c.ID, "repo", c.Repo, "error", err)
			timer := time.NewTimer(retryAfter) // the store failed: the changeset is due still
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
	})
}

// Delivery is what a code host said has changed.
type Delivery struct {
	// Host is the code host's name, Repository the repository's name there.
	Host, Repository string
	// Mention says what of the repository has changed.
	Mention
}

// Deliver has the changesets that a code host spoke of looked at now. It returns how many they are. A host's word is
// never taken for a state: it is asked.
func (b *Batches) Deliver(ctx context.Context, d Delivery) (int, error) {
	if d.Repository == "" || d.Mention == (Mention{}) {
		return 0, nil
	}
	all, err := b.Repositories.List(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, repo := range all {
		at, err := b.placeOf(repo)
		if err != nil || at.hostName() != d.Host || d.Host == "" || !strings.EqualFold(at.name, d.Repository) {
			continue
		}
		n, err := b.Store.Wake(ctx, repo.Name, d.Mention, b.now())
		if err != nil {
			return total, err
		}
		total += n
	}
	if total > 0 {
		wake(b.lanes)
	}
	return total, nil
}

// pollAfter is how long an open changeset is left alone after a look.
func (b *Batches) pollAfter(c Changeset) time.Duration {
	if c.State == glovebox.ChangesetClosed {
		return 2 * b.PollMax
	}
	return min(b.PollOpen<<min(max(c.Unchanged, 0), 16), b.PollMax)
}
