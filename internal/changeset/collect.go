package changeset

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
	"github.com/glovebox-dev/glovebox/internal/blob"
)

// MaxDiff bounds the diff of one workspace that changesets are made of.
const MaxDiff = 64 << 20

// collectPage is how many moved jobs are looked at before others have a turn.
const collectPage = 32

// collect takes over what the jobs of workspaces came to. It reports whether there was anything.
func (b *Batches) collect(ctx context.Context) (bool, error) {
	moved, err := b.Store.Moved(ctx, collectPage)
	if err != nil {
		return false, err
	}
	for _, m := range moved {
		if err := b.collectOne(ctx, m); err != nil {
			return false, fmt.Errorf("collect workspace %s: %w", m.Workspace.ID, err)
		}
	}
	return len(moved) > 0, nil
}

func (b *Batches) collectOne(ctx context.Context, m Moved) error {
	switch {
	case m.Job == nil:
		return b.endWorkspace(ctx, m.Workspace.ID, glovebox.StateErrored, "its job is gone")
	case !m.Job.State.Final():
		_, err := b.Store.UpdateWorkspace(ctx, m.Workspace.ID, func(w *Workspace) error {
			if !over(w.State) && w.Submitted {
				w.State = m.Job.State // queued again, or processing
			}
			return nil
		})
		return err
	}
	specs, err := b.specsOf(ctx, m)
	unusable := ""
	if err != nil {
		if ctx.Err() != nil || isTransient(err) {
			return err
		}
		unusable = oneLine(err.Error()) // what the steps left can't become changesets
	}
	err = b.Store.Collect(ctx, m.Workspace.ID, specs, func(w *Workspace) error {
		if over(w.State) || !w.Submitted || w.JobID != m.Job.ID {
			return errOver
		}
		take(w, *m.Job)
		if unusable != "" {
			w.State, w.Reason = glovebox.StateFailed, unusable
		}
		for _, s := range specs {
			w.Branches = append(w.Branches, s.Spec.Branch)
		}
		return nil
	})
	if errors.Is(err, errOver) {
		return nil
	}
	return err
}

// isTransient tells a failure of the server from one of what a job left.
func isTransient(err error) bool {
	_, broken := errors.AsType[*transientError](err)
	return broken
}

// transientError is a failure of the server's own.
type transientError struct{ error }

func (e *transientError) Unwrap() error { return e.error }

// take copies what a job came to.
func take(w *Workspace, job glovebox.Job) {
	w.State, w.Reason, w.FinishedAt, w.Attempt = job.State, job.Reason, job.FinishedAt, job.Attempt
	w.Diff, w.Changes, w.Values, w.Cached, w.Branches = nil, nil, nil, false, nil
	if job.Result == nil {
		return
	}
	w.Diff, w.Changes, w.Values = job.Result.Diff, job.Result.Changes, job.Result.Values
	w.Cached = len(job.Result.Steps) > 0
	for _, s := range job.Result.Steps {
		if !s.Cached && s.State != glovebox.StateSkipped {
			w.Cached = false
		}
	}
}

// specsOf makes the changeset specs of a job that ended well, and keeps their diffs.
func (b *Batches) specsOf(ctx context.Context, m Moved) ([]Spec, error) {
	job := m.Job
	if job.State != glovebox.StateCompleted || job.Result == nil || job.Result.Diff == nil {
		return nil, nil
	}
	p, err := b.parsed(ctx, m.Workspace.Run)
	if err != nil {
		return nil, &transientError{err}
	}
	if p.spec.ChangesetTemplate == nil {
		return nil, nil
	}
	var ws batch.Workspace
	if err := json.Unmarshal(m.Workspace.Plan, &ws); err != nil {
		return nil, fmt.Errorf("read the workspace's plan: %w", err)
	}
	diff, err := b.readBlob(ctx, blob.ArtifactKey(job.ID, job.Attempt, glovebox.DiffArtifact), MaxDiff)
	switch {
	case errors.Is(err, glovebox.ErrTooLarge):
		return nil, fmt.Errorf("the diff is too large for a changeset: %w", err)
	case errors.Is(err, glovebox.ErrNotFound):
		return nil, fmt.Errorf("the diff is gone: %w", err)
	case err != nil:
		return nil, &transientError{err}
	}
	result := batch.WorkspaceResult{Diff: diff, Values: job.Result.Values}
	if job.Result.Changes != nil {
		result.Changes = *job.Result.Changes
	}
	if b.Link != nil {
		run, err := b.Store.Run(ctx, m.Workspace.Run)
		if err != nil {
			return nil, &transientError{err}
		}
		result.Link = b.Link(run.Name)
	}
	wanted, err := batch.Changesets(ctx, p.spec, ws, result)
	if err != nil {
		return nil, err
	}
	specs := make([]Spec, len(wanted))
	for i, spec := range wanted {
		key := path.Join("batch", "runs", m.Workspace.Run, m.Workspace.ID, strconv.Itoa(job.Attempt), strconv.Itoa(i+1)+".diff")
		if _, err := b.Blobs.Put(ctx, key, bytes.NewReader(spec.Diff)); err != nil {
			return nil, &transientError{err}
		}
		spec.Diff = nil
		specs[i] = Spec{Workspace: m.Workspace.ID, Seq: i + 1, Spec: spec, DiffKey: key}
	}
	return specs, nil
}
