package web

import (
	"context"

	"github.com/glovebox-dev/glovebox"
)

// BatchChanges reads batch changes. Who may see them is checked here, by their tenant.
type BatchChanges interface {
	// BatchChanges returns a page, newest first, and the cursor of the next one.
	BatchChanges(ctx context.Context, filter BatchFilter) (changes []glovebox.BatchChange, next string, err error)
	// RunsOf returns the newest runs of a batch change, newest first, without their input.
	RunsOf(ctx context.Context, batchChange string) ([]glovebox.BatchRun, error)
	ChangesetsOf(ctx context.Context, batchChange string) ([]glovebox.Changeset, error)
	// Watch delivers a token after each change of a batch change, its runs, workspaces and
	// changesets, of any when id is empty. It may deliver more of them.
	Watch(ctx context.Context, batchChange string) <-chan struct{}
}

// BatchFilter narrows a list of batch changes. Zero fields do not restrict.
type BatchFilter struct {
	Tenant string
	State  glovebox.BatchChangeState
	// Name is a whole name, Text a part of name or description in any case.
	Name, Text string
	// Limit is the size of the page: 50 when zero.
	Limit  int
	Cursor string
}

// BatchRuns reads runs.
type BatchRuns interface {
	// BatchRun returns a run with its spec's text; RunOf without it.
	BatchRun(ctx context.Context, id string) (glovebox.BatchRun, error)
	RunOf(ctx context.Context, id string) (glovebox.BatchRun, error)
	// WorkspacesOf returns the workspaces of a run in their order, without changes and values.
	WorkspacesOf(ctx context.Context, run string) ([]glovebox.BatchWorkspace, error)
	Workspace(ctx context.Context, id string) (glovebox.BatchWorkspace, error)
	// Preview says what applying a run would do now.
	Preview(ctx context.Context, run string) ([]glovebox.PreviewEntry, error)
}

// BatchControl changes batch changes. What is not in a state for it is glovebox.ErrConflict.
type BatchControl interface {
	// Create begins a run. What is wrong with the spec is a *glovebox.ValidationError.
	Create(ctx context.Context, tenant, actor string, input glovebox.BatchRunInput) (glovebox.BatchRun, error)
	CancelRun(ctx context.Context, run, actor string) error
	// RetryWorkspaces runs workspaces again.
	RetryWorkspaces(ctx context.Context, run, actor string, workspaces []string) error
	// Apply makes a run's changesets those of its batch change.
	Apply(ctx context.Context, run, actor string) error
	// Publish decides of changesets whether they are published.
	Publish(ctx context.Context, batchChange, actor string, changesets []string, as glovebox.Published) error
	// RetryChangesets tries changesets anew that failed.
	RetryChangesets(ctx context.Context, batchChange, actor string, changesets []string) error
	// Close ends a batch change; requests says whether its open requests are closed at the code hosts too.
	Close(ctx context.Context, batchChange, actor string, requests bool) error
}

// hasBatches reports whether there are pages of batch changes.
func (d Deps) hasBatches() bool {
	return d.BatchChanges != nil && d.BatchRuns != nil && d.BatchControl != nil
}
