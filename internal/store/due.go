package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/glovebox-dev/glovebox/internal/queue"
)

// Due implements queue.Store.
func (s *Jobs) Due(ctx context.Context, now time.Time, limit int) (ids []string, next time.Time, err error) {
	var ends, ready sql.NullInt64
	err = s.db.queryRow(ctx, `SELECT
		(SELECT min(lease_expires) FROM jobs WHERE state = 'processing' AND lease_expires > $1),
		(SELECT min(not_before) FROM jobs WHERE state = 'queued' AND not_before > 0 AND not_before > $1)`,
		[]any{millis(now)}, &ends, &ready)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("find next lease's end: %w", err)
	}
	for _, ms := range []sql.NullInt64{ends, ready} {
		if ms.Valid && (next.IsZero() || fromMillis(ms.Int64).Before(next)) {
			next = fromMillis(ms.Int64)
		}
	}
	rows, err := s.db.query(ctx, `SELECT id FROM jobs WHERE state = 'processing' AND lease_expires <= $1
		ORDER BY lease_expires LIMIT $2`, millis(now), limit)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("find overdue leases: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, time.Time{}, fmt.Errorf("read overdue lease: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, next, rows.Err()
}

// Stats implements queue.Store. It reads an index alone.
func (s *Jobs) Stats(ctx context.Context) (queue.Stats, error) {
	var stats queue.Stats
	rows, err := s.db.query(ctx, "SELECT state, queue, count(*) FROM jobs GROUP BY state, queue ORDER BY state, queue")
	if err != nil {
		return queue.Stats{}, fmt.Errorf("count jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c queue.Count
		if err := rows.Scan(&c.State, &c.Queue, &c.Jobs); err != nil {
			return queue.Stats{}, fmt.Errorf("read count: %w", err)
		}
		stats.Counts = append(stats.Counts, c)
	}
	if err := rows.Err(); err != nil {
		return queue.Stats{}, err
	}
	var oldest sql.NullInt64
	if err := s.db.queryRow(ctx, "SELECT min(created_at) FROM jobs WHERE state = 'queued'", nil, &oldest); err != nil {
		return queue.Stats{}, fmt.Errorf("find oldest queued job: %w", err)
	}
	if oldest.Valid {
		stats.OldestQueued = fromMillis(oldest.Int64)
	}
	return stats, nil
}
