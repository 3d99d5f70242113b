package executor

import (
	"context"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// maxEvents bounds the remarks kept while the server is away.
const maxEvents = 10_000

// settle is how long remarks wait for more of them before they are sent.
const settle = 20 * time.Millisecond

// beats sends one heartbeat for all leases, brings their remarks along, and tells
// jobs when the server canceled them or gave them to another.
type beats struct {
	d    *Daemon
	wake chan struct{}

	// sending is held during a heartbeat: one at a time.
	sending sync.Mutex

	mu     sync.Mutex
	leases map[leaseKey]*heldLease
	events []glovebox.JobEvent
	// ttl is the shortest lease seen.
	ttl time.Duration
	// asked is set while the server wants the executor drained; changed is closed when that changes.
	asked   bool
	changed chan struct{}
	// failures counts the beats in a row that did not get through; guarded by sending.
	failures int
	// moved is closed when the leases that there can be news of become others.
	moved chan struct{}
	// stopClaim ends the claim that waits, if one does.
	stopClaim context.CancelFunc
}

type leaseKey struct {
	job     string
	attempt int
}

type heldLease struct {
	ref    glovebox.LeaseRef
	cancel context.CancelCauseFunc
	// told is set when there is no news left to come: the attempt was stopped, or is about to end.
	told bool
}

func newBeats(d *Daemon) *beats {
	return &beats{d: d, wake: make(chan struct{}, 1), leases: map[leaseKey]*heldLease{}, changed: make(chan struct{}), moved: make(chan struct{})}
}

func keyOf(ref glovebox.LeaseRef) leaseKey { return leaseKey{ref.JobID, ref.Attempt} }

// hold extends a lease from now on.
func (b *beats) hold(lease glovebox.Lease, cancel context.CancelCauseFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leases[keyOf(lease.LeaseRef)] = &heldLease{ref: lease.LeaseRef, cancel: cancel}
	b.move()
	if ttl := time.Duration(lease.TTL); ttl > 0 && (b.ttl == 0 || ttl < b.ttl) {
		b.ttl = ttl
	}
	b.signal()
}

// drop ends it.
func (b *beats) drop(ref glovebox.LeaseRef) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.leases, keyOf(ref))
	b.move()
}

// move makes listen look at the leases anew.
func (b *beats) move() {
	close(b.moved)
	b.moved = make(chan struct{})
}

// compose makes a beat with the leases that match, under the lock.
func (b *beats) compose(match func(*heldLease) bool) glovebox.Beat {
	cfg := b.d.cfg
	beat := glovebox.Beat{Executor: cfg.Name, Version: cfg.Version, Labels: cfg.Labels, Runtimes: cfg.names(), Queues: cfg.Queues,
		Slots: cfg.Slots, Draining: b.asked || b.d.isDraining(), Leases: []glovebox.LeaseRef{}}
	for _, l := range b.leases {
		if match(l) {
			beat.Leases = append(beat.Leases, l.ref)
		}
	}
	return beat
}

// add brings a remark along with the next heartbeat, which comes at once.
func (b *beats) add(e glovebox.JobEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.events) < maxEvents {
		b.events = append(b.events, e)
	}
	b.signal()
}

func (b *beats) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run beats until ctx ends, and once more then.
func (b *beats) run(ctx context.Context) {
	for {
		b.beat(ctx)
		timer := time.NewTimer(b.interval())
		select {
		case <-ctx.Done():
			timer.Stop()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			b.beat(last)
			cancel()
			return
		case <-timer.C:
		case <-b.wake:
			timer.Stop()
			pause(ctx, settle, nil)
		}
	}
}

func (b *beats) interval() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	every := b.d.cfg.BeatEvery
	if b.ttl > 0 {
		every = min(every, b.ttl/3)
	}
	return max(every, time.Millisecond)
}

// beat sends one heartbeat and obeys the answer.
func (b *beats) beat(ctx context.Context) {
	b.sending.Lock()
	defer b.sending.Unlock()
	cfg := b.d.cfg
	b.mu.Lock()
	beat := b.compose(func(*heldLease) bool { return true })
	beat.Events, b.events = b.events, nil
	limit := 10 * time.Second
	if b.ttl > 0 {
		limit = min(limit, b.ttl/3)
	}
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, max(limit, time.Second))
	defer cancel()
	reply, err := cfg.Source.Heartbeat(ctx, beat)
	if err != nil {
		cfg.Metrics.beatFailed()
		// An outage of hours takes a few lines.
		if b.failures++; b.failures&(b.failures-1) == 0 {
			cfg.Logger.Warn("heartbeat", "error", err, "try", b.failures)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(beat.Events, b.events...)
		b.events = b.events[:min(len(b.events), maxEvents)]
		return
	}
	if b.failures > 0 {
		cfg.Logger.Info("the server answers again", "failed heartbeats", b.failures)
		b.failures = 0
	}
	b.obey(reply)
}

// obey does what an answer says.
func (b *beats) obey(reply glovebox.BeatReply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if reply.Drain != b.asked {
		b.asked = reply.Drain
		close(b.changed)
		b.changed = make(chan struct{})
		if b.asked && b.stopClaim != nil {
			b.stopClaim()
		}
	}
	for _, status := range reply.Leases {
		held := b.leases[leaseKey{status.JobID, status.Attempt}]
		if held == nil {
			continue
		}
		switch status.Verdict {
		case glovebox.LeaseCanceled:
			held.cancel(glovebox.ErrCanceled)
		case glovebox.LeaseGone:
			held.cancel(glovebox.ErrLeaseLost)
		default:
			continue
		}
		if !held.told {
			held.told = true
			b.move()
		}
	}
}

// waitUndrained waits while the server wants the executor drained; false when ctx ended.
func (b *beats) waitUndrained(ctx context.Context) bool {
	for {
		b.mu.Lock()
		asked, changed := b.asked, b.changed
		b.mu.Unlock()
		if !asked {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// claiming makes the context of one claim, which ends when the server asks for a drain.
func (b *beats) claiming(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopClaim = cancel
	if b.asked {
		cancel()
	}
	return ctx, cancel
}

// flush sends the remarks that wait, before a job's result ends its lease.
func (b *beats) flush(ctx context.Context, ref glovebox.LeaseRef) {
	b.mu.Lock()
	if held := b.leases[keyOf(ref)]; held != nil && !held.told {
		held.told = true
		b.move()
	}
	waiting := len(b.events) > 0
	b.mu.Unlock()
	if waiting {
		b.beat(ctx)
		return
	}
	b.sending.Lock() // or waits for those just on their way
	defer b.sending.Unlock()
}

// pause waits for a while, for early, or for ctx.
func pause(ctx context.Context, d time.Duration, early <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-early:
	case <-ctx.Done():
	}
}
