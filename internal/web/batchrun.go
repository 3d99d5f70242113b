package web

import (
	"io"
	"net/http"
	"slices"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// runPage is the data of templates/batchrun.html.
type runPage struct {
	frame
	Links           batchLinks
	Change          glovebox.BatchChange
	Run             runRow
	Source          sourceView
	Workspaces      []changeset.Workspace
	Total, Matching int
	Filter          rowFilter
	Chips           []stateChip
	Prev, Next      string
}

// CanCancel, CanRetry and CanPreview say which buttons make sense.
func (p runPage) CanCancel() bool { return p.Submit && !p.Run.State.Final() && !p.Run.CancelRequested }
func (p runPage) CanRetry() bool  { return p.Submit && p.Run.State.Final() }
func (p runPage) CanPreview() bool {
	return p.Run.State.Final() && p.Run.State != glovebox.BatchRunErrored
}

// Again is the address of the form with this run's spec.
func (p runPage) Again() string {
	return address("/batch-changes/NEW", map[string]string{"name": p.Change.Name, "run": p.Run.ID, "tenant": p.Links.Tenant})
}

func (s *site) showBatchRun(w http.ResponseWriter, r *http.Request, v *visitor) error {
	change, run, err := s.batchRun(r, v)
	if err != nil {
		return err
	}
	if run, err = s.Batches.BatchRun(r.Context(), run.ID); err != nil {
		return err
	}
	all, err := s.Batches.WorkspacesOf(r.Context(), changeset.WorkspaceFilter{Run: run.ID})
	if err != nil {
		return err
	}
	page := runPage{frame: s.frame("Run of "+change.Name, v), Links: s.linksOf(change, v), Change: change, Run: newRunRow(run, change),
		Source: readSource("spec.yaml", run.Spec), Filter: readRowFilter(r), Total: len(all)}
	if !slices.Contains(workspaceStates(), glovebox.State(page.Filter.State)) {
		page.Filter.State = ""
	}
	all = slices.DeleteFunc(all, func(ws changeset.Workspace) bool {
		return page.Filter.State != "" && string(ws.State) != page.Filter.State || !page.Filter.holds(ws.Repo, ws.Path, ws.Reason)
	})
	page.Matching = len(all)
	page.Workspaces, page.Prev, page.Next = window(page.Filter, page.Links, all, "runs", run.ID)
	page.Chips = chips(page.Filter.State, workspaceStates(), func(state string) string {
		return page.Filter.address(page.Links, state, 0, "runs", run.ID)
	})
	return s.pages.render(w, http.StatusOK, "batchrun", page)
}

// downloadSpec sends the spec's text.
func (s *site) downloadSpec(w http.ResponseWriter, r *http.Request, v *visitor) error {
	change, run, err := s.batchRun(r, v)
	if err != nil {
		return err
	}
	if run, err = s.Batches.BatchRun(r.Context(), run.ID); err != nil {
		return err
	}
	attachment(w, string(Visible([]byte(change.Name)))+".batch.yaml", "application/octet-stream")
	if _, err := io.WriteString(w, run.Spec); err != nil {
		return nil // the client is gone
	}
	return nil
}

func (s *site) cancelBatchRun(w http.ResponseWriter, r *http.Request, v *visitor) error {
	change, run, err := s.batchRun(r, v)
	if err != nil {
		return err
	}
	if _, err := s.Batches.Cancel(r.Context(), run.ID, v.actor()); err != nil {
		return err
	}
	http.Redirect(w, r, s.linksOf(change, v).At("runs", run.ID), http.StatusSeeOther)
	return nil
}

// retryWorkspaces runs the workspaces again that the form names, or all that did not go well.
func (s *site) retryWorkspaces(w http.ResponseWriter, r *http.Request, v *visitor) error {
	change, run, err := s.batchRun(r, v)
	if err != nil {
		return err
	}
	var ids []string
	if r.PostForm.Get("do") != "failed" {
		all, err := s.Batches.WorkspacesOf(r.Context(), changeset.WorkspaceFilter{Run: run.ID})
		if err != nil {
			return err
		}
		ids, err = chosen(r, func(id string) bool {
			return slices.ContainsFunc(all, func(ws changeset.Workspace) bool { return ws.ID == id })
		})
		if err != nil {
			return err
		}
	}
	if _, err := s.Batches.Retry(r.Context(), run.ID, ids); err != nil {
		return err
	}
	s.Logger.Info("retry workspaces", "run", run.ID, "workspaces", len(ids), "by", v.token.Name)
	http.Redirect(w, r, s.linksOf(change, v).At("runs", run.ID), http.StatusSeeOther)
	return nil
}
