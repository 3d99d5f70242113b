package changeset

import (
	"context"
	"encoding/json"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// Store keeps batch changes, their runs, workspaces and changesets. Each method is one
// transaction: it happens wholly or not at all, and is durable when it returns. Methods may be called
// concurrently. What does not exist is glovebox.ErrNotFound. The change functions of updates alter the
// record in place; when one returns an error nothing is written and the update returns that error as it
// is. They must have no other effect and must not call the store. Ids, owners and times of creation do not change.
type Store interface {
	Runs
	Workspaces
	Changesets
}

// Runs keeps batch changes and their runs.
type Runs interface {
	// CreateRun adds a run and makes it the latest of its batch change: of that of the tenant with change.Name,
	// which keeps its id and gets the description, or of change, which is added, when there is none.
	CreateRun(ctx context.Context, change glovebox.BatchChange, run glovebox.BatchRun) (glovebox.BatchChange, glovebox.BatchRun, error)
	// BatchChange returns a batch change with the counts of its changesets.
	BatchChange(ctx context.Context, id string) (glovebox.BatchChange, error)
	// BatchChanges returns a page, newest first, with counts, and the cursor of the next one.
	BatchChanges(ctx context.Context, filter Filter) (changes []glovebox.BatchChange, next string, err error)
	// Run returns a run, without its input's texts, with the counts of its workspaces and changesets.
	Run(ctx context.Context, id string) (glovebox.BatchRun, error)
	// RunsOf returns the runs of a batch change, newest first, at most limit.
	RunsOf(ctx context.Context, batchChange string, limit int) ([]glovebox.BatchRun, error)
	// OpenRuns returns the runs that are not over, oldest first.
	OpenRuns(ctx context.Context) ([]glovebox.BatchRun, error)
	UpdateRun(ctx context.Context, id string, change func(*glovebox.BatchRun) error) (glovebox.BatchRun, error)
}

// Workspaces keeps the workspaces of runs and what they want.
type Workspaces interface {
	// Resolved adds the workspaces of a run, in their order, and specs that belong to none of them, and changes the
	// run in the same transaction.
	Resolved(ctx context.Context, run string, workspaces []Workspace, specs []Spec, change func(*glovebox.BatchRun) error) error
	Workspace(ctx context.Context, id string) (Workspace, error)
	// WorkspacesOf returns the workspaces of a run in their order.
	WorkspacesOf(ctx context.Context, filter WorkspaceFilter) ([]Workspace, error)
	UpdateWorkspace(ctx context.Context, id string, change func(*Workspace) error) (Workspace, error)
	// Collect updates a workspace and replaces the specs that came from it.
	Collect(ctx context.Context, id string, specs []Spec, change func(*Workspace) error) error
	// Moved returns up to limit submitted workspaces that are not over and whose job is in another state than
	// they are, or is gone.
	Moved(ctx context.Context, limit int) ([]Moved, error)
	// Specs returns what a run wants, in the order of its workspaces.
	Specs(ctx context.Context, run string) ([]Spec, error)
}

// Changesets keeps the changesets of batch changes.
type Changesets interface {
	Changeset(ctx context.Context, id string) (Changeset, error)
	// ChangesetsOf returns the changesets of a batch change, by repository and branch.
	ChangesetsOf(ctx context.Context, batchChange string) ([]Changeset, error)
	// Apply lets change alter the batch change and its changesets: those it returns are added or, when their id
	// exists, written back; the others stay as they are.
	Apply(ctx context.Context, batchChange string, change func(*glovebox.BatchChange, []Changeset) ([]Changeset, error)) error
	UpdateChangeset(ctx context.Context, id string, change func(*Changeset) error) (Changeset, error)
	// DueLanes returns the lanes that have a changeset with NextAt at or before now, and the time
	// of the next one after now; zero when there is none.
	DueLanes(ctx context.Context, now time.Time) (lanes []string, next time.Time, err error)
	// Due returns up to limit changesets of a lane that are due, longest overdue first.
	Due(ctx context.Context, lane string, now time.Time, limit int) ([]Changeset, error)
	// Wake makes the changesets of a repository that are meant due now, if they are watched at all (NextAt is set). It
	// returns how many.
	Wake(ctx context.Context, repo string, meant Mention, now time.Time) (int, error)
	// PublishedSince counts the changesets published after since, and says when the first of them was.
	PublishedSince(ctx context.Context, since time.Time) (n int, first time.Time, err error)
}

// Mention says which changesets of a repository are meant: those with that external id, that branch or that commit as
// their branch's head. What is not known is empty and matches none.
type Mention struct {
	ID, Branch, Commit string
}

// Of reports whether a changeset is meant.
func (m Mention) Of(c Changeset) bool {
	same := func(a, b string) bool { return a != "" && a == b }
	return same(m.ID, c.ExternalID) || same(m.Branch, c.Branch) || same(m.Commit, c.Head)
}

// Filter narrows a list of batch changes. Zero fields do not restrict.
type Filter struct {
	Tenant string
	State  glovebox.BatchChangeState
	Name   string
	// Text is a part of the name, letters in any case.
	Text string
	// Limit is the size of the page: 50 when zero, at most 500.
	Limit  int
	Cursor string
}

// WorkspaceFilter chooses workspaces of a run.
type WorkspaceFilter struct {
	Run   string
	State glovebox.State
	// Unsubmitted are those whose job is to be submitted yet.
	Unsubmitted bool
	// After is the Seq after which to begin; 0 for the first.
	After int
	// Limit is how many; all when zero.
	Limit int
	// Detail reads changes, values and plan too.
	Detail bool
}

// Workspace is a workspace with what only this package and the store see.
type Workspace struct {
	glovebox.BatchWorkspace
	// Seq is its place in the run, from 1.
	Seq int
	// Submitted is set once its job is in the queue (again).
	Submitted bool
	// RetryFrom is the attempt that a job which is over had when its retry was asked for; noRetry when it was not.
	RetryFrom int
	// Attempt is the job's attempt that Diff is of.
	Attempt int
	// Plan is the resolved workspace, in the form of package batch; read with detail only, and never changed.
	Plan json.RawMessage
}

// Moved is a workspace and its job, without files and timeline; nil when the job is gone.
type Moved struct {
	Workspace Workspace
	Job       *glovebox.Job
}

// Spec is a changeset that a run wants.
type Spec struct {
	// Workspace is the id of the workspace it came from; empty for an imported one.
	Workspace string
	// Seq orders the specs of a workspace, from 1.
	Seq  int
	Spec glovebox.ChangesetSpec
	// DiffKey is where the diff is kept; empty for an imported one.
	DiffKey string
}

// Changeset is a changeset with what only this package and the store see.
type Changeset struct {
	glovebox.Changeset
	// Key tells it from the others of its batch change and repository: Spec's key.
	Key string
	// Lane is what of it is done one after another or side by side: its code host, or its plain remote's host.
	Lane string
	// DiffKey is where the wanted diff is kept.
	DiffKey string
	// Pushed identifies what Head was made from, Sent what the request says; empty before the first time.
	Pushed, Sent string
	// Effect is what was begun at the code host and is not known to have ended.
	Effect *Effect
	// PublishedAt is when its first publication began.
	PublishedAt *time.Time
	// ClosedByUs is set when we closed the request, so that we may reopen it.
	ClosedByUs bool
	// Revision rises with each change of what is wanted, so that a step under way does not take a newer wish for done.
	Revision int
	// FailedRevision is the revision that could not be brought about: it is not tried again.
	FailedRevision int
	// Unchanged counts the looks at the code host in a row that found nothing new.
	Unchanged int
}

// Effect is written before something is done at a code host, so that after a crash the very same is done again,
// which changes nothing if it was done.
type Effect struct {
	// Kind is effectPush or effectOpen.
	Kind string
	At   time.Time
	// Wanted and DiffKey are those that it was begun with.
	Wanted  glovebox.ChangesetSpec
	DiffKey string
}

// specKey is what tells a spec from others of its repository.
func specKey(spec glovebox.ChangesetSpec) string {
	if spec.ExternalID != "" {
		return "id:" + spec.ExternalID
	}
	return "branch:" + spec.Branch
}
