package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// Jobs is the queue's store.
type Jobs struct {
	db        *DB
	claimText string
}

// NewJobs returns the jobs of db.
func NewJobs(db *DB) *Jobs { return &Jobs{db: db, claimText: claimQuery(db.dialect)} }

var _ queue.Store = (*Jobs)(nil)

// Insert implements queue.Store.
func (s *Jobs) Insert(ctx context.Context, r queue.Record, events []glovebox.Event) error {
	lane, err := laneOf(r.Job)
	if err != nil {
		return err
	}
	files := r.Job.Files
	r.Job.Files = nil
	spec, err := json.Marshal(r.Job.JobSpec)
	if err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	var filesText []byte
	if len(files) > 0 {
		if filesText, err = json.Marshal(files); err != nil {
			return fmt.Errorf("encode files: %w", err)
		}
	}
	return s.db.write(ctx, func(t *tx) error {
		if err := t.insertJob(r, lane, string(spec)); err != nil {
			return err
		}
		if filesText != nil {
			err := t.exec("INSERT INTO job_files (job_id, files) VALUES ($1, $2)", r.Job.ID, string(filesText))
			if err != nil {
				return fmt.Errorf("insert files: %w", err)
			}
		}
		if err := t.addLane(lane); err != nil {
			return err
		}
		return t.addEvents(r.Job.ID, events)
	})
}

func (t *tx) insertJob(r queue.Record, lane lane, spec string) error {
	j := r.Job
	repo := ""
	if j.Repo != nil {
		repo = j.Repo.Name
	}
	n, err := t.execCount(`INSERT INTO jobs (id, tenant, queue, lane, state, priority, created_at, not_before, cpus, memory, disk,
			attempt, last_attempt, reason, submitted_by, repo, search, spec)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT (id) DO NOTHING`,
		j.ID, j.Tenant, j.Queue, lane.ID, j.State, j.Priority, millis(j.CreatedAt), notBefore(j), j.Limits.CPUs,
		int64(j.Limits.Memory), int64(j.Limits.Disk), j.Attempt, r.LastAttempt, j.Reason, j.SubmittedBy, repo,
		strings.ToLower(j.Name+" "+repo), spec)
	if err != nil {
		return fmt.Errorf("insert job: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("insert job %s, which exists: %w", j.ID, glovebox.ErrConflict)
	}
	return nil
}

// notBefore is 0 for a job that may be handed out at any time.
func notBefore(j glovebox.Job) int64 {
	if j.NotBefore == nil || j.State != glovebox.StateQueued {
		return 0
	}
	return millis(*j.NotBefore)
}

// Update implements queue.Store. Change runs once, inside the transaction.
func (s *Jobs) Update(ctx context.Context, id string, change func(*queue.Record) ([]glovebox.Event, error)) (queue.Record, error) {
	var r queue.Record
	err := s.db.write(ctx, func(t *tx) error {
		var err error
		r, err = scanJob(func(dest ...any) error {
			return t.queryRow("SELECT "+jobColumns+" FROM jobs WHERE id = $1", []any{id}, dest...)
		})
		if err != nil {
			return notFound("job", id, err)
		}
		was := r.Job.State
		events, err := change(&r)
		if err != nil {
			return err
		}
		if err := t.updateJob(r); err != nil {
			return err
		}
		if r.Job.State == glovebox.StateQueued && was != glovebox.StateQueued {
			lane, err := laneOf(r.Job)
			if err == nil {
				err = t.addLane(lane) // it may have been empty, and removed
			}
			if err != nil {
				return err
			}
		}
		return t.addEvents(id, events)
	})
	if err != nil {
		return queue.Record{}, err
	}
	return r, nil
}

func (t *tx) updateJob(r queue.Record) error {
	j := r.Job
	var result, expires any
	if j.Result != nil {
		text, err := json.Marshal(j.Result)
		if err != nil {
			return fmt.Errorf("encode result: %w", err)
		}
		result = string(text)
	}
	if !r.LeaseExpires.IsZero() {
		expires = millis(r.LeaseExpires)
	}
	err := t.exec(`UPDATE jobs SET state = $2, not_before = $3, attempt = $4, last_attempt = $5, cancel_requested = $6,
			executor = $7, token_hash = $8, lease_expires = $9, started_at = $10, finished_at = $11, result_hash = $12,
			reason = $13, result = $14 WHERE id = $1`,
		j.ID, j.State, notBefore(j), j.Attempt, r.LastAttempt, truth(j.CancelRequested), j.Executor, r.TokenHash, expires,
		nullMillis(j.StartedAt), nullMillis(j.FinishedAt), r.ResultHash, j.Reason, result)
	if err != nil {
		return fmt.Errorf("update job: %w", err)
	}
	return nil
}

// Extend implements queue.Store: one transaction for all leases.
func (s *Jobs) Extend(ctx context.Context, leases []queue.Held, until time.Time) ([]glovebox.LeaseStatus, error) {
	statuses := make([]glovebox.LeaseStatus, len(leases))
	err := s.db.write(ctx, func(t *tx) error {
		for i, l := range leases {
			statuses[i] = glovebox.LeaseStatus{JobID: l.JobID, Attempt: l.Attempt, Verdict: glovebox.LeaseGone}
			var canceled bool
			err := t.queryRow(`UPDATE jobs SET lease_expires = $1
				WHERE id = $2 AND attempt = $3 AND token_hash = $4 AND state = 'processing' RETURNING cancel_requested`,
				[]any{millis(until), l.JobID, l.Attempt, l.TokenHash}, &canceled)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				continue
			case err != nil:
				return fmt.Errorf("extend lease of job %s: %w", l.JobID, err)
			}
			statuses[i].Verdict, statuses[i].Expires = glovebox.LeaseHeld, until
			if canceled {
				statuses[i].Verdict = glovebox.LeaseCanceled
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return statuses, nil
}

// Lookup implements queue.Store.
func (s *Jobs) Lookup(ctx context.Context, id string) (queue.Record, error) {
	r, err := scanJob(func(dest ...any) error {
		return s.db.queryRow(ctx, "SELECT "+jobColumns+" FROM jobs WHERE id = $1", []any{id}, dest...)
	})
	return r, notFound("job", id, err)
}

// LookupToken implements queue.Store.
func (s *Jobs) LookupToken(ctx context.Context, tokenHash string) (queue.Record, error) {
	r, err := scanJob(func(dest ...any) error {
		return s.db.queryRow(ctx, "SELECT "+jobColumns+" FROM jobs WHERE token_hash = $1 AND state = 'processing'", []any{tokenHash}, dest...)
	})
	return r, notFound("job of a token", "", err)
}

// Get implements queue.Store.
func (s *Jobs) Get(ctx context.Context, id string) (glovebox.Job, error) {
	r, err := s.Lookup(ctx, id)
	if err != nil {
		return glovebox.Job{}, err
	}
	r.Job.Files, err = readFiles(func(dest ...any) error {
		return s.db.queryRow(ctx, filesQuery, []any{id}, dest...)
	})
	if err != nil {
		return glovebox.Job{}, err
	}
	r.Job.Timeline, err = s.timeline(ctx, id)
	return r.Job, err
}

const filesQuery = "SELECT files FROM job_files WHERE job_id = $1"

// readFiles reads a job's files; nil when it has none.
func readFiles(scan scanner) ([]glovebox.File, error) {
	var text []byte
	err := scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read files: %w", err)
	}
	var files []glovebox.File
	if err := json.Unmarshal(text, &files); err != nil {
		return nil, fmt.Errorf("decode files: %w", err)
	}
	return files, nil
}

// notFound turns "no row" into glovebox.ErrNotFound and names what was looked for in every other error.
func notFound(noun, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%s %q: %w", noun, name, glovebox.ErrNotFound)
	default:
		return fmt.Errorf("read %s %q: %w", noun, name, err)
	}
}
