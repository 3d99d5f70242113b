package changeset

import (
	"context"
	"fmt"

	"github.com/glovebox-dev/glovebox"
)

// Create begins a run of a spec: it is read at once, and resolved by Run. The batch change of the spec's name is made
// when the tenant has none. What is wrong with the spec is a *glovebox.ValidationError.
func (b *Batches) Create(ctx context.Context, tenant, actor string, in glovebox.BatchRunInput) (glovebox.BatchRun, error) {
	if err := checkInput(in); err != nil {
		return glovebox.BatchRun{}, err
	}
	spec, remarks, err := parse(in)
	if err != nil {
		return glovebox.BatchRun{}, err
	}
	if tenant == "" {
		tenant = glovebox.DefaultTenant
	}
	now := b.now()
	change := glovebox.BatchChange{ID: b.Queue.NewID(), Tenant: tenant, Name: spec.Name, Description: spec.Description,
		State: glovebox.BatchChangeDraft, CreatedBy: actorName(actor), CreatedAt: now, UpdatedAt: now}
	run := glovebox.BatchRun{ID: b.Queue.NewID(), State: glovebox.BatchRunResolving, CreatedBy: actorName(actor), CreatedAt: now}
	run.StepCache, run.FailFast, run.Notes = in.StepCache, in.FailFast, remarks
	// The input is there before the row that leads to it.
	if err := b.putInput(ctx, run.ID, in); err != nil {
		return glovebox.BatchRun{}, fmt.Errorf("keep a run's input: %w", err)
	}
	_, run, err = b.Store.CreateRun(ctx, change, run)
	if err != nil {
		return glovebox.BatchRun{}, err
	}
	b.Logger.Info("batch run created", "run", run.ID, "batch_change", run.Name, "tenant", tenant, "by", run.CreatedBy)
	wake(b.runs)
	return run, nil
}

// BatchChange returns a batch change.
func (b *Batches) BatchChange(ctx context.Context, id string) (glovebox.BatchChange, error) {
	return b.Store.BatchChange(ctx, id)
}

// BatchChanges returns a page of batch changes, newest first, and the cursor of the next page.
func (b *Batches) BatchChanges(ctx context.Context, filter Filter) ([]glovebox.BatchChange, string, error) {
	return b.Store.BatchChanges(ctx, filter)
}

// BatchRun returns a run with spec and files. The values of variables are never shown.
func (b *Batches) BatchRun(ctx context.Context, id string) (glovebox.BatchRun, error) {
	run, err := b.Store.Run(ctx, id)
	if err != nil {
		return run, err
	}
	in, err := b.readInput(ctx, id)
	if err != nil {
		return run, err
	}
	run.Spec, run.Files = in.Spec, in.Files
	return run, nil
}

// RunOf returns a run without its input's texts.
func (b *Batches) RunOf(ctx context.Context, id string) (glovebox.BatchRun, error) {
	return b.Store.Run(ctx, id)
}

// maxRuns bounds the list of a batch change's runs.
const maxRuns = 200

// RunsOf returns the newest runs of a batch change.
func (b *Batches) RunsOf(ctx context.Context, batchChange string) ([]glovebox.BatchRun, error) {
	return b.Store.RunsOf(ctx, batchChange, maxRuns)
}

// Workspace returns a workspace with changes and values.
func (b *Batches) Workspace(ctx context.Context, id string) (Workspace, error) {
	return b.Store.Workspace(ctx, id)
}

// WorkspacesOf returns workspaces of a run in their order.
func (b *Batches) WorkspacesOf(ctx context.Context, filter WorkspaceFilter) ([]Workspace, error) {
	return b.Store.WorkspacesOf(ctx, filter)
}

// ChangesetsOf returns the changesets of a batch change.
func (b *Batches) ChangesetsOf(ctx context.Context, batchChange string) ([]glovebox.Changeset, error) {
	all, err := b.Store.ChangesetsOf(ctx, batchChange)
	list := make([]glovebox.Changeset, len(all))
	for i, c := range all {
		list[i] = c.Changeset
	}
	return list, err
}
