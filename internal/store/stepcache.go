package store

import (
	"context"
	"fmt"
	"time"

	"github.com/glovebox-dev/glovebox/internal/stepstore"
)

// StepCache keeps what there is in the step cache.
type StepCache struct{ db *DB }

// NewStepCache returns the step cache's entries in db.
func NewStepCache(db *DB) *StepCache { return &StepCache{db} }

var _ stepstore.Rows = (*StepCache)(nil)

// cacheUseInterval is how exactly the last use is kept: writing it each time would make every read a write.
const cacheUseInterval = time.Minute

// Use implements stepstore.Rows.
func (s *StepCache) Use(ctx context.Context, tenant, key string, now time.Time) (stepstore.Entry, error) {
	e := stepstore.Entry{Key: key}
	var used int64
	err := s.db.queryRow(ctx, "SELECT size, used_at FROM step_cache WHERE tenant = $1 AND key = $2", []any{tenant, key}, &e.Size, &used)
	if err != nil {
		return e, notFound("step cache entry", key, err)
	}
	if now.Sub(fromMillis(used)) < cacheUseInterval {
		return e, nil
	}
	err = s.db.write(ctx, func(t *tx) error {
		return t.exec("UPDATE step_cache SET used_at = $3 WHERE tenant = $1 AND key = $2", tenant, key, millis(now))
	})
	if err != nil {
		return e, fmt.Errorf("mark step cache entry as used: %w", err)
	}
	return e, nil
}

// Put implements stepstore.Rows.
func (s *StepCache) Put(ctx context.Context, tenant string, e stepstore.Entry, now time.Time) error {
	return s.db.write(ctx, func(t *tx) error {
		return t.exec(`INSERT INTO step_cache (tenant, key, size, used_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (tenant, key) DO UPDATE SET size = excluded.size, used_at = excluded.used_at`, tenant, e.Key, e.Size, millis(now))
	})
}

// oldestQuery sums sizes from the entry used last, and lists those beyond the bound.
const oldestQuery = `SELECT key, size FROM (
		SELECT key, size, used_at, sum(size) OVER (ORDER BY used_at DESC, key DESC) AS upto FROM step_cache WHERE tenant = $1
	) AS e WHERE upto > $2 ORDER BY used_at, key`

// Oldest implements stepstore.Rows.
func (s *StepCache) Oldest(ctx context.Context, tenant string, bound int64) ([]stepstore.Entry, error) {
	var total int64
	err := s.db.queryRow(ctx, "SELECT coalesce(sum(size), 0) FROM step_cache WHERE tenant = $1", []any{tenant}, &total)
	if err != nil || total <= bound {
		return nil, err
	}
	rows, err := s.db.query(ctx, oldestQuery, tenant, bound)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []stepstore.Entry
	for rows.Next() {
		var e stepstore.Entry
		if err := rows.Scan(&e.Key, &e.Size); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// Delete implements stepstore.Rows.
func (s *StepCache) Delete(ctx context.Context, tenant, key string) error {
	return s.db.write(ctx, func(t *tx) error {
		return t.exec("DELETE FROM step_cache WHERE tenant = $1 AND key = $2", tenant, key)
	})
}
