package store

import (
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// TestConstraints: the database refuses rows that no rule of the queue makes.
func TestConstraints(t *testing.T) {
	db := openInternal(t)
	insertQueued(t, db, "job", nil)
	const processing = "UPDATE jobs SET state = 'processing', attempt = 1, token_hash = 'x', lease_expires = 1, executor = 'e', started_at = 1"
	for name, statement := range map[string]string{
		"unknown state":           "UPDATE jobs SET state = 'skipped', finished_at = 1",
		"lease without claim":     "UPDATE jobs SET lease_expires = 1",
		"claim without lease":     processing + ", lease_expires = NULL",
		"claim without token":     processing + ", token_hash = ''",
		"claim without attempt":   processing + ", attempt = 0",
		"claim without executor":  processing + ", executor = ''",
		"cancel of nothing":       "UPDATE jobs SET cancel_requested = 1",
		"end without time":        "UPDATE jobs SET state = 'failed'",
		"time without end":        "UPDATE jobs SET finished_at = 1",
		"result before the end":   "UPDATE jobs SET result = '{}'",
		"lease of a finished job": processing + ", state = 'completed', finished_at = 1",
		"priority out of range":   "UPDATE jobs SET priority = 101",
	} {
		if err := db.write(t.Context(), func(tx *tx) error { return tx.exec(statement) }); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	insertQueued(t, db, "other", nil)
	err := db.write(t.Context(), func(tx *tx) error { return tx.exec(processing) }) // both with one token
	if err == nil {
		t.Error("two leases with one token: accepted")
	}
}

// insertQueued adds a queued job of the given labels.
func insertQueued(t testing.TB, db *DB, id string, labels map[string]string) {
	t.Helper()
	spec := glovebox.JobSpec{Labels: labels, Steps: []glovebox.Step{{Image: "debian", Run: "true"}}}
	spec.ApplyDefaults()
	err := NewJobs(db).Insert(t.Context(), queue.Record{LastAttempt: 3, Job: glovebox.Job{
		ID: id, Tenant: "acme", JobSpec: spec, State: glovebox.StateQueued, CreatedAt: time.UnixMilli(1),
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
}
