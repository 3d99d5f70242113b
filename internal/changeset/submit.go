package changeset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
)

// submitPage is how many workspaces are read at once: each may carry a megabyte of search results.
const submitPage = 50

// submit gives the queue a job for each workspace of a run that has none there.
func (b *Batches) submit(ctx context.Context, run glovebox.BatchRun) error {
	p, err := b.parsed(ctx, run.ID)
	if err != nil {
		return err
	}
	planner, err := p.planner()
	if err != nil {
		return err
	}
	for after := 0; ; {
		page, err := b.Store.WorkspacesOf(ctx, WorkspaceFilter{Run: run.ID, Unsubmitted: true, After: after, Limit: submitPage, Detail: true})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, w := range page {
			if err := b.submitOne(ctx, run, planner, w); err != nil {
				return fmt.Errorf("submit job of %s: %w", w.Repo, err)
			}
			after = w.Seq
		}
		if now, err := b.Store.Run(ctx, run.ID); err != nil || now.CancelRequested || stopsEarly(now) {
			return err
		}
	}
}

// submitOne has the workspace's job in the queue when it returns nil, or the workspace is over. It may be
// repeated after a crash at any place.
func (b *Batches) submitOne(ctx context.Context, run glovebox.BatchRun, planner *batch.Planner, w Workspace) error {
	if w.RetryFrom != noRetry {
		return b.retryJob(ctx, run, planner, w)
	}
	var ws batch.Workspace
	if err := json.Unmarshal(w.Plan, &ws); err != nil {
		return b.endWorkspace(ctx, w.ID, glovebox.StateErrored, "the workspace's plan can't be read")
	}
	job, err := planner.Plan(ws)
	switch {
	case err != nil:
		return b.endWorkspace(ctx, w.ID, glovebox.StateErrored, err.Error())
	case batch.Idle(job):
		return b.endWorkspace(ctx, w.ID, glovebox.StateSkipped, "no step is for this workspace")
	}
	_, err = b.Queue.SubmitAs(ctx, w.JobID, run.Tenant, "user:"+run.CreatedBy, job)
	if _, invalid := errors.AsType[*glovebox.ValidationError](err); invalid {
		return b.endWorkspace(ctx, w.ID, glovebox.StateErrored, err.Error())
	}
	if err != nil && !errors.Is(err, glovebox.ErrConflict) { // a conflict: it was submitted before a crash
		return err
	}
	return b.submitted(ctx, w.ID)
}

// retryJob queues a workspace's job once more, or a new one when it is gone.
func (b *Batches) retryJob(ctx context.Context, run glovebox.BatchRun, planner *batch.Planner, w Workspace) error {
	job, err := b.Queue.Get(ctx, w.JobID)
	if errors.Is(err, glovebox.ErrNotFound) {
		fresh := b.Queue.NewID()
		w.RetryFrom = noRetry
		w, err := b.Store.UpdateWorkspace(ctx, w.ID, func(w *Workspace) error {
			w.JobID, w.RetryFrom = fresh, noRetry
			return nil
		})
		if err != nil {
			return err
		}
		return b.submitOne(ctx, run, planner, w)
	}
	if err != nil {
		return err
	}
	if job.State.Final() && job.Attempt == w.RetryFrom {
		if _, err := b.Queue.Retry(ctx, w.JobID, "user:"+run.CreatedBy); err != nil && !errors.Is(err, glovebox.ErrConflict) {
			return err
		}
	}
	return b.submitted(ctx, w.ID)
}

func (b *Batches) submitted(ctx context.Context, id string) error {
	_, err := b.Store.UpdateWorkspace(ctx, id, func(w *Workspace) error {
		if over(w.State) {
			return errOver
		}
		w.Submitted, w.RetryFrom = true, noRetry
		return nil
	})
	if errors.Is(err, errOver) {
		return nil
	}
	return err
}

// endWorkspace ends a workspace without a result of a job.
func (b *Batches) endWorkspace(ctx context.Context, id string, state glovebox.State, reason string) error {
	_, err := b.Store.UpdateWorkspace(ctx, id, func(w *Workspace) error {
		if over(w.State) {
			return errOver
		}
		now := b.now()
		w.State, w.Reason, w.FinishedAt, w.Submitted = state, oneLine(reason), &now, true
		if state == glovebox.StateSkipped {
			w.JobID = ""
		}
		return nil
	})
	if errors.Is(err, errOver) {
		return nil
	}
	return err
}

// over reports whether a workspace in the state is.
func over(state glovebox.State) bool { return state.Final() || state == glovebox.StateSkipped }
