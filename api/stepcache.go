package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// MaxStepCacheEntry bounds an entry of the step cache.
const MaxStepCacheEntry = 96 << 20

// StepCache returns an entry of the caller's tenant; glovebox.ErrNotFound when there is none. An entry is bytes that the
// server does not look into, but for its meta part: what stands before the first newline, which alone is returned
// when metaOnly is set.
func (c *Client) StepCache(ctx context.Context, key string, metaOnly bool) (io.ReadCloser, error) {
	return c.stepCache(ctx, expand(PathStepCache, key), "", metaOnly)
}

// PutStepCache keeps an entry of size bytes. One that is there already stays as it is, unless refresh is set.
func (c *Client) PutStepCache(ctx context.Context, key string, size int64, r io.Reader, refresh bool) error {
	return c.putStepCache(ctx, expand(PathStepCache, key), "", size, r, refresh)
}

// AttemptStepCache is StepCache for the tenant of the attempt's job.
func (c *Client) AttemptStepCache(ctx context.Context, ref glovebox.LeaseRef, key string, metaOnly bool) (io.ReadCloser, error) {
	return c.stepCache(ctx, attemptPath(PathAttemptStepCache, ref, key), ref.Token, metaOnly)
}

// PutAttemptStepCache is PutStepCache for the tenant of the attempt's job.
func (c *Client) PutAttemptStepCache(ctx context.Context, ref glovebox.LeaseRef, key string, size int64, r io.Reader, refresh bool) error {
	return c.putStepCache(ctx, attemptPath(PathAttemptStepCache, ref, key), ref.Token, size, r, refresh)
}

func (c *Client) stepCache(ctx context.Context, path, token string, metaOnly bool) (io.ReadCloser, error) {
	query := url.Values{}
	if metaOnly {
		query.Set("part", "meta")
	}
	resp, err := c.do(ctx, call{method: "GET", path: path, query: query, token: token})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func (c *Client) putStepCache(ctx context.Context, path, token string, size int64, r io.Reader, refresh bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(c.timeout, func() { cancel(errStalled) })
	defer stalled.Stop()
	query := url.Values{}
	if refresh {
		query.Set("refresh", "1")
	}
	resp, err := c.do(ctx, call{method: "PUT", path: path, query: query, token: token, body: progress{r, stalled, c.timeout},
		size: size, contentType: "application/octet-stream"})
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return fmt.Errorf("upload step cache entry: %w", errStalled)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return wantNothing(resp)
}
