package web

import (
	"io"
	"net/http"
	"slices"

	"github.com/glovebox-dev/glovebox"
)

// runPage is the data of templates/batchrun.html.
type runPage struct {
	frame
	Links           batchLinks
	Change          glovebox.BatchChange
	Run             runRow
	Source          sourceView
	Workspaces      []glovebox.BatchWorkspace
	Total, Matching int
	Filter          rowFilter
	Chips           []stateChip
	Prev, Next      string
}

// CanCancel, CanRetry and CanPreview say which buttons make sense.
func (p runPage) CanCancel() bool { return p.Submit && !p.Run.State.Final() && !p.Run.CancelRequested }
func (p runPage) CanRetry() bool  { return p.Submit && p.Total > 0 }
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
	if run, err = s.BatchRuns.BatchRun(r.Context(), run.ID); err != nil {
		return err
	}
	all, err := s.BatchRuns.WorkspacesOf(r.Context(), run.ID)
	if err != nil {
		return err
	}
	page := runPage{frame: s.frame("Run of "+change.Name, v), Links: s.linksOf(change, v), Change: change, Run: newRunRow(run, change),
		Source: readSource("spec.yaml", run.Spec), Filter: readRowFilter(r), Total: len(all)}
	if !slices.Contains(workspaceStates(), glovebox.State(page.Filter.State)) {
		page.Filter.State = ""
	}
	all = slices.DeleteFunc(all, func(ws glovebox.BatchWorkspace) bool {
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
	if run, err = s.BatchRuns.BatchRun(r.Context(), run.ID); err != nil {
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
	if err := s.BatchControl.CancelRun(r.Context(), run.ID, v.actor()); err != nil {
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
	all, err := s.BatchRuns.WorkspacesOf(r.Context(), run.ID)
	if err != nil {
		return err
	}
	var ids []string
	if r.PostForm.Get("do") == "failed" {
		for _, ws := range all {
			if ws.State == glovebox.StateFailed || ws.State == glovebox.StateErrored || ws.State == glovebox.StateCanceled {
				ids = append(ids, ws.ID)
			}
		}
	} else {
		ids, err = chosen(r, func(id string) bool {
			return slices.ContainsFunc(all, func(ws glovebox.BatchWorkspace) bool { return ws.ID == id })
		})
		if err != nil {
			return err
		}
	}
	if len(ids) > 0 {
		if err := s.BatchControl.RetryWorkspaces(r.Context(), run.ID, v.actor(), ids); err != nil {
			return err
		}
	}
	http.Redirect(w, r, s.linksOf(change, v).At("runs", run.ID), http.StatusSeeOther)
	return nil
}
