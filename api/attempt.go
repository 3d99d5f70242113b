package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// Claim asks for jobs and waits up to offer.Wait for one. It uses the client's token, an executor's.
func (c *Client) Claim(ctx context.Context, offer glovebox.Offer) ([]glovebox.Lease, error) {
	var out Leases
	err := c.json(ctx, "POST", PathExecutorClaim, nil, "", offer, &out, time.Duration(offer.Wait))
	return out.Leases, err
}

// Heartbeat extends leases. It uses the client's token, an executor's.
func (c *Client) Heartbeat(ctx context.Context, beat glovebox.Beat) (glovebox.BeatReply, error) {
	return c.HeartbeatWait(ctx, beat, 0)
}

// HeartbeatWait extends leases at once and then holds the reply back for up to wait
// (at most 30 s) until a lease is canceled or lost or drain is asked.
func (c *Client) HeartbeatWait(ctx context.Context, beat glovebox.Beat, wait time.Duration) (glovebox.BeatReply, error) {
	values := url.Values{}
	if wait > 0 {
		values.Set("wait", wait.String())
	}
	var out glovebox.BeatReply
	err := c.json(ctx, "POST", PathExecutorBeat, values, "", beat, &out, wait)
	return out, err
}

func attemptPath(pattern string, ref glovebox.LeaseRef, more ...string) string {
	return expand(pattern, append([]string{ref.JobID, strconv.Itoa(ref.Attempt)}, more...)...)
}

// AppendLog appends encoded records at offset and returns the log's end, with glovebox.ErrOffset too.
func (c *Client) AppendLog(ctx context.Context, ref glovebox.LeaseRef, offset int64, records []byte) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.do(ctx, call{
		method: "POST", path: attemptPath(PathAttemptLog, ref), query: url.Values{"offset": {strconv.FormatInt(offset, 10)}},
		token: ref.Token, body: bytes.NewReader(records), size: int64(len(records)), contentType: "application/x-ndjson",
	})
	if at, ok := errors.AsType[*offsetError](err); ok {
		return at.end, err
	}
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var out AppendReply
	if err := decode(resp.Body, &out); err != nil {
		return 0, err
	}
	return out.End, nil
}

// PutArtifact stores the size bytes of r under name. It takes as long as bytes get through: the client's
// time-out is for each step of it.
func (c *Client) PutArtifact(ctx context.Context, ref glovebox.LeaseRef, name string, size int64, r io.Reader) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(c.timeout, func() { cancel(errStalled) })
	defer stalled.Stop()
	resp, err := c.do(ctx, call{
		method: "PUT", path: attemptPath(PathAttemptArtifact, ref, name),
		token: ref.Token, body: progress{r, stalled, c.timeout}, size: size, contentType: "application/octet-stream",
	})
	if errors.Is(context.Cause(ctx), errStalled) && err != nil {
		return fmt.Errorf("upload %s: %w", name, errStalled)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return wantNothing(resp)
}

var errStalled = errors.New("nothing got through to the server for too long")

// progress puts a timer off with each read.
type progress struct {
	io.Reader
	timer *time.Timer
	by    time.Duration
}

func (p progress) Read(b []byte) (int, error) {
	p.timer.Reset(p.by)
	return p.Reader.Read(b)
}

// Complete reports the attempt's result.
func (c *Client) Complete(ctx context.Context, ref glovebox.LeaseRef, result glovebox.Result) error {
	return c.json(ctx, "POST", attemptPath(PathAttemptCompleted, ref), nil, ref.Token, result, nil, 0)
}
