package store

import (
	"context"
	"fmt"

	"github.com/glovebox-dev/glovebox"
)

// maxRemarks bounds a job's timeline: beyond it an executor's remarks are dropped, transitions never.
const maxRemarks = 5000

// addEvents appends events to a job's timeline.
func (t *tx) addEvents(jobID string, events []glovebox.Event) error {
	if len(events) == 0 {
		return nil
	}
	var last int64
	err := t.queryRow("SELECT coalesce(max(seq), 0) FROM events WHERE job_id = $1", []any{jobID}, &last)
	if err != nil {
		return fmt.Errorf("read timeline: %w", err)
	}
	for _, e := range events {
		if last >= maxRemarks && isRemark(e.Kind) {
			continue
		}
		last++
		err := t.exec("INSERT INTO events (job_id, seq, time, kind, actor, attempt, message) VALUES ($1, $2, $3, $4, $5, $6, $7)",
			jobID, last, millis(e.Time), e.Kind, e.Actor, e.Attempt, e.Message)
		if err != nil {
			return fmt.Errorf("insert event: %w", err)
		}
	}
	return nil
}

// isRemark reports whether an event is an executor's remark rather than a transition.
func isRemark(kind string) bool {
	return kind == glovebox.EventProgress || kind == glovebox.EventStepStarted || kind == glovebox.EventStepFinished ||
		kind == glovebox.EventRefused
}

// timeline reads the events of a job, oldest first.
func (s *Jobs) timeline(ctx context.Context, jobID string) (events []glovebox.Event, err error) {
	rows, err := s.db.query(ctx, "SELECT time, kind, actor, attempt, message FROM events WHERE job_id = $1 ORDER BY seq", jobID)
	if err != nil {
		return nil, fmt.Errorf("read timeline: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e glovebox.Event
		var ms int64
		if err := rows.Scan(&ms, &e.Kind, &e.Actor, &e.Attempt, &e.Message); err != nil {
			return nil, fmt.Errorf("read event: %w", err)
		}
		e.Time = fromMillis(ms)
		events = append(events, e)
	}
	return events, rows.Err()
}
