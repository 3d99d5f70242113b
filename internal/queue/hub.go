package queue

import (
	"context"
	"sync"
)

// hub wakes waiters within this process. Wake-ups carry no data: who is woken looks
// at the store. A missed one is made good by the slow poll.
type hub struct {
	mu sync.Mutex
	// ready is closed, and replaced, when a job may have become claimable.
	ready chan struct{}
	// sooner tells Run that something falls due that it may not know of.
	sooner   chan struct{}
	watchers map[string]map[chan struct{}]struct{} // by job id; "" watches all
}

func newHub() *hub {
	return &hub{ready: make(chan struct{}), sooner: make(chan struct{}, 1), watchers: map[string]map[chan struct{}]struct{}{}}
}

// waitReady returns a channel that is closed at the next wakeReady.
func (h *hub) waitReady() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready
}

// wakeReady wakes all waiting claims.
func (h *hub) wakeReady() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.ready)
	h.ready = make(chan struct{})
}

// wakeSooner makes Run look again at what falls due next.
func (h *hub) wakeSooner() {
	select {
	case h.sooner <- struct{}{}:
	default: // it will look
	}
}

// changed tells those who watch the job, or all jobs.
func (h *hub) changed(jobID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range []string{jobID, ""} {
		for c := range h.watchers[key] {
			select {
			case c <- struct{}{}:
			default: // a wake-up is pending already
			}
		}
	}
}

// watch adds a watcher that leaves, and whose channel is closed, when ctx ends.
func (h *hub) watch(ctx context.Context, jobID string) <-chan struct{} {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	if h.watchers[jobID] == nil {
		h.watchers[jobID] = map[chan struct{}]struct{}{}
	}
	h.watchers[jobID][c] = struct{}{}
	h.mu.Unlock()
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers[jobID], c)
		if len(h.watchers[jobID]) == 0 {
			delete(h.watchers, jobID)
		}
		close(c)
	})
	return c
}
