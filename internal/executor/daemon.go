package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
)

// Daemon claims jobs and runs them until it is drained.
type Daemon struct {
	cfg      Config
	capacity *capacity
	beats    *beats

	draining  chan struct{}
	drainOnce sync.Once
	// scarce is set while the disk has too little room to claim; only claim uses it.
	scarce bool
}

// NewDaemon checks the configuration.
func NewDaemon(cfg Config) (*Daemon, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	d := &Daemon{cfg: cfg, capacity: newCapacity(cfg.Slots, cfg.Capacity, cfg.CPUs), draining: make(chan struct{})}
	d.beats = newBeats(d)
	d.cfg.Event, d.cfg.Flush = d.beats.add, d.beats.flush
	return d, nil
}

// Drain ends claiming; Run returns when the jobs that it holds are done. It may be called
// more than once, from any goroutine.
func (d *Daemon) Drain() { d.drainOnce.Do(func() { close(d.draining) }) }

func (d *Daemon) isDraining() bool {
	select {
	case <-d.draining:
		return true
	default:
		return false
	}
}

// Run removes what a crashed predecessor left, then claims and runs jobs until Drain. When ctx
// ends, running jobs are stopped and handed back to the queue.
func (d *Daemon) Run(ctx context.Context) error {
	lock, err := d.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := d.sweep(ctx); err != nil {
		return err
	}
	beating, stopBeats := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { d.beats.run(beating) })
	if source, ok := d.cfg.Source.(waiter); ok {
		background.Go(func() { d.beats.listen(beating, source) })
	}

	claiming, stopClaims := context.WithCancel(ctx)
	background.Go(func() {
		select {
		case <-d.draining:
			stopClaims()
		case <-claiming.Done():
		}
	})
	jobs := &jobSet{ctx: ctx}
	d.claim(claiming, jobs)
	stopClaims()
	jobs.wait()
	stopBeats()
	background.Wait()
	return nil
}

// lock takes the folder for this process: a second executor with it would sweep the jobs of the first.
func (d *Daemon) lock() (*os.File, error) {
	if err := os.MkdirAll(d.cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make job folder: %w", err)
	}
	path := filepath.Clean(d.cfg.Dir) + ".lock"
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock job folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock job folder: another executor uses %s", d.cfg.Dir), f.Close())
	}
	return f, nil
}

// sweep removes sandboxes first, then disks, then folders: each may hold the next.
func (d *Daemon) sweep(ctx context.Context) error {
	for name, r := range d.cfg.Runtimes {
		if err := r.Sweep(ctx, d.cfg.Instance); err != nil {
			return fmt.Errorf("sweep %s: %w", name, err)
		}
	}
	entries, err := os.ReadDir(d.cfg.Dir)
	if err != nil {
		return fmt.Errorf("sweep job folders: %w", err)
	}
	for _, e := range entries {
		dir := filepath.Join(d.cfg.Dir, e.Name())
		if d.cfg.SweepDisks != nil {
			if err := d.cfg.SweepDisks(dir); err != nil {
				return fmt.Errorf("sweep disks: %w", err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("sweep job folders: %w", err)
		}
		d.cfg.Logger.Info("removed what an earlier process left", "folder", dir)
	}
	return nil
}

// claim claims jobs and starts them until ctx ends.
func (d *Daemon) claim(ctx context.Context, jobs *jobSet) {
	for failures := 0; ctx.Err() == nil; {
		if !d.beats.waitUndrained(ctx) {
			return
		}
		n, free, ahead, changed := d.capacity.offer(d.cfg.Ahead)
		if n == 0 {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		if !d.room(ctx, &free) {
			continue
		}
		wait := d.cfg.ClaimWait
		if ahead {
			wait = 0
		}
		call, cancel := d.beats.claiming(ctx)
		begun := time.Now()
		limited, over := context.WithTimeout(call, wait+answerFor)
		leases, err := d.cfg.Source.Claim(limited, glovebox.Offer{
			Executor: d.cfg.Name, Queues: d.cfg.Queues, Labels: d.cfg.Labels, Runtimes: d.cfg.names(),
			Max: n, Free: free, HostImage: d.cfg.AllowHostImage, Wait: glovebox.Duration(wait),
		})
		over()
		asked := call.Err() != nil
		cancel()
		if err != nil {
			if !asked {
				failures++
				d.cfg.Logger.Warn("claim", "error", err, "try", failures)
				d.cfg.Wait(ctx, failures)
			}
			continue
		}
		failures = 0
		for _, lease := range leases {
			d.start(jobs, lease)
		}
		if len(leases) == 0 {
			// Jobs to prepare ahead are asked for without waiting; and who answers early, against what was asked, does so again.
			pause(ctx, d.cfg.PollAhead-time.Since(begun), changed)
		}
	}
}

// start runs a lease in a goroutine that jobs waits for.
func (d *Daemon) start(jobs *jobSet, lease glovebox.Lease) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(jobs.ctx))
	seat := d.capacity.add(lease.Job.Limits.WithDefaults(glovebox.DefaultLimits()))
	d.beats.hold(lease, cancel)
	d.cfg.Metrics.load(d.capacity.load(), d.cfg.Slots)
	log := d.cfg.Logger.With("job", lease.JobID, "attempt", lease.Attempt)
	log.Info("job claimed")
	stop := context.AfterFunc(jobs.ctx, func() { cancel(glovebox.ErrShutdown) })
	jobs.group.Go(func() {
		defer cancel(nil)
		defer stop()
		deps := d.cfg.Deps
		deps.stop = jobs.ctx
		result := run(ctx, deps, lease, func(ctx context.Context) error { return d.capacity.admit(ctx, seat) })
		d.beats.drop(lease.LeaseRef)
		d.capacity.remove(seat)
		d.cfg.Metrics.load(d.capacity.load(), d.cfg.Slots)
		log.Info("job ended", "state", result.State, "reason", result.Reason)
	})
}

// jobSet is the jobs that run; ctx stops them all.
type jobSet struct {
	ctx   context.Context
	group sync.WaitGroup
}

func (j *jobSet) wait() { j.group.Wait() }
