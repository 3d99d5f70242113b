package store_test

import (
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
	"github.com/glovebox-dev/glovebox/internal/changeset/changesettest"
	"github.com/glovebox-dev/glovebox/internal/queue"
	"github.com/glovebox-dev/glovebox/internal/stepstore"
	"github.com/glovebox-dev/glovebox/internal/store"
)

func TestBatches(t *testing.T) {
	changesettest.Run(t, func(t *testing.T) (changeset.Store, func(string) error) {
		db := open(t)
		jobs := queue.New(store.NewJobs(db), queue.Options{})
		return store.NewBatches(db), func(id string) error {
			_, err := jobs.SubmitAs(t.Context(), id, "a", "user:a", glovebox.JobSpec{Steps: []glovebox.Step{{Image: "host", Run: "true"}}})
			return err
		}
	})
}

func TestStepCacheOldest(t *testing.T) {
	rows := store.NewStepCache(open(t))
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, key := range []string{"a", "b", "c", "d"} {
		if err := rows.Put(t.Context(), "x", stepstore.Entry{Key: key, Size: 10}, now.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Put(t.Context(), "y", stepstore.Entry{Key: "a", Size: 1000}, now); err != nil {
		t.Fatal(err)
	}
	if _, err := rows.Use(t.Context(), "x", "a", now.Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	list, err := rows.Oldest(t.Context(), "x", 25)
	if err != nil || len(list) != 2 || list[0].Key != "b" || list[1].Key != "c" {
		t.Errorf("oldest %v, %v", list, err)
	}
	if list, err := rows.Oldest(t.Context(), "x", 40); err != nil || len(list) != 0 {
		t.Errorf("within the bound: %v, %v", list, err)
	}
}
