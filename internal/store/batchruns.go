package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// Batches keeps batch changes, their runs, workspaces and changesets.
type Batches struct {
	db   *DB
	jobs *Jobs
}

// NewBatches returns the batch changes of db.
func NewBatches(db *DB) *Batches { return &Batches{db: db, jobs: NewJobs(db)} }

var _ changeset.Store = (*Batches)(nil)

// CreateRun implements changeset.Store.
func (s *Batches) CreateRun(ctx context.Context, change glovebox.BatchChange, run glovebox.BatchRun) (glovebox.BatchChange, glovebox.BatchRun, error) {
	err := s.db.write(ctx, func(t *tx) error {
		var known glovebox.BatchChange
		err := t.readJSON(&known, "SELECT data FROM batch_changes WHERE tenant = $1 AND name = $2", change.Tenant, change.Name)
		switch {
		case err == nil:
			known.Description, known.UpdatedAt = change.Description, change.UpdatedAt
			change = known
		case !errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("read batch change %q: %w", change.Name, err)
		}
		run.BatchChange, run.Name, run.Tenant = change.ID, change.Name, change.Tenant
		change.LatestRun = run.ID
		if err := t.putBatchChange(change); err != nil {
			return err
		}
		data, err := json.Marshal(bare(run))
		if err != nil {
			return fmt.Errorf("encode run: %w", err)
		}
		err = t.exec("INSERT INTO batch_runs (id, batch_change, state, created_at, data) VALUES ($1, $2, $3, $4, $5)",
			run.ID, run.BatchChange, run.State, millis(run.CreatedAt), string(data))
		if err != nil {
			return fmt.Errorf("insert run: %w", err)
		}
		return nil
	})
	if err != nil {
		return glovebox.BatchChange{}, glovebox.BatchRun{}, err
	}
	return change, run, nil
}

// bare is the run as its row holds it.
func bare(run glovebox.BatchRun) glovebox.BatchRun {
	run.Spec, run.Files, run.Env = "", nil, nil
	run.Workspaces, run.Changesets = nil, 0
	return run
}

// putBatchChange adds a batch change or writes it back.
func (t *tx) putBatchChange(change glovebox.BatchChange) error {
	change.Changesets = nil
	data, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("encode batch change: %w", err)
	}
	err = t.exec(`INSERT INTO batch_changes (id, tenant, name, state, created_at, data) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, data = excluded.data`,
		change.ID, change.Tenant, change.Name, change.State, millis(change.CreatedAt), string(data))
	if err != nil {
		return fmt.Errorf("write batch change: %w", err)
	}
	return nil
}

// BatchChange implements changeset.Store.
func (s *Batches) BatchChange(ctx context.Context, id string) (glovebox.BatchChange, error) {
	var change glovebox.BatchChange
	err := s.db.readJSON(ctx, &change, "SELECT data FROM batch_changes WHERE id = $1", id)
	if err != nil {
		return change, notFound("batch change", id, err)
	}
	counts, err := s.db.counts(ctx, "SELECT state, count(*) FROM changesets WHERE batch_change = $1 GROUP BY state", id)
	change.Changesets = typed[glovebox.ChangesetState](counts)
	return change, err
}

// BatchChanges implements changeset.Store: a keyset over (created_at, id).
func (s *Batches) BatchChanges(ctx context.Context, f changeset.Filter) ([]glovebox.BatchChange, string, error) {
	where, args, err := batchWhere(f)
	if err != nil {
		return nil, "", err
	}
	size := min(max(f.Limit, 0), 500)
	if size == 0 {
		size = 50
	}
	var changes []glovebox.BatchChange
	err = s.db.each(ctx, func(data []byte) error {
		var change glovebox.BatchChange
		if err := json.Unmarshal(data, &change); err != nil {
			return err
		}
		changes = append(changes, change)
		return nil
	}, "SELECT data FROM batch_changes"+where+" ORDER BY created_at DESC, id DESC LIMIT "+strconv.Itoa(size+1), args...)
	if err != nil {
		return nil, "", fmt.Errorf("list batch changes: %w", err)
	}
	next := ""
	if len(changes) > size {
		changes = changes[:size]
		last := changes[size-1]
		next = encodeCursor(glovebox.Job{ID: last.ID, CreatedAt: last.CreatedAt})
	}
	for i := range changes {
		counts, err := s.db.counts(ctx, "SELECT state, count(*) FROM changesets WHERE batch_change = $1 GROUP BY state", changes[i].ID)
		if err != nil {
			return nil, "", err
		}
		changes[i].Changesets = typed[glovebox.ChangesetState](counts)
	}
	return changes, next, nil
}

func batchWhere(f changeset.Filter) (string, []any, error) {
	var conds []string
	var args []any
	equal := func(column, value string) {
		if value != "" {
			args = append(args, value)
			conds = append(conds, column+" = $"+strconv.Itoa(len(args)))
		}
	}
	equal("tenant", f.Tenant)
	equal("name", f.Name)
	equal("state", string(f.State))
	if text := strings.ToLower(strings.TrimSpace(f.Text)); text != "" {
		args = append(args, "%"+strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text)+"%")
		conds = append(conds, "lower(name) LIKE $"+strconv.Itoa(len(args))+` ESCAPE '\'`)
	}
	if f.Cursor != "" {
		created, id, err := decodeCursor(f.Cursor)
		if err != nil {
			return "", nil, err
		}
		args = append(args, created, id)
		conds = append(conds, fmt.Sprintf("(created_at, id) < ($%d, $%d)", len(args)-1, len(args)))
	}
	if len(conds) == 0 {
		return "", nil, nil
	}
	return " WHERE " + strings.Join(conds, " AND "), args, nil
}

// Run implements changeset.Store.
func (s *Batches) Run(ctx context.Context, id string) (glovebox.BatchRun, error) {
	var run glovebox.BatchRun
	if err := s.db.readJSON(ctx, &run, "SELECT data FROM batch_runs WHERE id = $1", id); err != nil {
		return run, notFound("run", id, err)
	}
	return s.counted(ctx, run)
}

// counted fills in the counts of a run.
func (s *Batches) counted(ctx context.Context, run glovebox.BatchRun) (glovebox.BatchRun, error) {
	counts, err := s.db.counts(ctx, "SELECT state, count(*) FROM batch_workspaces WHERE run = $1 GROUP BY state", run.ID)
	if err != nil {
		return run, err
	}
	run.Workspaces = typed[glovebox.State](counts)
	err = s.db.queryRow(ctx, "SELECT count(*) FROM batch_specs WHERE run = $1", []any{run.ID}, &run.Changesets)
	if err != nil {
		return run, fmt.Errorf("count changesets of run: %w", err)
	}
	return run, nil
}

// RunsOf implements changeset.Store.
func (s *Batches) RunsOf(ctx context.Context, batchChange string, limit int) ([]glovebox.BatchRun, error) {
	return s.runs(ctx, "SELECT data FROM batch_runs WHERE batch_change = $1 ORDER BY created_at DESC, id DESC LIMIT "+strconv.Itoa(limit), batchChange)
}

// OpenRuns implements changeset.Store.
func (s *Batches) OpenRuns(ctx context.Context) ([]glovebox.BatchRun, error) {
	return s.runs(ctx, "SELECT data FROM batch_runs WHERE state IN ('resolving', 'processing') ORDER BY created_at, id")
}

func (s *Batches) runs(ctx context.Context, query string, args ...any) ([]glovebox.BatchRun, error) {
	var runs []glovebox.BatchRun
	err := s.db.each(ctx, func(data []byte) error {
		var run glovebox.BatchRun
		if err := json.Unmarshal(data, &run); err != nil {
			return err
		}
		runs = append(runs, run)
		return nil
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	for i := range runs {
		if runs[i], err = s.counted(ctx, runs[i]); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// UpdateRun implements changeset.Store.
func (s *Batches) UpdateRun(ctx context.Context, id string, change func(*glovebox.BatchRun) error) (glovebox.BatchRun, error) {
	var run glovebox.BatchRun
	err := s.db.write(ctx, func(t *tx) error {
		var err error
		run, err = t.updateRun(id, change)
		return err
	})
	return run, err
}

func (t *tx) updateRun(id string, change func(*glovebox.BatchRun) error) (glovebox.BatchRun, error) {
	var run glovebox.BatchRun
	if err := t.readJSON(&run, "SELECT data FROM batch_runs WHERE id = $1", id); err != nil {
		return run, notFound("run", id, err)
	}
	if err := change(&run); err != nil {
		return run, err
	}
	data, err := json.Marshal(bare(run))
	if err != nil {
		return run, fmt.Errorf("encode run: %w", err)
	}
	if err := t.exec("UPDATE batch_runs SET state = $2, data = $3 WHERE id = $1", id, run.State, string(data)); err != nil {
		return run, fmt.Errorf("update run: %w", err)
	}
	return run, nil
}

// typed gives the keys of counts their type; nil when there are none.
func typed[S ~string](counts map[string]int) map[S]int {
	if len(counts) == 0 {
		return nil
	}
	out := make(map[S]int, len(counts))
	for state, n := range counts {
		out[S(state)] = n
	}
	return out
}

// counts reads rows of a text and a number.
func (db *DB) counts(ctx context.Context, query string, args ...any) (map[string]int, error) {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var key string
		var n int
		if err := rows.Scan(&key, &n); err != nil {
			return nil, fmt.Errorf("count: %w", err)
		}
		counts[key] = n
	}
	return counts, rows.Err()
}
