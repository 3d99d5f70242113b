package web

import (
	"errors"
	"net/http"

	"github.com/glovebox-dev/glovebox"
)

// workspacePage is the data of templates/batchworkspace.html.
type workspacePage struct {
	frame
	Links     batchLinks
	Change    glovebox.BatchChange
	Run       glovebox.BatchRun
	Workspace glovebox.BatchWorkspace
	// Job is what its job's page shows; nil before it was submitted, and when it is gone.
	Job *jobPage
}

// CanRetry says whether the button makes sense.
func (p workspacePage) CanRetry() bool {
	return p.Submit && p.Run.State.Final() && p.Workspace.State.Final()
}

// showWorkspace shows a workspace with its job's log and diff; with "?part=summary" all but the log.
func (s *site) showWorkspace(w http.ResponseWriter, r *http.Request, v *visitor) error {
	change, run, err := s.batchRun(r, v)
	if err != nil {
		return err
	}
	ws, err := s.Batches.Workspace(r.Context(), r.PathValue("workspace"))
	if err != nil {
		return err
	}
	if ws.Run != run.ID {
		return glovebox.ErrNotFound
	}
	page := workspacePage{frame: s.frame(ws.Repo+" of "+change.Name, v), Links: s.linksOf(change, v), Change: change, Run: run, Workspace: ws.BatchWorkspace}
	summary := r.URL.Query().Get("part") == "summary"
	job, err := s.workspaceJob(r, change, ws.JobID)
	if err == nil {
		page.Job, err = s.jobPage(r, v, job, job.Attempt, summary)
	} else if errors.Is(err, glovebox.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return err
	}
	part := "layout"
	if summary {
		part = "summary"
	}
	return s.pages.renderPart(w, http.StatusOK, "batchworkspace", part, page)
}

// workspaceJob reads a workspace's job, which must be its batch change's tenant's.
func (s *site) workspaceJob(r *http.Request, change glovebox.BatchChange, id string) (glovebox.Job, error) {
	if id == "" {
		return glovebox.Job{}, glovebox.ErrNotFound
	}
	job, err := s.Jobs.Get(r.Context(), id)
	if err == nil && tenantOf(job.Tenant) != tenantOf(change.Tenant) {
		err = glovebox.ErrNotFound
	}
	return job, err
}
