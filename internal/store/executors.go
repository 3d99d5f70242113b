package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/glovebox-dev/glovebox"
)

// Executors keeps what executors last said of themselves.
type Executors struct{ db *DB }

// NewExecutors returns the executors of db.
func NewExecutors(db *DB) *Executors { return &Executors{db} }

const executorColumns = "name, beat, active, drain_asked, first_seen, last_seen"

// Beat records a heartbeat of an executor that holds active jobs, and reports whether an admin asked it to drain.
func (s *Executors) Beat(ctx context.Context, beat glovebox.Beat, active int) (drainAsked bool, err error) {
	name := beat.Executor
	// Only the executor's own condition is kept: leases carry tokens, events are on the jobs' timelines.
	text, err := json.Marshal(glovebox.Beat{Version: beat.Version, Labels: beat.Labels, Runtimes: beat.Runtimes,
		Queues: beat.Queues, Slots: beat.Slots, Draining: beat.Draining})
	if err != nil {
		return false, fmt.Errorf("encode heartbeat: %w", err)
	}
	now := millis(s.db.now())
	err = s.db.write(ctx, func(t *tx) error {
		return t.queryRow(`INSERT INTO executors (name, beat, active, first_seen, last_seen) VALUES ($1, $2, $3, $4, $4)
			ON CONFLICT (name) DO UPDATE SET beat = excluded.beat, active = excluded.active, last_seen = excluded.last_seen
			RETURNING drain_asked`, []any{name, string(text), active, now}, &drainAsked)
	})
	if err != nil {
		return false, fmt.Errorf("record heartbeat of executor %q: %w", name, err)
	}
	return drainAsked, nil
}

// List returns all executors, by name.
func (s *Executors) List(ctx context.Context) ([]glovebox.Executor, error) {
	rows, err := s.db.query(ctx, "SELECT "+executorColumns+" FROM executors ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list executors: %w", err)
	}
	defer rows.Close()
	var executors []glovebox.Executor
	for rows.Next() {
		e, err := scanExecutor(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read executor: %w", err)
		}
		executors = append(executors, e)
	}
	return executors, rows.Err()
}

// Get returns an executor; glovebox.ErrNotFound when it was never heard of.
func (s *Executors) Get(ctx context.Context, name string) (glovebox.Executor, error) {
	e, err := scanExecutor(func(dest ...any) error {
		return s.db.queryRow(ctx, "SELECT "+executorColumns+" FROM executors WHERE name = $1", []any{name}, dest...)
	})
	return e, notFound("executor", name, err)
}

// SetDrain asks an executor to drain, or no longer; it hears of it with its next heartbeat.
func (s *Executors) SetDrain(ctx context.Context, name string, drain bool) error {
	return s.db.write(ctx, func(t *tx) error {
		var got string
		err := t.queryRow("UPDATE executors SET drain_asked = $1 WHERE name = $2 RETURNING name", []any{truth(drain), name}, &got)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("executor", name, err)
		}
		if err != nil {
			return fmt.Errorf("set drain of executor %q: %w", name, err)
		}
		return nil
	})
}

// scanExecutor reads executorColumns.
func scanExecutor(scan scanner) (glovebox.Executor, error) {
	var e glovebox.Executor
	var text []byte
	var first, last int64
	if err := scan(&e.Name, &text, &e.Active, &e.DrainAsked, &first, &last); err != nil {
		return glovebox.Executor{}, err
	}
	var beat glovebox.Beat
	if err := json.Unmarshal(text, &beat); err != nil {
		return glovebox.Executor{}, fmt.Errorf("decode heartbeat of executor %q: %w", e.Name, err)
	}
	e.Version, e.Labels, e.Runtimes, e.Queues = beat.Version, beat.Labels, beat.Runtimes, beat.Queues
	e.Slots, e.Draining = beat.Slots, beat.Draining
	e.FirstSeen, e.LastSeen = fromMillis(first), fromMillis(last)
	return e, nil
}
