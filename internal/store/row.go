package store

import (
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// jobColumns are the columns that scanJob reads, in its order.
const jobColumns = `id, tenant, state, created_at, not_before, attempt, last_attempt, cancel_requested, executor,
	token_hash, lease_expires, started_at, finished_at, result_hash, reason, submitted_by, spec, result`

// scanner is a row: *sql.Row, *sql.Rows or the scan of a prepared statement.
type scanner func(dest ...any) error

// scanJob reads jobColumns.
func scanJob(scan scanner) (queue.Record, error) {
	var r queue.Record
	var created, notBefore int64
	var expires, started, finished sql.NullInt64
	var spec []byte
	var result sql.Null[[]byte]
	j := &r.Job
	err := scan(&j.ID, &j.Tenant, &j.State, &created, &notBefore, &j.Attempt, &r.LastAttempt, &j.CancelRequested, &j.Executor,
		&r.TokenHash, &expires, &started, &finished, &r.ResultHash, &j.Reason, &j.SubmittedBy, &spec, &result)
	if err != nil {
		return queue.Record{}, err
	}
	if err := json.Unmarshal(spec, &j.JobSpec); err != nil {
		return queue.Record{}, fmt.Errorf("decode spec of job %s: %w", j.ID, err)
	}
	if result.Valid {
		j.Result = new(glovebox.Result)
		if err := json.Unmarshal(result.V, j.Result); err != nil {
			return queue.Record{}, fmt.Errorf("decode result of job %s: %w", j.ID, err)
		}
	}
	j.CreatedAt = fromMillis(created)
	if notBefore > 0 {
		t := fromMillis(notBefore)
		j.NotBefore = &t
	}
	j.StartedAt, j.FinishedAt = fromNullMillis(started), fromNullMillis(finished)
	if expires.Valid {
		r.LeaseExpires = fromMillis(expires.Int64)
	}
	return r, nil
}
