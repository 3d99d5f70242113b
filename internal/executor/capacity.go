package executor

import (
	"context"
	"sync"

	"github.com/glovebox-dev/glovebox"
)

// capacity admits jobs to slots, in the order in which they were claimed, when their
// limits fit into what is left of the host.
type capacity struct {
	slots int
	total glovebox.Limits
	// host is how many CPUs one job can use at most.
	host float64

	mu      sync.Mutex
	held    []*seat
	changed chan struct{}
}

// seat is one claimed job's place: waiting until it is admitted.
type seat struct {
	limits   glovebox.Limits
	admitted bool
}

func newCapacity(slots int, total glovebox.Limits, host float64) *capacity {
	return &capacity{slots: slots, total: total, host: host, changed: make(chan struct{})}
}

// add gives a claimed job its seat.
func (c *capacity) add(limits glovebox.Limits) *seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.host > 0 {
		limits.CPUs = min(limits.CPUs, c.host)
	}
	s := &seat{limits: limits}
	c.held = append(c.held, s)
	c.notify()
	return s
}

// remove frees a seat.
func (c *capacity) remove(s *seat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, h := range c.held {
		if h == s {
			c.held = append(c.held[:i:i], c.held[i+1:]...)
			break
		}
	}
	c.notify()
}

func (c *capacity) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// admit waits until the job may start.
func (c *capacity) admit(ctx context.Context, s *seat) error {
	for {
		c.mu.Lock()
		if c.fits(s) {
			s.admitted = true
			c.notify()
			c.mu.Unlock()
			return nil
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// fits reports whether s is the first that waits, and there is a slot and room. A job always fits
// into an idle host: what it may ask for was bounded when it was claimed.
func (c *capacity) fits(s *seat) bool {
	running := 0
	for _, h := range c.held {
		if h.admitted {
			running++
		}
	}
	for _, h := range c.held {
		if h == s {
			break
		}
		if !h.admitted {
			return false
		}
	}
	if running == 0 {
		return true
	}
	left := c.left(true)
	return running < c.slots &&
		(c.total.CPUs == 0 || s.limits.CPUs <= left.CPUs) &&
		(c.total.Memory == 0 || s.limits.Memory <= left.Memory)
}

// left subtracts the held jobs, or only those that run, from the total. The disk
// of a job is taken from its claim on.
func (c *capacity) left(runningOnly bool) glovebox.Limits {
	left := c.total
	for _, h := range c.held {
		left.Disk -= h.limits.Disk
		if h.admitted || !runningOnly {
			left.CPUs -= h.limits.CPUs
			left.Memory -= h.limits.Memory
		}
	}
	return left
}

// offer says how many jobs can be claimed now, and how large. ahead is set when they are to be prepared only:
// all slots are taken, and up to extra jobs may wait for one. Zero jobs means not
// now; changed is closed when that may have become different.
func (c *capacity) offer(extra int) (jobs int, free glovebox.Limits, ahead bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed = c.changed
	free = c.left(false)
	if len(c.held) == 0 {
		free.CPUs = 0 // more CPUs than the host has are clamped, not refused
		return c.slots, free, false, changed
	}
	jobs = c.slots - len(c.held)
	if jobs <= 0 || !c.roomy(free) {
		// The next job waits for a running one to end; then it may have all of the host.
		jobs, ahead = c.slots+extra-len(c.held), true
		for _, h := range c.held {
			if !h.admitted {
				jobs = 0
			}
		}
		jobs = min(jobs, extra)
		free.CPUs, free.Memory = 0, c.total.Memory
	}
	if jobs <= 0 || (c.total.Disk > 0 && free.Disk <= 0) {
		return 0, free, ahead, changed
	}
	return jobs, free, ahead, changed
}

// roomy reports whether there is room for any job at all.
func (c *capacity) roomy(free glovebox.Limits) bool {
	return (c.total.CPUs == 0 || free.CPUs >= 0.1) && (c.total.Memory == 0 || free.Memory > 0) && (c.total.Disk == 0 || free.Disk > 0)
}

// load counts the jobs held.
func (c *capacity) load() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held)
}
