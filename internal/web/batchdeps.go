package web

import (
	"context"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// Batches reads and changes batch changes; *changeset.Batches is one. Whose they are is checked
// here, by their tenant.
type Batches interface {
	BatchChanges
	BatchRuns
	BatchControl
}

// BatchChanges reads batch changes.
type BatchChanges interface {
	// BatchChanges returns a page, newest first, and the cursor of the next one.
	BatchChanges(ctx context.Context, filter changeset.Filter) (changes []glovebox.BatchChange, next string, err error)
	// RunsOf returns the newest runs of a batch change, newest first, without their input.
	RunsOf(ctx context.Context, batchChange string) ([]glovebox.BatchRun, error)
	ChangesetsOf(ctx context.Context, batchChange string) ([]glovebox.Changeset, error)
}

// BatchRuns reads runs.
type BatchRuns interface {
	// BatchRun returns a run with its spec's text; RunOf without it.
	BatchRun(ctx context.Context, id string) (glovebox.BatchRun, error)
	RunOf(ctx context.Context, id string) (glovebox.BatchRun, error)
	WorkspacesOf(ctx context.Context, filter changeset.WorkspaceFilter) ([]changeset.Workspace, error)
	Workspace(ctx context.Context, id string) (changeset.Workspace, error)
	// Preview says what applying a run would do now.
	Preview(ctx context.Context, run string) ([]glovebox.PreviewEntry, error)
}

// BatchControl changes batch changes. What is not in a state for it is glovebox.ErrConflict.
type BatchControl interface {
	// Create begins a run. What is wrong with the spec is a *glovebox.ValidationError.
	Create(ctx context.Context, tenant, actor string, input glovebox.BatchRunInput) (glovebox.BatchRun, error)
	Cancel(ctx context.Context, run, actor string) (glovebox.BatchRun, error)
	// Retry does workspaces of a run that is over again, those that failed when none is named.
	Retry(ctx context.Context, run string, workspaces []string) (glovebox.BatchRun, error)
	Apply(ctx context.Context, run, actor string) (glovebox.BatchChange, error)
	// Publish publishes changesets that the spec leaves undecided, and tries failed ones again.
	Publish(ctx context.Context, batchChange string, changesets []string, as glovebox.Published) (glovebox.BatchChange, error)
	Close(ctx context.Context, batchChange string, keepOpen bool) (glovebox.BatchChange, error)
}
