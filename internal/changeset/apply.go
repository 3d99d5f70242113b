package changeset

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// Preview says what applying a run would do now, for every changeset that it wants or that there is.
func (b *Batches) Preview(ctx context.Context, id string) ([]glovebox.PreviewEntry, error) {
	run, m, wanted, err := b.merging(ctx, id)
	if err != nil {
		return nil, err
	}
	existing, err := b.Store.ChangesetsOf(ctx, run.BatchChange)
	if err != nil {
		return nil, err
	}
	entries := []glovebox.PreviewEntry{}
	for _, p := range m.merge(existing, wanted) {
		entries = append(entries, p.entry)
	}
	return entries, nil
}

// Apply makes what the run wants what its batch change wants, and has Run bring it about. Applying the same run again
// changes nothing but has changesets tried again now that failed or wait for the next try. A run that is not over, was canceled or could
// not be resolved is glovebox.ErrConflict; what can't be applied is a *glovebox.ValidationError.
func (b *Batches) Apply(ctx context.Context, id, actor string) (glovebox.BatchChange, error) {
	run, m, wanted, err := b.merging(ctx, id)
	if err != nil {
		return glovebox.BatchChange{}, err
	}
	if run.State != glovebox.BatchRunCompleted && run.State != glovebox.BatchRunFailed {
		return glovebox.BatchChange{}, fmt.Errorf("apply run %s, which is %s: %w", id, run.State, glovebox.ErrConflict)
	}
	if err := duplicates(wanted); err != nil {
		return glovebox.BatchChange{}, &glovebox.ValidationError{Problems: []glovebox.Problem{{Path: "changesetTemplate.branch", Message: err.Error()}}}
	}
	err = b.Store.Apply(ctx, run.BatchChange, func(of *glovebox.BatchChange, existing []Changeset) ([]Changeset, error) {
		var problems []glovebox.Problem
		var changed []Changeset
		for _, p := range m.merge(existing, wanted) {
			if p.entry.Blocked != "" {
				problems = append(problems, glovebox.Problem{Path: p.entry.Repo, Message: p.entry.Blocked})
			}
			if p.changed {
				changed = append(changed, p.next)
			}
		}
		if len(problems) > 0 {
			return nil, &glovebox.ValidationError{Problems: problems[:min(len(problems), maxProblems)]}
		}
		of.State, of.AppliedRun, of.UpdatedAt, of.ClosedAt = glovebox.BatchChangeOpen, run.ID, m.now, nil
		return changed, nil
	})
	if err != nil {
		return glovebox.BatchChange{}, err
	}
	b.Logger.Info("batch run applied", "run", id, "batch_change", run.Name, "by", actorName(actor))
	wake(b.lanes)
	return b.Store.BatchChange(ctx, run.BatchChange)
}

// merging prepares the comparison of a run with what there is.
func (b *Batches) merging(ctx context.Context, id string) (glovebox.BatchRun, merging, []Spec, error) {
	run, err := b.Store.Run(ctx, id)
	if err != nil {
		return run, merging{}, nil, err
	}
	change, err := b.Store.BatchChange(ctx, run.BatchChange)
	if err != nil {
		return run, merging{}, nil, err
	}
	wanted, err := b.Store.Specs(ctx, id)
	if err != nil {
		return run, merging{}, nil, err
	}
	m := merging{batchChange: change, run: id, now: b.now(), newID: b.Queue.NewID, places: map[string]place{}}
	for _, s := range wanted {
		if _, known := m.places[s.Spec.Repo]; known {
			continue
		}
		repo, err := b.repository(ctx, run.Tenant, s.Spec.Repo)
		if errors.Is(err, glovebox.ErrNotFound) {
			continue // its entry is blocked
		}
		if err != nil {
			return run, merging{}, nil, err
		}
		at, err := b.placeOf(repo)
		if err != nil {
			return run, merging{}, nil, err
		}
		m.places[s.Spec.Repo] = at
	}
	m.kept, err = b.keepers(ctx, run)
	return run, m, wanted, err
}

// keepers finds out which repositories the run knows nothing of, because something went wrong there: that they have no
// changeset does not say that none is wanted.
func (b *Batches) keepers(ctx context.Context, run glovebox.BatchRun) (func(repo string) string, error) {
	all, err := b.Store.WorkspacesOf(ctx, WorkspaceFilter{Run: run.ID})
	if err != nil {
		return nil, err
	}
	why := map[string]string{}
	for _, w := range all {
		if w.State != glovebox.StateCompleted && w.State != glovebox.StateSkipped {
			why[w.Repo] = fmt.Sprintf("a workspace of its repository is %s in the run", w.State)
		}
	}
	everything := ""
	for _, p := range run.Problems {
		if p.Path == "" || strings.Contains(p.Path, "[") || strings.Contains(p.Path, ":") {
			everything = "some repositories could not be looked at in the run"
		}
		why[p.Path] = "the repository could not be looked at in the run"
	}
	return func(repo string) string {
		if w := why[repo]; w != "" {
			return w
		}
		return everything
	}, nil
}

// Publish publishes changesets of a batch change that its spec leaves undecided: those named, or when none is all of
// them. Changesets that failed are tried again. One that is not the batch change's is
// glovebox.ErrNotFound, one that the spec decides about glovebox.ErrConflict.
func (b *Batches) Publish(ctx context.Context, id string, changesets []string, publish glovebox.Published) (glovebox.BatchChange, error) {
	if publish != glovebox.PublishedYes && publish != glovebox.PublishedDraft {
		return glovebox.BatchChange{}, &glovebox.ValidationError{Problems: []glovebox.Problem{{Path: "published", Message: `want "true" or "draft"`}}}
	}
	now := b.now()
	err := b.Store.Apply(ctx, id, func(of *glovebox.BatchChange, list []Changeset) ([]Changeset, error) {
		if of.State != glovebox.BatchChangeOpen {
			return nil, fmt.Errorf("publish changesets of batch change %s, which is %s: %w", of.Name, of.State, glovebox.ErrConflict)
		}
		named := map[string]bool{}
		for _, c := range changesets {
			named[c] = true
		}
		var changed []Changeset
		for _, c := range list {
			if len(changesets) > 0 && !named[c.ID] {
				continue
			}
			delete(named, c.ID)
			why := mayPublish(c, publish)
			if why != "" && len(changesets) > 0 {
				return nil, fmt.Errorf("publish changeset %s: %s: %w", c.ID, why, glovebox.ErrConflict)
			}
			if why == "" {
				changed = append(changed, publishing(c, publish, now))
			}
		}
		for c := range named {
			return nil, fmt.Errorf("changeset %.40q: %w", c, glovebox.ErrNotFound)
		}
		of.UpdatedAt = now
		return changed, nil
	})
	if err != nil {
		return glovebox.BatchChange{}, err
	}
	wake(b.lanes)
	return b.Store.BatchChange(ctx, id)
}

// mayPublish says what is against publishing; "" when nothing is.
func mayPublish(c Changeset, publish glovebox.Published) string {
	switch {
	case c.Imported:
		return "it was imported"
	case c.Wanted == nil || c.Closing:
		return "it is not wanted any more"
	case c.State == glovebox.ChangesetFailed:
		return ""
	case c.Wanted.Published != glovebox.PublishedUndecided:
		return "its spec says published: " + string(c.Wanted.Published)
	case c.State == glovebox.ChangesetMerged, c.State == glovebox.ChangesetClosed:
		return "it is " + string(c.State)
	case c.Publish == publish:
		return "it is published so already"
	}
	return ""
}

func publishing(c Changeset, publish glovebox.Published, now time.Time) Changeset {
	if c.Wanted.Published == glovebox.PublishedUndecided {
		c.Publish = publish
	}
	c.Revision++
	c.Error, c.Tries, c.UpdatedAt = "", 0, now
	c.NextAt = &now
	again(&c)
	if !c.published() {
		c.State = glovebox.ChangesetScheduled
	}
	return c
}
