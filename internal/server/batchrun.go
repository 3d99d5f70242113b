package server

import (
	"fmt"
	"net/http"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/blob"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// workspacePage is how many workspaces a page holds.
const workspacePage = 1000

// batchRun returns the run of an id, without its input's texts, if the caller may see it; others' are glovebox.ErrNotFound.
func (s *Server) batchRun(r *request, id string) (glovebox.BatchRun, error) {
	run, err := s.Batches.RunOf(r.Context(), id)
	if err == nil && !r.maySee(run.Tenant) {
		err = fmt.Errorf("run %.40q: %w", id, glovebox.ErrNotFound)
	}
	return run, err
}

func (s *Server) getBatchRun(r *request) error {
	run, err := s.batchRun(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	if run, err = s.Batches.BatchRun(r.Context(), run.ID); err != nil {
		return err
	}
	return r.w.json(http.StatusOK, run)
}

func (s *Server) listBatchWorkspaces(r *request) error {
	run, err := s.batchRun(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	after, err := r.number("after", 1<<30)
	if err != nil {
		return err
	}
	filter := changeset.WorkspaceFilter{Run: run.ID, State: glovebox.State(r.URL.Query().Get("state")), After: int(after), Limit: workspacePage + 1}
	if filter.State != "" && filter.State != glovebox.StateSkipped && !knownState(filter.State) {
		return invalid("parameter state: no such state")
	}
	list, err := s.Batches.WorkspacesOf(r.Context(), filter)
	if err != nil {
		return err
	}
	page := api.BatchWorkspaces{Workspaces: []glovebox.BatchWorkspace{}}
	for i, w := range list {
		if i == workspacePage {
			page.Next = list[i-1].Seq
			break
		}
		page.Workspaces = append(page.Workspaces, w.BatchWorkspace)
	}
	return r.w.json(http.StatusOK, page)
}

func (s *Server) cancelBatchRun(r *request) error {
	run, err := s.batchRun(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	if run, err = s.Batches.Cancel(r.Context(), run.ID, "user:"+r.user.Name); err != nil {
		return err
	}
	return r.w.json(http.StatusOK, run)
}

func (s *Server) retryBatchRun(r *request) error {
	var in api.RetryBatchRun
	if err := r.optionalJSON(&in); err != nil {
		return err
	}
	run, err := s.batchRun(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	if len(in.Workspaces) > maxIDs {
		return invalid(fmt.Sprintf("workspaces: at most %d", maxIDs))
	}
	if run, err = s.Batches.Retry(r.Context(), run.ID, in.Workspaces); err != nil {
		return err
	}
	return r.w.json(http.StatusOK, run)
}

func (s *Server) previewBatchRun(r *request) error {
	run, err := s.batchRun(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	entries, err := s.Batches.Preview(r.Context(), run.ID)
	if err != nil {
		return err
	}
	return r.w.json(http.StatusOK, api.Preview{Entries: entries})
}

func (s *Server) applyBatchRun(r *request) error {
	run, err := s.batchRun(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	change, err := s.Batches.Apply(r.Context(), run.ID, "user:"+r.user.Name)
	if err != nil {
		return err
	}
	return r.w.json(http.StatusOK, change)
}

// batchWorkspace returns the workspace of the path, if the caller may see it; others' are glovebox.ErrNotFound.
func (s *Server) batchWorkspace(r *request) (changeset.Workspace, error) {
	w, err := s.Batches.Workspace(r.Context(), r.PathValue("id"))
	if err != nil {
		return w, err
	}
	if _, err := s.batchRun(r, w.Run); err != nil {
		return w, fmt.Errorf("workspace %.40q: %w", w.ID, glovebox.ErrNotFound)
	}
	return w, nil
}

func (s *Server) getBatchWorkspace(r *request) error {
	w, err := s.batchWorkspace(r)
	if err != nil {
		return err
	}
	return r.w.json(http.StatusOK, w.BatchWorkspace)
}

func (s *Server) getBatchWorkspaceDiff(r *request) error {
	w, err := s.batchWorkspace(r)
	if err != nil {
		return err
	}
	if w.Diff == nil {
		return fmt.Errorf("workspace %s has no diff: %w", w.ID, glovebox.ErrNotFound)
	}
	return s.sendBlob(r, blob.ArtifactKey(w.JobID, w.Attempt, glovebox.DiffArtifact), w.ID+".diff", "text/x-diff; charset=utf-8")
}
