package changeset

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// sideBySide bounds the runs that are resolved or submitted at once.
const sideBySide = 4

// follower drives the runs that are not over. Its loop owns busy; what takes long is done beside it.
type follower struct {
	*Batches
	room chan struct{}
	busy map[string]context.CancelFunc
	done chan string
	wg   sync.WaitGroup
}

// followRuns resolves runs, submits and collects their jobs, and ends them, until ctx ends.
// It looks again when a job changed, a run was asked for or stopped, or something begun beside it ended.
func (b *Batches) followRuns(ctx context.Context) {
	f := &follower{Batches: b, room: make(chan struct{}, sideBySide), busy: map[string]context.CancelFunc{}, done: make(chan string)}
	jobs := b.Queue.Watch(ctx, "")
	for {
		var next time.Time
		if err := f.look(ctx); err != nil && ctx.Err() == nil {
			b.Logger.Error("follow batch runs", "error", err)
			next = b.now().Add(retryAfter)
		}
		again, stop := after(next, b.now())
		select {
		case <-ctx.Done():
			stop()
			f.drain()
			return
		case <-jobs:
		case <-b.runs:
		case <-again:
		case id := <-f.done:
			delete(f.busy, id)
		}
		stop()
	}
}

// drain waits for what was begun; its context has ended.
func (f *follower) drain() {
	ended := make(chan struct{})
	go func() { f.wg.Wait(); close(ended) }()
	for {
		select {
		case <-f.done:
		case <-ended:
			return
		}
	}
}

// look does what there is to do for each open run.
func (f *follower) look(ctx context.Context) error {
	for {
		more, err := f.collect(ctx)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	runs, err := f.Store.OpenRuns(ctx)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if err := f.tend(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

// stopsEarly reports whether a failure ends all of the run.
func stopsEarly(run glovebox.BatchRun) bool {
	return run.FailFast && run.Workspaces[glovebox.StateFailed]+run.Workspaces[glovebox.StateErrored] > 0
}

// tend brings one run a step further.
func (f *follower) tend(ctx context.Context, run glovebox.BatchRun) error {
	stop, isBusy := f.busy[run.ID]
	stopping := run.CancelRequested || stopsEarly(run)
	if isBusy {
		if stopping {
			stop()
		}
		return nil // it is looked at again when that has ended
	}
	switch {
	case run.State == glovebox.BatchRunResolving && stopping:
		return f.endRun(ctx, run.ID, glovebox.BatchRunCanceled, nil)
	case run.State == glovebox.BatchRunResolving:
		f.begin(ctx, run, f.resolve)
		return nil
	case stopping:
		if err := f.stopWorkspaces(ctx, run); err != nil {
			return err
		}
	default:
		waiting, err := f.Store.WorkspacesOf(ctx, WorkspaceFilter{Run: run.ID, Unsubmitted: true, Limit: 1})
		if err != nil {
			return err
		}
		if len(waiting) > 0 {
			f.begin(ctx, run, f.submit)
			return nil
		}
	}
	return f.finish(ctx, run.ID)
}

// begin does something for a run beside the loop.
func (f *follower) begin(ctx context.Context, run glovebox.BatchRun, do func(context.Context, glovebox.BatchRun) error) {
	own, cancel := context.WithCancel(ctx)
	f.busy[run.ID] = cancel
	f.wg.Go(func() {
		defer func() { f.done <- run.ID }()
		defer cancel()
		select {
		case f.room <- struct{}{}:
			defer func() { <-f.room }()
		case <-own.Done():
			return
		}
		err := do(own, run)
		if err == nil || own.Err() != nil {
			return
		}
		f.Logger.Error("drive batch run", "run", run.ID, "error", err)
		timer := time.NewTimer(retryAfter)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-own.Done():
		}
	})
}

// stopWorkspaces cancels what of a run is not over.
func (f *follower) stopWorkspaces(ctx context.Context, run glovebox.BatchRun) error {
	reason := "another workspace of the run failed"
	if run.CancelRequested {
		reason = run.Reason
	}
	for _, state := range []glovebox.State{glovebox.StateQueued, glovebox.StateProcessing} {
		open, err := f.Store.WorkspacesOf(ctx, WorkspaceFilter{Run: run.ID, State: state})
		if err != nil {
			return err
		}
		for _, w := range open {
			if err := f.stopWorkspace(ctx, w, reason); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *follower) stopWorkspace(ctx context.Context, w Workspace, reason string) error {
	job, err := f.Queue.Cancel(ctx, w.JobID, "server", reason)
	switch {
	case errors.Is(err, glovebox.ErrNotFound): // it was not submitted, or is gone
		return f.endWorkspace(ctx, w.ID, glovebox.StateCanceled, reason)
	case errors.Is(err, glovebox.ErrConflict): // it ended otherwise
		if !w.Submitted && w.RetryFrom != noRetry {
			return f.endWorkspace(ctx, w.ID, glovebox.StateCanceled, reason)
		}
		return f.submitted(ctx, w.ID)
	case err != nil:
		return err
	case job.State == glovebox.StateCanceled && w.RetryFrom != noRetry:
		return f.endWorkspace(ctx, w.ID, glovebox.StateCanceled, reason)
	}
	return f.submitted(ctx, w.ID) // its end is collected
}

// finish ends a run whose workspaces are over.
func (f *follower) finish(ctx context.Context, id string) error {
	run, err := f.Store.Run(ctx, id)
	if err != nil {
		return err
	}
	n := run.Workspaces
	if n[glovebox.StateQueued]+n[glovebox.StateProcessing] > 0 {
		return nil
	}
	bad := n[glovebox.StateFailed] + n[glovebox.StateErrored] + n[glovebox.StateCanceled]
	switch {
	case run.CancelRequested:
		return f.endRun(ctx, id, glovebox.BatchRunCanceled, nil)
	case bad > 0 || len(run.Problems) > 0:
		return f.endRun(ctx, id, glovebox.BatchRunFailed, nil)
	}
	return f.endRun(ctx, id, glovebox.BatchRunCompleted, nil)
}
