package api

import (
	"bytes"
	"context"
	"errors"
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

// PutArtifact stores the size bytes of r under name. The caller's ctx bounds it.
func (c *Client) PutArtifact(ctx context.Context, ref glovebox.LeaseRef, name string, size int64, r io.Reader) error {
	resp, err := c.do(ctx, call{
		method: "PUT", path: attemptPath(PathAttemptArtifact, ref, name),
		token: ref.Token, body: r, size: size, contentType: "application/octet-stream",
	})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Complete reports the attempt's result.
func (c *Client) Complete(ctx context.Context, ref glovebox.LeaseRef, result glovebox.Result) error {
	return c.json(ctx, "POST", attemptPath(PathAttemptCompleted, ref), nil, ref.Token, result, nil, 0)
}
