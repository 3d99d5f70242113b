package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// workspaceDetail is what may be large of a workspace.
type workspaceDetail struct {
	Changes *glovebox.Changes `json:"changes,omitempty"`
	Values  map[string]any    `json:"values,omitempty"`
}

// splitWorkspace returns the two texts of a workspace's row.
func splitWorkspace(w changeset.Workspace) (data, detail string, err error) {
	large, err := json.Marshal(workspaceDetail{Changes: w.Changes, Values: w.Values})
	if err != nil {
		return "", "", fmt.Errorf("encode workspace: %w", err)
	}
	w.Changes, w.Values, w.Plan = nil, nil, nil
	small, err := json.Marshal(w)
	if err != nil {
		return "", "", fmt.Errorf("encode workspace: %w", err)
	}
	return string(small), string(large), nil
}

// joinWorkspace is the way back.
func joinWorkspace(data, detail, plan []byte) (changeset.Workspace, error) {
	var w changeset.Workspace
	if err := json.Unmarshal(data, &w); err != nil {
		return w, fmt.Errorf("decode workspace: %w", err)
	}
	if len(detail) > 0 {
		var large workspaceDetail
		if err := json.Unmarshal(detail, &large); err != nil {
			return w, fmt.Errorf("decode workspace: %w", err)
		}
		w.Changes, w.Values = large.Changes, large.Values
	}
	w.Plan = nil
	if len(plan) > 0 {
		w.Plan = json.RawMessage(plan)
	}
	return w, nil
}

// Resolved implements changeset.Store.
func (s *Batches) Resolved(ctx context.Context, run string, workspaces []changeset.Workspace, specs []changeset.Spec, change func(*glovebox.BatchRun) error) error {
	return s.db.write(ctx, func(t *tx) error {
		if _, err := t.updateRun(run, change); err != nil {
			return err
		}
		for _, w := range workspaces {
			data, detail, err := splitWorkspace(w)
			if err != nil {
				return err
			}
			err = t.exec(`INSERT INTO batch_workspaces (id, run, seq, repo, branch, path, state, submitted, job_id, data, detail, plan)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
				w.ID, run, w.Seq, w.Repo, w.Branch, w.Path, w.State, truth(w.Submitted), w.JobID, data, detail, string(w.Plan))
			if err != nil {
				return fmt.Errorf("insert workspace: %w", err)
			}
		}
		return t.putSpecs(run, specs)
	})
}

func (t *tx) putSpecs(run string, specs []changeset.Spec) error {
	for _, spec := range specs {
		data, err := json.Marshal(spec)
		if err != nil {
			return fmt.Errorf("encode changeset spec: %w", err)
		}
		err = t.exec("INSERT INTO batch_specs (run, workspace, seq, data) VALUES ($1, $2, $3, $4)", run, spec.Workspace, spec.Seq, string(data))
		if err != nil {
			return fmt.Errorf("insert changeset spec: %w", err)
		}
	}
	return nil
}

// Workspace implements changeset.Store.
func (s *Batches) Workspace(ctx context.Context, id string) (changeset.Workspace, error) {
	var data, detail, plan []byte
	err := s.db.queryRow(ctx, "SELECT data, detail, plan FROM batch_workspaces WHERE id = $1", []any{id}, &data, &detail, &plan)
	if err != nil {
		return changeset.Workspace{}, notFound("workspace", id, err)
	}
	return joinWorkspace(data, detail, plan)
}

// WorkspacesOf implements changeset.Store.
func (s *Batches) WorkspacesOf(ctx context.Context, f changeset.WorkspaceFilter) ([]changeset.Workspace, error) {
	columns, cond, args := "data, '', ''", "run = $1 AND seq > $2", []any{f.Run, f.After}
	if f.Detail {
		columns = "data, detail, plan"
	}
	if f.State != "" {
		cond += " AND state = $3"
		args = append(args, string(f.State))
	}
	if f.Unsubmitted {
		cond += " AND submitted = 0"
	}
	query := "SELECT " + columns + " FROM batch_workspaces WHERE " + cond + " ORDER BY seq"
	if f.Limit > 0 {
		query += " LIMIT " + strconv.Itoa(f.Limit)
	}
	rows, err := s.db.query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list workspaces: %w", err)
	}
	defer rows.Close()
	var list []changeset.Workspace
	for rows.Next() {
		var data, detail, plan []byte
		if err := rows.Scan(&data, &detail, &plan); err != nil {
			return nil, fmt.Errorf("read workspace: %w", err)
		}
		w, err := joinWorkspace(data, detail, plan)
		if err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, rows.Err()
}

// UpdateWorkspace implements changeset.Store.
func (s *Batches) UpdateWorkspace(ctx context.Context, id string, change func(*changeset.Workspace) error) (changeset.Workspace, error) {
	var w changeset.Workspace
	err := s.db.write(ctx, func(t *tx) error {
		var err error
		w, err = t.updateWorkspace(id, change)
		return err
	})
	return w, err
}

func (t *tx) updateWorkspace(id string, change func(*changeset.Workspace) error) (changeset.Workspace, error) {
	var data, detail, plan []byte
	err := t.queryRow("SELECT data, detail, plan FROM batch_workspaces WHERE id = $1", []any{id}, &data, &detail, &plan)
	if err != nil {
		return changeset.Workspace{}, notFound("workspace", id, err)
	}
	w, err := joinWorkspace(data, detail, plan)
	if err != nil {
		return w, err
	}
	if err := change(&w); err != nil {
		return w, err
	}
	small, large, err := splitWorkspace(w)
	if err != nil {
		return w, err
	}
	err = t.exec("UPDATE batch_workspaces SET state = $2, submitted = $3, job_id = $4, data = $5, detail = $6 WHERE id = $1",
		id, w.State, truth(w.Submitted), w.JobID, small, large)
	if err != nil {
		return w, fmt.Errorf("update workspace: %w", err)
	}
	return w, nil
}

// Collect implements changeset.Store.
func (s *Batches) Collect(ctx context.Context, id string, specs []changeset.Spec, change func(*changeset.Workspace) error) error {
	return s.db.write(ctx, func(t *tx) error {
		w, err := t.updateWorkspace(id, change)
		if err != nil {
			return err
		}
		if err := t.exec("DELETE FROM batch_specs WHERE run = $1 AND workspace = $2", w.Run, id); err != nil {
			return fmt.Errorf("delete changeset specs: %w", err)
		}
		return t.putSpecs(w.Run, specs)
	})
}

// movedQuery looks at each submitted workspace that is not over, and at the state of its job.
const movedQuery = `SELECT w.id FROM batch_workspaces AS w LEFT JOIN jobs AS j ON j.id = w.job_id
	WHERE w.submitted = 1 AND w.state IN ('queued', 'processing') AND (j.id IS NULL OR j.state <> w.state)`

// Moved implements changeset.Store.
func (s *Batches) Moved(ctx context.Context, limit int) ([]changeset.Moved, error) {
	var ids []string
	err := s.db.each(ctx, func(id []byte) error { ids = append(ids, string(id)); return nil }, movedQuery+" LIMIT "+strconv.Itoa(limit))
	if err != nil {
		return nil, fmt.Errorf("look for moved jobs: %w", err)
	}
	var moved []changeset.Moved
	for _, id := range ids {
		w, err := s.Workspace(ctx, id)
		if err != nil {
			return nil, err
		}
		m := changeset.Moved{Workspace: w}
		record, err := s.jobs.Lookup(ctx, w.JobID)
		switch {
		case err == nil:
			m.Job = &record.Job
		case !errors.Is(err, glovebox.ErrNotFound):
			return nil, err
		}
		moved = append(moved, m)
	}
	return moved, nil
}

// Specs implements changeset.Store.
func (s *Batches) Specs(ctx context.Context, run string) ([]changeset.Spec, error) {
	var specs []changeset.Spec
	err := s.db.each(ctx, func(data []byte) error {
		var spec changeset.Spec
		if err := json.Unmarshal(data, &spec); err != nil {
			return err
		}
		specs = append(specs, spec)
		return nil
	}, `SELECT s.data FROM batch_specs AS s LEFT JOIN batch_workspaces AS w ON w.id = s.workspace
		WHERE s.run = $1 ORDER BY coalesce(w.seq, 0), s.workspace, s.seq`, run)
	if err != nil {
		return nil, fmt.Errorf("list changeset specs: %w", err)
	}
	return specs, nil
}
