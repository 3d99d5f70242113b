package store_test

import (
	"path/filepath"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
	"github.com/glovebox-dev/glovebox/internal/store"
)

// open opens a fresh database that is closed with the test.
func open(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "queue ?#%.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	return db
}

func TestLifeOfAJob(t *testing.T) {
	q := queue.New(store.NewJobs(open(t)), queue.Options{})
	ctx := t.Context()
	job, err := q.Submit(ctx, "", "user:ada", glovebox.JobSpec{
		Files: []glovebox.File{{Path: "a", Content: "b"}},
		Steps: []glovebox.Step{{Image: "host", Run: "true"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	leases, err := q.Claim(ctx, glovebox.Offer{Executor: "e", Max: 2, HostImage: true})
	if err != nil || len(leases) != 1 {
		t.Fatalf("claim: %v, %v", leases, err)
	}
	ref := leases[0].LeaseRef
	if f := leases[0].Job.Files; len(f) != 1 || f[0].Content != "b" {
		t.Errorf("files of the lease: %v", f)
	}
	if got, _, err := q.JobByToken(ctx, ref.Token); err != nil || got.ID != job.ID {
		t.Errorf("job by token: %v, %v", got.ID, err)
	}
	if _, err := q.Complete(ctx, ref, glovebox.Result{State: glovebox.StateCompleted}); err != nil {
		t.Fatal(err)
	}
	got, err := q.Get(ctx, job.ID)
	if err != nil || got.State != glovebox.StateCompleted || len(got.Timeline) != 3 || got.Result == nil {
		t.Errorf("job: %+v, %v", got, err)
	}
}
