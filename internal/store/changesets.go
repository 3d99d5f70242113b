package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// Changeset implements changeset.Store.
func (s *Batches) Changeset(ctx context.Context, id string) (changeset.Changeset, error) {
	var c changeset.Changeset
	err := s.db.readJSON(ctx, &c, "SELECT data FROM changesets WHERE id = $1", id)
	return c, notFound("changeset", id, err)
}

const changesetsOfQuery = "SELECT data FROM changesets WHERE batch_change = $1 ORDER BY repo, spec_key"

// ChangesetsOf implements changeset.Store.
func (s *Batches) ChangesetsOf(ctx context.Context, batchChange string) ([]changeset.Changeset, error) {
	var list []changeset.Changeset
	if err := s.db.each(ctx, decodeInto(&list), changesetsOfQuery, batchChange); err != nil {
		return nil, fmt.Errorf("list changesets: %w", err)
	}
	return list, nil
}

func decodeInto(list *[]changeset.Changeset) func([]byte) error {
	return func(data []byte) error {
		var c changeset.Changeset
		if err := json.Unmarshal(data, &c); err != nil {
			return err
		}
		*list = append(*list, c)
		return nil
	}
}

// Apply implements changeset.Store.
func (s *Batches) Apply(ctx context.Context, batchChange string, change func(*glovebox.BatchChange, []changeset.Changeset) ([]changeset.Changeset, error)) error {
	return s.db.write(ctx, func(t *tx) error {
		var of glovebox.BatchChange
		if err := t.readJSON(&of, "SELECT data FROM batch_changes WHERE id = $1", batchChange); err != nil {
			return notFound("batch change", batchChange, err)
		}
		var list []changeset.Changeset
		if err := t.each(decodeInto(&list), changesetsOfQuery, batchChange); err != nil {
			return fmt.Errorf("list changesets: %w", err)
		}
		changed, err := change(&of, list)
		if err != nil {
			return err
		}
		if err := t.putBatchChange(of); err != nil {
			return err
		}
		for _, c := range changed {
			if err := t.putChangeset(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// putChangeset adds a changeset or writes it back.
func (t *tx) putChangeset(c changeset.Changeset) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode changeset: %w", err)
	}
	err = t.exec(`INSERT INTO changesets (id, batch_change, repo, spec_key, branch, external_id, lane, state, next_at, published_at, data)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (id) DO UPDATE SET branch = excluded.branch, external_id = excluded.external_id, lane = excluded.lane,
			state = excluded.state, next_at = excluded.next_at, published_at = excluded.published_at, data = excluded.data`,
		c.ID, c.BatchChange, c.Repo, c.Key, c.Branch, c.ExternalID, c.Lane, c.State, nullMillis(c.NextAt), nullMillis(c.PublishedAt), string(data))
	if err != nil {
		return fmt.Errorf("write changeset: %w", err)
	}
	return nil
}

// UpdateChangeset implements changeset.Store.
func (s *Batches) UpdateChangeset(ctx context.Context, id string, change func(*changeset.Changeset) error) (changeset.Changeset, error) {
	var c changeset.Changeset
	err := s.db.write(ctx, func(t *tx) error {
		c = changeset.Changeset{}
		if err := t.readJSON(&c, "SELECT data FROM changesets WHERE id = $1", id); err != nil {
			return notFound("changeset", id, err)
		}
		if err := change(&c); err != nil {
			return err
		}
		return t.putChangeset(c)
	})
	return c, err
}

const (
	dueLanesQuery = "SELECT DISTINCT lane FROM changesets WHERE next_at IS NOT NULL AND next_at <= $1 ORDER BY lane"
	dueQuery      = "SELECT data FROM changesets WHERE lane = $1 AND next_at IS NOT NULL AND next_at <= $2 ORDER BY next_at LIMIT "
)

// DueLanes implements changeset.Store.
func (s *Batches) DueLanes(ctx context.Context, now time.Time) ([]string, time.Time, error) {
	var lanes []string
	err := s.db.each(ctx, func(lane []byte) error { lanes = append(lanes, string(lane)); return nil }, dueLanesQuery, millis(now))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("look for due changesets: %w", err)
	}
	var next sql.NullInt64
	err = s.db.queryRow(ctx, "SELECT min(next_at) FROM changesets WHERE next_at IS NOT NULL AND next_at > $1", []any{millis(now)}, &next)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("look for due changesets: %w", err)
	}
	if !next.Valid {
		return lanes, time.Time{}, nil
	}
	return lanes, fromMillis(next.Int64), nil
}

// Due implements changeset.Store.
func (s *Batches) Due(ctx context.Context, lane string, now time.Time, limit int) ([]changeset.Changeset, error) {
	var list []changeset.Changeset
	if err := s.db.each(ctx, decodeInto(&list), dueQuery+strconv.Itoa(limit), lane, millis(now)); err != nil {
		return nil, fmt.Errorf("list due changesets: %w", err)
	}
	return list, nil
}

// Wake implements changeset.Store.
func (s *Batches) Wake(ctx context.Context, repo string, meant changeset.Mention, now time.Time) (int, error) {
	n := 0
	err := s.db.write(ctx, func(t *tx) error {
		n = 0
		var list []changeset.Changeset
		err := t.each(decodeInto(&list), "SELECT data FROM changesets WHERE repo = $1 AND next_at IS NOT NULL AND next_at > $2", repo, millis(now))
		if err != nil {
			return fmt.Errorf("look for changesets of %s: %w", repo, err)
		}
		for _, c := range list {
			if !meant.Of(c) {
				continue
			}
			c.NextAt = &now
			if err := t.putChangeset(c); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// PublishedSince implements changeset.Store.
func (s *Batches) PublishedSince(ctx context.Context, since time.Time) (int, time.Time, error) {
	var n int
	var first sql.NullInt64
	err := s.db.queryRow(ctx, "SELECT count(*), min(published_at) FROM changesets WHERE published_at IS NOT NULL AND published_at > $1",
		[]any{millis(since)}, &n, &first)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count published changesets: %w", err)
	}
	if !first.Valid {
		return n, time.Time{}, nil
	}
	return n, fromMillis(first.Int64), nil
}
