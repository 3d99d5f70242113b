package server

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// maxIDs bounds a list of ids.
const maxIDs = 10_000

func (s *Server) createBatchRun(r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	var in glovebox.BatchRunInput
	if err := r.json(&in); err != nil {
		return err
	}
	run, err := s.Batches.Create(r.Context(), tenant, "user:"+r.user.Name, in)
	if err != nil {
		return err
	}
	r.w.Header().Set("Location", strings.Replace(api.PathBatchRun, "{id}", run.ID, 1))
	return r.w.json(http.StatusCreated, run)
}

func (s *Server) listBatchChanges(r *request) error {
	q := r.URL.Query()
	limit, err := r.number("limit", 500)
	if err != nil {
		return err
	}
	filter := changeset.Filter{Tenant: tenantOf(r.user), Name: q.Get("name"), State: glovebox.BatchChangeState(q.Get("state")),
		Limit: int(limit), Cursor: q.Get("cursor")}
	if r.user.Role == glovebox.RoleAdmin {
		filter.Tenant = q.Get("tenant")
	}
	switch filter.State {
	case "", glovebox.BatchChangeDraft, glovebox.BatchChangeOpen, glovebox.BatchChangeClosed:
	default:
		return invalid("parameter state: want draft, open or closed")
	}
	list, next, err := s.Batches.BatchChanges(r.Context(), filter)
	if err != nil {
		return err
	}
	if list == nil {
		list = []glovebox.BatchChange{}
	}
	return r.w.json(http.StatusOK, api.BatchChangesPage{BatchChanges: list, Next: next})
}

// batchChange returns the batch change of the path, if the caller may see it; others' are glovebox.ErrNotFound.
func (s *Server) batchChange(r *request) (glovebox.BatchChange, error) {
	change, err := s.Batches.BatchChange(r.Context(), r.PathValue("id"))
	if err == nil && !r.maySee(change.Tenant) {
		err = fmt.Errorf("batch change %.40q: %w", r.PathValue("id"), glovebox.ErrNotFound)
	}
	return change, err
}

// maySee reports whether a tenant's things are shown to the caller.
func (r *request) maySee(tenant string) bool {
	return r.user.Role == glovebox.RoleAdmin || tenant == tenantOf(r.user)
}

func (s *Server) getBatchChange(r *request) error {
	change, err := s.batchChange(r)
	if err != nil {
		return err
	}
	return r.w.json(http.StatusOK, change)
}

func (s *Server) closeBatchChange(r *request) error {
	var in api.CloseBatchChange
	if err := r.optionalJSON(&in); err != nil {
		return err
	}
	change, err := s.batchChange(r)
	if err != nil {
		return err
	}
	if change, err = s.Batches.Close(r.Context(), change.ID, in.KeepOpen); err != nil {
		return err
	}
	s.Logger.Info("batch change closed", "batch_change", change.Name, "tenant", change.Tenant, "by", r.user.Name)
	return r.w.json(http.StatusOK, change)
}

func (s *Server) publishChangesets(r *request) error {
	var in api.PublishChangesets
	if err := r.json(&in); err != nil {
		return err
	}
	change, err := s.batchChange(r)
	if err != nil {
		return err
	}
	if len(in.Changesets) > maxIDs {
		return invalid(fmt.Sprintf("changesets: at most %d", maxIDs))
	}
	if change, err = s.Batches.Publish(r.Context(), change.ID, in.Changesets, in.Published); err != nil {
		return err
	}
	s.Logger.Info("changesets published", "batch_change", change.Name, "tenant", change.Tenant, "by", r.user.Name)
	return r.w.json(http.StatusOK, change)
}

func (s *Server) listChangesets(r *request) error {
	change, err := s.batchChange(r)
	if err != nil {
		return err
	}
	list, err := s.Batches.ChangesetsOf(r.Context(), change.ID)
	if err != nil {
		return err
	}
	return r.w.json(http.StatusOK, api.Changesets{Changesets: list})
}

func (s *Server) listBatchRuns(r *request) error {
	change, err := s.batchChange(r)
	if err != nil {
		return err
	}
	runs, err := s.Batches.RunsOf(r.Context(), change.ID)
	if err != nil {
		return err
	}
	return r.w.json(http.StatusOK, api.BatchRuns{Runs: runs})
}
