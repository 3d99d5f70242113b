package executor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/logs"
	"github.com/glovebox-dev/glovebox/internal/workspace"
)

// LocalLease makes the lease of a job that runs here with no server: its repository may be a
// path or a URL, and is resolved to a commit. Notes are for the user.
func LocalLease(ctx context.Context, id string, spec glovebox.JobSpec, secrets map[string]string) (lease glovebox.Lease, notes []string, err error) {
	lease = glovebox.Lease{LeaseRef: glovebox.LeaseRef{JobID: id, Attempt: 1}, Secrets: secrets}
	if spec.Repo != nil {
		resolved, err := workspace.Resolve(ctx, spec.Repo.Name, spec.Repo.Rev)
		if err != nil {
			return lease, nil, err
		}
		repo := *spec.Repo
		repo.Commit = resolved.Commit
		spec.Repo, lease.CloneURL, notes = &repo, resolved.URL, resolved.Notes
	}
	lease.Job = glovebox.Job{ID: id, Tenant: glovebox.DefaultTenant, JobSpec: spec, State: glovebox.StateProcessing, Attempt: 1}
	return lease, notes, nil
}

// LocalSource is the source of one local job: its log goes to a sink as it comes, its
// diff to a writer, its outputs into a folder.
type LocalSource struct {
	// Sink shows the log.
	Sink logs.Sink
	// Diff receives the diff, if there is one; may be nil.
	Diff io.Writer
	// Outputs is the folder that outputs are written into; none are kept when empty.
	Outputs string

	mu  sync.Mutex
	end int64
}

var _ Source = (*LocalSource)(nil)

// Claim returns nothing: the job is given to Run.
func (s *LocalSource) Claim(context.Context, glovebox.Offer) ([]glovebox.Lease, error) {
	return nil, nil
}

// Heartbeat holds every lease.
func (s *LocalSource) Heartbeat(_ context.Context, beat glovebox.Beat) (glovebox.BeatReply, error) {
	var reply glovebox.BeatReply
	for _, l := range beat.Leases {
		reply.Leases = append(reply.Leases, glovebox.LeaseStatus{JobID: l.JobID, Attempt: l.Attempt, Verdict: glovebox.LeaseHeld})
	}
	return reply, nil
}

// AppendLog shows the records.
func (s *LocalSource) AppendLog(_ context.Context, _ glovebox.LeaseRef, offset int64, records []byte) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if offset > s.end {
		return s.end, glovebox.ErrOffset
	}
	if skip := s.end - offset; skip < int64(len(records)) {
		for line := range bytes.Lines(records[skip:]) {
			record, err := logs.Decode(line)
			if err != nil {
				return s.end, err
			}
			if err := s.Sink.Write(record); err != nil {
				return s.end, fmt.Errorf("show log: %w: %w", glovebox.ErrLeaseLost, err) // a closed terminal does not come back
			}
			s.end += int64(len(line))
		}
	}
	return s.end, nil
}

// PutArtifact writes a diff or an output to its place.
func (s *LocalSource) PutArtifact(_ context.Context, _ glovebox.LeaseRef, name string, _ int64, r io.Reader) error {
	if name == glovebox.DiffArtifact {
		if s.Diff == nil {
			return nil
		}
		if _, err := io.Copy(s.Diff, r); err != nil {
			return fmt.Errorf("write diff: %w: %w", glovebox.ErrForbidden, err)
		}
		return nil
	}
	name, ok := strings.CutPrefix(name, glovebox.OutputPrefix)
	if !ok || s.Outputs == "" {
		return nil
	}
	if err := writeBeneath(s.Outputs, name, r); err != nil {
		return fmt.Errorf("write output %s: %w: %w", name, glovebox.ErrForbidden, err)
	}
	return nil
}

// writeBeneath writes a file under a name that a step chose, and never outside of dir.
func writeBeneath(dir, name string, r io.Reader) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// Complete accepts the result, which Run also returns.
func (s *LocalSource) Complete(context.Context, glovebox.LeaseRef, glovebox.Result) error { return nil }
