package web

import (
	"context"
	"net/http"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// batchEvery is how often a page of batch changes is looked at for what no job tells: what code hosts do.
const batchEvery = 3 * time.Second

// streamBatchChanges tells the list of batch changes when to look again.
func (s *site) streamBatchChanges(w http.ResponseWriter, r *http.Request, v *visitor) error {
	filter := changeset.Filter{Tenant: tenantOf(v.token.Tenant)}
	if v.may(glovebox.RoleAdmin) {
		filter.Tenant = ""
	}
	return s.streamChanges(w, r, v, func(ctx context.Context) <-chan struct{} {
		return s.watchBatches(ctx, func() (string, error) {
			changes, _, err := s.Batches.BatchChanges(ctx, filter)
			seen := []any{changes}
			for _, change := range changes {
				if change.LatestRun == "" || err != nil {
					continue
				}
				var run glovebox.BatchRun
				run, err = s.Batches.RunOf(ctx, change.LatestRun)
				seen = append(seen, run)
			}
			return digest(seen), err
		})
	})
}

// streamBatchChange tells the pages of a batch change when to look again.
func (s *site) streamBatchChange(w http.ResponseWriter, r *http.Request, v *visitor) error {
	change, err := s.batchChange(r, v)
	if err != nil {
		return err
	}
	filter := changeset.Filter{Tenant: change.Tenant, Name: change.Name, Limit: 1}
	return s.streamChanges(w, r, v, func(ctx context.Context) <-chan struct{} {
		return s.watchBatches(ctx, func() (string, error) {
			changes, _, err := s.Batches.BatchChanges(ctx, filter)
			if err != nil {
				return "", err
			}
			runs, err := s.Batches.RunsOf(ctx, change.ID)
			if err != nil {
				return "", err
			}
			changesets, err := s.Batches.ChangesetsOf(ctx, change.ID)
			return digest([]any{changes, runs, changesets}), err
		})
	})
}

// watchBatches delivers a token when what look returns is another text than before: it looks after
// changes of jobs, and every batchEvery. It ends with ctx, or when look fails.
func (s *site) watchBatches(ctx context.Context, look func() (string, error)) <-chan struct{} {
	out := make(chan struct{}, 1)
	jobs := s.Jobs.Watch(ctx, "")
	go func() {
		defer close(out)
		ticker := time.NewTicker(batchEvery)
		defer ticker.Stop()
		last := ""
		for {
			text, err := look()
			if err != nil {
				if ctx.Err() == nil {
					s.Logger.Warn("watch batch changes", "error", err)
				}
				return
			}
			if text != last && last != "" {
				select {
				case out <- struct{}{}:
				default: // one is waiting
				}
			}
			last = text
			select {
			case <-ctx.Done():
				return
			case _, open := <-jobs:
				if !open {
					return
				}
				pause(ctx, listEvery)
			case <-ticker.C:
			}
		}
	}()
	return out
}
