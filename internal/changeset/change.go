package changeset

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// Cancel stops a run: what is not over is canceled. Canceling what is canceled or being canceled changes nothing; a run
// that ended otherwise is glovebox.ErrConflict.
func (b *Batches) Cancel(ctx context.Context, id, actor string) (glovebox.BatchRun, error) {
	_, err := b.Store.UpdateRun(ctx, id, func(r *glovebox.BatchRun) error {
		switch {
		case r.State == glovebox.BatchRunCanceled || r.CancelRequested:
			return errOver
		case r.State.Final():
			return fmt.Errorf("cancel run %s, which is %s: %w", id, r.State, glovebox.ErrConflict)
		}
		r.CancelRequested, r.Reason = true, "canceled by "+oneLine(actorName(actor))
		return nil
	})
	if err != nil && !errors.Is(err, errOver) {
		return glovebox.BatchRun{}, err
	}
	wake(b.runs)
	return b.Store.Run(ctx, id)
}

// Retry does again what did not end well in a run that is over: the workspaces named, or when none is all that
// failed; the resolution, when that failed. Fail-fast does not hold any more. What the others came to stays.
func (b *Batches) Retry(ctx context.Context, id string, workspaces []string) (glovebox.BatchRun, error) {
	run, err := b.Store.Run(ctx, id)
	if err != nil {
		return run, err
	}
	if !run.State.Final() {
		return run, fmt.Errorf("retry run %s, which is %s: %w", id, run.State, glovebox.ErrConflict)
	}
	chosen, err := b.retried(ctx, run, workspaces)
	if err != nil {
		return run, err
	}
	resolving := len(run.Workspaces) == 0
	if !resolving && len(chosen) == 0 {
		return run, fmt.Errorf("retry run %s: no workspace of it failed: %w", id, glovebox.ErrConflict)
	}
	// The run opens first: a workspace that is not over belongs to a run that is not.
	_, err = b.Store.UpdateRun(ctx, id, func(r *glovebox.BatchRun) error {
		r.State, r.Reason, r.FinishedAt, r.CancelRequested, r.FailFast = glovebox.BatchRunProcessing, "", nil, false, false
		if resolving {
			r.State, r.Problems, r.Notes = glovebox.BatchRunResolving, nil, nil
		}
		return nil
	})
	if err != nil {
		return run, err
	}
	for _, w := range chosen {
		if err := b.retryWorkspace(ctx, w); err != nil {
			return run, err
		}
	}
	wake(b.runs)
	return b.Store.Run(ctx, id)
}

// retried are the workspaces of a run to do again.
func (b *Batches) retried(ctx context.Context, run glovebox.BatchRun, ids []string) ([]Workspace, error) {
	if len(ids) == 0 {
		var all []Workspace
		for _, state := range []glovebox.State{glovebox.StateFailed, glovebox.StateErrored, glovebox.StateCanceled} {
			some, err := b.Store.WorkspacesOf(ctx, WorkspaceFilter{Run: run.ID, State: state})
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	}
	var chosen []Workspace
	for _, id := range ids {
		w, err := b.Store.Workspace(ctx, id)
		if err == nil && w.Run != run.ID {
			err = fmt.Errorf("workspace %.40q: %w", id, glovebox.ErrNotFound)
		}
		if err != nil {
			return nil, err
		}
		if w.State == glovebox.StateSkipped {
			return nil, fmt.Errorf("retry workspace %s, which has nothing to run: %w", id, glovebox.ErrConflict)
		}
		chosen = append(chosen, w)
	}
	return chosen, nil
}

func (b *Batches) retryWorkspace(ctx context.Context, w Workspace) error {
	from := noRetry
	fresh := ""
	job, err := b.Queue.Get(ctx, w.JobID)
	switch {
	case err == nil:
		from = job.Attempt
	case errors.Is(err, glovebox.ErrNotFound):
		fresh = b.Queue.NewID()
	default:
		return err
	}
	err = b.Store.Collect(ctx, w.ID, nil, func(w *Workspace) error {
		if !w.State.Final() {
			return errOver
		}
		w.State, w.Reason, w.FinishedAt, w.Submitted, w.RetryFrom = glovebox.StateQueued, "", nil, false, from
		w.Diff, w.Changes, w.Values, w.Cached, w.Branches = nil, nil, nil, false, nil
		if fresh != "" {
			w.JobID = fresh
		}
		return nil
	})
	if errors.Is(err, errOver) {
		return nil
	}
	return err
}

// Close ends a batch change. Its open requests are closed, unless keepOpen leaves them as they are.
func (b *Batches) Close(ctx context.Context, id string, keepOpen bool) (glovebox.BatchChange, error) {
	now := b.now()
	err := b.Store.Apply(ctx, id, func(of *glovebox.BatchChange, list []Changeset) ([]Changeset, error) {
		if of.State != glovebox.BatchChangeClosed {
			of.State, of.ClosedAt, of.UpdatedAt = glovebox.BatchChangeClosed, &now, now
		}
		var changed []Changeset
		for _, c := range list {
			switch {
			case c.Imported, c.State == glovebox.ChangesetMerged, c.Closing && c.State != glovebox.ChangesetFailed:
				continue
			case keepOpen && c.published():
				continue
			}
			closing(&c, now)
			changed = append(changed, c)
		}
		return changed, nil
	})
	if err != nil {
		return glovebox.BatchChange{}, err
	}
	wake(b.lanes)
	return b.Store.BatchChange(ctx, id)
}

// published reports whether something of the changeset is, or may be, at its code host.
func (c Changeset) published() bool { return c.Head != "" || c.ExternalID != "" || c.Effect != nil }

// closing makes a changeset one to be closed.
func closing(c *Changeset, now time.Time) {
	c.Closing = true
	c.Revision++
	c.Error, c.Tries = "", 0
	c.UpdatedAt = now
	if c.published() {
		c.NextAt = &now
		return
	}
	c.State, c.NextAt = glovebox.ChangesetClosed, nil
}
