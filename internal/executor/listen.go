package executor

import (
	"context"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// waiter is a Source that can hold a heartbeat's answer back until there is news, so that
// a cancellation arrives at once rather than with the next beat.
type waiter interface {
	// HeartbeatWait extends leases, and answers when one of them is canceled or lost, a drain is asked for, or wait is over.
	HeartbeatWait(ctx context.Context, beat glovebox.Beat, wait time.Duration) (glovebox.BeatReply, error)
}

const (
	// listenFor is how long an answer is held back at most.
	listenFor = 25 * time.Second
	// listenAfter lets short jobs come and go without a call for each.
	listenAfter = 200 * time.Millisecond
	// answerFor is how long an answer may take that nothing holds back.
	answerFor = 15 * time.Second
)

// listen waits for news of the leases held, until ctx ends. Beats go on beside it: they
// extend leases also while this call hangs in a network that forgot it.
func (b *beats) listen(ctx context.Context, source waiter) {
	for failures := 0; ctx.Err() == nil; {
		pause(ctx, listenAfter, nil)
		beat, changed := b.listening()
		if len(beat.Leases) == 0 {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		asked := time.Now()
		reply, err := b.ask(ctx, source, beat, changed)
		switch {
		case isClosed(changed):
			failures = 0
		case err != nil:
			failures++
			b.d.cfg.Logger.Debug("listen for cancellations", "error", err, "try", failures)
			b.d.cfg.Wait(ctx, failures)
		default:
			failures = 0
			b.obey(reply)
			// A far side that knows no waiting answers at once.
			pause(ctx, b.d.cfg.BeatEvery-time.Since(asked), changed)
		}
	}
}

// ask makes one call, which ends early when the leases to listen for change.
func (b *beats) ask(ctx context.Context, source waiter, beat glovebox.Beat, changed <-chan struct{}) (glovebox.BeatReply, error) {
	ctx, cancel := context.WithTimeout(ctx, listenFor+answerFor)
	over := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-changed:
			cancel()
		case <-over:
		}
	}()
	reply, err := source.HeartbeatWait(ctx, beat, listenFor)
	close(over)
	<-watched
	cancel()
	return reply, err
}

// listening makes the beat to wait with: leases that there can be news of. The channel is closed when they change.
func (b *beats) listening() (glovebox.Beat, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.compose(func(l *heldLease) bool { return !l.told }), b.moved
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
