package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/stepcache"
)

// attemptSteps is the server's step cache as an attempt of a job may use it.
func attemptSteps(c *api.Client, lease glovebox.Lease) stepcache.Store {
	return remoteSteps{
		get: func(ctx context.Context, key string) (io.ReadCloser, error) {
			return c.AttemptStepCache(ctx, lease.LeaseRef, key, false)
		},
		put: func(ctx context.Context, key string, size int64, r io.Reader) error {
			return c.PutAttemptStepCache(ctx, lease.LeaseRef, key, size, r, lease.Job.StepCache == glovebox.StepCacheRefresh)
		},
	}
}

// userSteps is the server's step cache as a user may use it.
func userSteps(c *api.Client, refresh bool) stepcache.Store {
	return remoteSteps{
		get: func(ctx context.Context, key string) (io.ReadCloser, error) { return c.StepCache(ctx, key, false) },
		put: func(ctx context.Context, key string, size int64, r io.Reader) error {
			return c.PutStepCache(ctx, key, size, r, refresh)
		},
	}
}

// remoteSteps is a step cache behind an API.
type remoteSteps struct {
	get func(ctx context.Context, key string) (io.ReadCloser, error)
	put func(ctx context.Context, key string, size int64, r io.Reader) error
}

func (r remoteSteps) Get(ctx context.Context, key string) (stepcache.Entry, io.ReadCloser, error) {
	body, err := r.get(ctx, key)
	if err != nil {
		return stepcache.Entry{}, nil, err
	}
	e, diff, err := stepcache.Decode(body)
	if err != nil {
		return stepcache.Entry{}, nil, errors.Join(err, body.Close())
	}
	return e, struct {
		io.Reader
		io.Closer
	}{diff, body}, nil
}

// Put spools the entry: its size is told before its bytes.
func (r remoteSteps) Put(ctx context.Context, key string, e stepcache.Entry, diff io.Reader) error {
	spool, err := os.CreateTemp("", "glovebox-step-")
	if err != nil {
		return fmt.Errorf("spool step result: %w", err)
	}
	defer spool.Close()
	defer os.Remove(spool.Name())
	if err := stepcache.Encode(spool, e, diff); err != nil {
		return err
	}
	size, err := spool.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("spool step result: %w", err)
	}
	return r.put(ctx, key, size, spool)
}

// sharedSteps is the user's own step cache with a server's behind it.
type sharedSteps struct {
	*stepcache.Folder
	behind stepcache.Store
	log    *slog.Logger
}

var (
	_ stepcache.Store   = sharedSteps{}
	_ stepcache.History = sharedSteps{}
)

// Get looks here, then at the server, whose entry is kept here.
func (s sharedSteps) Get(ctx context.Context, key string) (stepcache.Entry, io.ReadCloser, error) {
	e, diff, err := s.Folder.Get(ctx, key)
	if !errors.Is(err, glovebox.ErrNotFound) {
		return e, diff, err
	}
	e, diff, rerr := s.behind.Get(ctx, key)
	if rerr != nil {
		if !errors.Is(rerr, glovebox.ErrNotFound) {
			s.log.Warn("read the server's step cache", "error", rerr)
		}
		return e, nil, err
	}
	err = s.Folder.Put(ctx, key, e, diff)
	if err = errors.Join(err, diff.Close()); err != nil {
		return stepcache.Entry{}, nil, err
	}
	return s.Folder.Get(ctx, key)
}

// Put keeps the entry here, and at the server as well as it can.
func (s sharedSteps) Put(ctx context.Context, key string, e stepcache.Entry, diff io.Reader) error {
	if err := s.Folder.Put(ctx, key, e, diff); err != nil {
		return err
	}
	_, again, err := s.Folder.Get(ctx, key)
	if err == nil {
		err = errors.Join(s.behind.Put(ctx, key, e, again), again.Close())
	}
	if err != nil {
		s.log.Warn("write to the server's step cache", "error", err)
	}
	return nil
}
