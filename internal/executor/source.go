// Package executor runs jobs: it claims them from a Source, lays out the
// workspace, creates the sandbox, runs each step into the log, collects diff and
// outputs and reports the result. It serves any Source (our server, a foreign one,
// one local job) and must not know HTTP, databases or any one runtime.
package executor

import (
	"context"
	"io"

	"github.com/glovebox-dev/glovebox"
)

// Source is where jobs come from and where their logs and results go. Errors
// that wrap glovebox.ErrLeaseLost end the attempt; all others are retried.
type Source interface {
	// Claim returns the leases it got, none after offer.Wait without a job.
	Claim(ctx context.Context, offer glovebox.Offer) ([]glovebox.Lease, error)
	// Heartbeat extends leases and carries cancellation and drain back.
	Heartbeat(ctx context.Context, beat glovebox.Beat) (glovebox.BeatReply, error)
	// AppendLog appends encoded log records at a byte offset of the attempt's log. It
	// returns the log's new end. Bytes before the end that were sent before are
	// skipped, so resending is idempotent; an offset beyond the end is glovebox.ErrOffset,
	// with the end returned.
	AppendLog(ctx context.Context, ref glovebox.LeaseRef, offset int64, records []byte) (int64, error)
	// PutArtifact stores a diff or an output, replacing what has its name.
	PutArtifact(ctx context.Context, ref glovebox.LeaseRef, name string, size int64, r io.Reader) error
	// Complete reports the result. Once accepted, repeating it with the same ref succeeds.
	Complete(ctx context.Context, ref glovebox.LeaseRef, result glovebox.Result) error
}
