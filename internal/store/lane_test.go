package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// TestEmptyLanesGo: kinds of jobs that come and go leave few lanes behind, and a job that returns
// to a lane that went is found again.
func TestEmptyLanesGo(t *testing.T) {
	db := openInternal(t)
	jobs := NewJobs(db)
	finish := func(id string, state glovebox.State) {
		_, err := jobs.Update(t.Context(), id, func(r *queue.Record) ([]glovebox.Event, error) {
			now := time.UnixMilli(2)
			r.Job.State, r.Job.FinishedAt = state, &now
			if state == glovebox.StateQueued {
				r.Job.FinishedAt = nil
			}
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const kinds = 300
	for i := range kinds {
		id := fmt.Sprint(i)
		insertQueued(t, db, id, map[string]string{"kind": id})
		finish(id, glovebox.StateCanceled)
	}
	if n := count(t, db, "SELECT count(*) FROM lanes"); n > kinds/4 {
		t.Errorf("%d lanes are left of %d, none of which has a job", n, kinds)
	}
	for i := range kinds {
		id := fmt.Sprint(i)
		finish(id, glovebox.StateQueued)
		claimed, err := jobs.Claim(t.Context(), queue.Claim{
			Offer:  glovebox.Offer{Executor: "e", Labels: map[string]string{"kind": id}},
			Grants: []queue.Grant{{TokenHash: id}}, Now: time.UnixMilli(3), Until: time.UnixMilli(4),
		})
		if err != nil || len(claimed) != 1 || claimed[0].ID != id {
			t.Fatalf("claim of kind %s: %v, %v", id, claimed, err)
		}
	}
}
