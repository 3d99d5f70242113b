package api

import (
	"context"
	"io"
	"net/url"
	"strconv"

	"github.com/glovebox-dev/glovebox"
)

// BatchChangesPage is a page of batch changes, newest first. Next is the cursor of the page after it, empty on the last.
type BatchChangesPage struct {
	BatchChanges []glovebox.BatchChange `json:"batch_changes"`
	Next         string                 `json:"next,omitempty"`
}

// BatchChangesQuery says which batch changes to list; zero fields do not restrict.
type BatchChangesQuery struct {
	State glovebox.BatchChangeState
	// Name is that of one batch change.
	Name string
	// Tenant is for admins; others see their own tenant only.
	Tenant string
	// Limit is 1 to 500; 50 when zero.
	Limit  int
	Cursor string
}

// BatchRuns lists the newest runs of a batch change, newest first.
type BatchRuns struct {
	Runs []glovebox.BatchRun `json:"runs"`
}

// BatchWorkspaces is a page of a run's workspaces, in their order, without changes and values. Next is the "after" of the
// page that follows, 0 on the last.
type BatchWorkspaces struct {
	Workspaces []glovebox.BatchWorkspace `json:"workspaces"`
	Next       int                       `json:"next,omitempty"`
}

// Changesets lists the changesets of a batch change.
type Changesets struct {
	Changesets []glovebox.Changeset `json:"changesets"`
}

// Preview says what applying a run would do.
type Preview struct {
	Entries []glovebox.PreviewEntry `json:"entries"`
}

// CodeHosts lists the code hosts that the server's operator set up.
type CodeHosts struct {
	CodeHosts []glovebox.CodeHost `json:"code_hosts"`
}

// RetryBatchRun is the optional body of a run's retry: the ids of workspaces, or all that did not end well.
type RetryBatchRun struct {
	Workspaces []string `json:"workspaces,omitempty"`
}

// PublishChangesets is the body that publishes changesets whose spec leaves it undecided: those of the ids, or all.
type PublishChangesets struct {
	Changesets []string `json:"changesets,omitempty"`
	// Published is "true" or "draft".
	Published glovebox.Published `json:"published"`
}

// CloseBatchChange is the optional body of a close.
type CloseBatchChange struct {
	// KeepOpen leaves open requests as they are.
	KeepOpen bool `json:"keep_open,omitempty"`
}

// CreateBatchRun begins a run of a spec; its batch change is made when there is none of the spec's name. A spec that is
// refused is a *glovebox.ValidationError with lines and columns.
func (c *Client) CreateBatchRun(ctx context.Context, in glovebox.BatchRunInput) (glovebox.BatchRun, error) {
	var run glovebox.BatchRun
	err := c.json(ctx, "POST", PathBatchChanges, nil, "", in, &run, 0)
	return run, err
}

// BatchChanges lists batch changes, newest first.
func (c *Client) BatchChanges(ctx context.Context, q BatchChangesQuery) (BatchChangesPage, error) {
	values := url.Values{}
	set(values, "state", string(q.State))
	set(values, "name", q.Name)
	set(values, "tenant", q.Tenant)
	set(values, "cursor", q.Cursor)
	if q.Limit > 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	var page BatchChangesPage
	err := c.json(ctx, "GET", PathBatchChanges, values, "", nil, &page, 0)
	return page, err
}

// BatchChange returns a batch change.
func (c *Client) BatchChange(ctx context.Context, id string) (glovebox.BatchChange, error) {
	var change glovebox.BatchChange
	err := c.json(ctx, "GET", expand(PathBatchChange, id), nil, "", nil, &change, 0)
	return change, err
}

// CloseBatchChange closes a batch change and, unless told to keep them, its open requests.
func (c *Client) CloseBatchChange(ctx context.Context, id string, in CloseBatchChange) (glovebox.BatchChange, error) {
	var change glovebox.BatchChange
	err := c.json(ctx, "POST", expand(PathBatchClose, id), nil, "", in, &change, 0)
	return change, err
}

// PublishChangesets publishes changesets that their spec leaves undecided, and tries those that failed again.
func (c *Client) PublishChangesets(ctx context.Context, id string, in PublishChangesets) (glovebox.BatchChange, error) {
	var change glovebox.BatchChange
	err := c.json(ctx, "POST", expand(PathBatchPublish, id), nil, "", in, &change, 0)
	return change, err
}

// BatchRuns lists the newest runs of a batch change.
func (c *Client) BatchRuns(ctx context.Context, id string) ([]glovebox.BatchRun, error) {
	var out BatchRuns
	err := c.json(ctx, "GET", expand(PathBatchRuns, id), nil, "", nil, &out, 0)
	return out.Runs, err
}

// Changesets lists the changesets of a batch change.
func (c *Client) Changesets(ctx context.Context, id string) ([]glovebox.Changeset, error) {
	var out Changesets
	err := c.json(ctx, "GET", expand(PathBatchChangesets, id), nil, "", nil, &out, 0)
	return out.Changesets, err
}

// BatchRun returns a run with its spec and files. Values of variables are never shown.
func (c *Client) BatchRun(ctx context.Context, id string) (glovebox.BatchRun, error) {
	var run glovebox.BatchRun
	err := c.json(ctx, "GET", expand(PathBatchRun, id), nil, "", nil, &run, 0)
	return run, err
}

// BatchWorkspaces returns the workspaces of a run that come after a place in it, of a state or of all. A page holds up
// to 1000.
func (c *Client) BatchWorkspaces(ctx context.Context, run string, state glovebox.State, after int) (BatchWorkspaces, error) {
	values := url.Values{}
	set(values, "state", string(state))
	if after > 0 {
		values.Set("after", strconv.Itoa(after))
	}
	var out BatchWorkspaces
	err := c.json(ctx, "GET", expand(PathBatchRunWorkspaces, run), values, "", nil, &out, 0)
	return out, err
}

// BatchWorkspace returns a workspace with its changes and values.
func (c *Client) BatchWorkspace(ctx context.Context, id string) (glovebox.BatchWorkspace, error) {
	var out glovebox.BatchWorkspace
	err := c.json(ctx, "GET", expand(PathBatchWorkspace, id), nil, "", nil, &out, 0)
	return out, err
}

// BatchWorkspaceDiff returns what the steps changed; glovebox.ErrNotFound when nothing.
func (c *Client) BatchWorkspaceDiff(ctx context.Context, id string) (io.ReadCloser, error) {
	return c.stream(ctx, expand(PathBatchWorkspaceDiff, id), nil, "")
}

// CancelBatchRun stops a run.
func (c *Client) CancelBatchRun(ctx context.Context, id string) (glovebox.BatchRun, error) {
	var run glovebox.BatchRun
	err := c.json(ctx, "POST", expand(PathBatchRunCancel, id), nil, "", nil, &run, 0)
	return run, err
}

// RetryBatchRun does workspaces of a run that is over again: those of the ids, or all that did not end well.
func (c *Client) RetryBatchRun(ctx context.Context, id string, workspaces ...string) (glovebox.BatchRun, error) {
	var run glovebox.BatchRun
	err := c.json(ctx, "POST", expand(PathBatchRunRetry, id), nil, "", RetryBatchRun{Workspaces: workspaces}, &run, 0)
	return run, err
}

// PreviewBatchRun says what applying the run would do.
func (c *Client) PreviewBatchRun(ctx context.Context, id string) ([]glovebox.PreviewEntry, error) {
	var out Preview
	err := c.json(ctx, "GET", expand(PathBatchRunPreview, id), nil, "", nil, &out, 0)
	return out.Entries, err
}

// ApplyBatchRun makes what the run wants what its batch change wants. Publishing goes on in the background.
func (c *Client) ApplyBatchRun(ctx context.Context, id string) (glovebox.BatchChange, error) {
	var change glovebox.BatchChange
	err := c.json(ctx, "POST", expand(PathBatchRunApply, id), nil, "", nil, &change, 0)
	return change, err
}

// CodeHosts lists the code hosts that the server's operator set up.
func (c *Client) CodeHosts(ctx context.Context) ([]glovebox.CodeHost, error) {
	var out CodeHosts
	err := c.json(ctx, "GET", PathCodeHosts, nil, "", nil, &out, 0)
	return out.CodeHosts, err
}
