package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/workspace"
)

// artifact is something to upload.
type artifact struct {
	name string
	size int64
	open func() (io.ReadCloser, error)
}

// Bounds on the ends of a job.
const (
	collectFor  = 10 * time.Minute
	closeFor    = 30 * time.Second
	shutdownFor = 5 * time.Second
)

// collect reads back what the steps left: the diff and the outputs.
func (a *attempt) collect(ctx context.Context) error {
	ctx, span := a.deps.Tracer.Start(ctx, "collect")
	defer span.End()
	// A tree can be made to be read slowly: another attempt would take as long.
	ctx, cancel := context.WithTimeoutCause(ctx, collectFor, &stepFault{fmt.Sprintf("reading the diff and the outputs took longer than %s", collectFor)})
	defer cancel()
	diff, changes := a.progress.diff, a.progress.changes
	if !a.done {
		if err := a.sandbox.Sync(ctx); err != nil {
			return fmt.Errorf("sync sandbox: %w", err)
		}
		left, notes, err := a.tree.Diff(ctx, a.deps.MaxDiff)
		a.notes(notes)
		if err != nil {
			return blame(err)
		}
		if diff = fileDiff(left); left != nil {
			changes = left.Changes
		}
	}
	a.describe(diff, changes)
	if a.done {
		return nil
	}
	outputs, notes, err := a.tree.Outputs(ctx, a.lease.Job.Outputs, a.deps.Outputs)
	a.notes(notes)
	if err != nil {
		return blame(err)
	}
	a.result.Outputs = outputs
	for _, o := range outputs {
		a.artifacts = append(a.artifacts, artifact{glovebox.OutputPrefix + o.Name, o.Size, func() (io.ReadCloser, error) { return a.tree.OpenOutput(o) }})
	}
	return nil
}

// maxChanges bounds the names of changed files in a result, as JSON.
const maxChanges = 512 << 10

// describe fills the result with what the job left.
func (a *attempt) describe(diff *diffFile, changes glovebox.Changes) {
	if diff != nil {
		a.result.Diff = &diff.Diff
		a.artifacts = append(a.artifacts, artifact{glovebox.DiffArtifact, diff.Size, diff.open})
	}
	if a.lease.Job.Template == nil {
		return
	}
	a.result.Values = a.progress.outputs
	if text, err := json.Marshal(changes); err == nil && len(text) <= maxChanges {
		a.result.Changes = &changes
	}
}

func (a *attempt) notes(notes []string) {
	for _, n := range notes {
		a.remark("", "%s", n)
	}
}

// blame marks what the steps are to blame for.
func blame(err error) error {
	var fault *workspace.Fault
	if errors.As(err, &fault) {
		return &stepFault{fault.Reason}
	}
	return err
}

// deliver uploads artifacts and log and reports the result, through outages of the far
// side, unless the lease is lost. Cancellation of the job does not end it.
func (a *attempt) deliver(ctx context.Context) {
	cause := context.Cause(ctx)
	ctx, span := a.deps.Tracer.Start(context.WithoutCancel(ctx), "deliver")
	defer span.End()
	limit := a.deps.DeliverFor
	if errors.Is(cause, glovebox.ErrShutdown) {
		limit = shutdownFor
	}
	if errors.Is(cause, glovebox.ErrLeaseLost) {
		limit = 0
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// An executor that is told to stop may be delivering already.
	defer context.AfterFunc(a.deps.stop, func() {
		pause(ctx, shutdownFor, nil)
		cancel()
	})()
	log := a.deps.Logger.With("job", a.lease.JobID, "attempt", a.lease.Attempt)
	if limit == 0 {
		a.artifacts = nil
	}
	for _, art := range a.artifacts {
		if err := a.retry(ctx, "upload "+art.name, func(ctx context.Context) error { return a.upload(ctx, art) }); err != nil {
			if errors.Is(err, glovebox.ErrLeaseLost) || ctx.Err() != nil {
				break
			}
			a.result.State, a.result.Reason = glovebox.StateErrored, a.redactor.Text(fmt.Sprintf("upload %s: %v", art.name, err))
			a.remark("", "%s: %s", a.result.State, a.result.Reason)
		}
	}
	if a.batch != nil {
		if err := a.batch.Close(ctx); err != nil {
			log.Warn("deliver log", "error", err)
		}
	}
	if limit == 0 {
		return
	}
	a.deps.Flush(ctx, a.lease.LeaseRef)
	err := a.retry(ctx, "complete", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, answerFor)
		defer cancel()
		return a.deps.Source.Complete(ctx, a.lease.LeaseRef, a.result)
	})
	if err != nil {
		log.Error("report result", "state", a.result.State, "error", err)
		a.deps.Metrics.undelivered()
	}
}

func (a *attempt) upload(ctx context.Context, art artifact) error {
	r, err := art.open()
	if err != nil {
		return err
	}
	defer r.Close()
	return a.deps.Source.PutArtifact(ctx, a.lease.LeaseRef, art.name, art.size, r)
}

// retry repeats f until it succeeds, is refused for good, or ctx ends.
func (a *attempt) retry(ctx context.Context, what string, f func(context.Context) error) error {
	for n := 1; ; n++ {
		err := f(ctx)
		if err == nil || final(err) {
			return err
		}
		if ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		a.deps.Logger.Warn(what, "job", a.lease.JobID, "try", n, "error", err)
		a.deps.Wait(ctx, n)
	}
}

// close ends the sandbox, before the result is reported: a job that is over leaves nothing running.
func (a *attempt) close() {
	if a.sandbox == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeFor)
	defer cancel()
	if err := a.sandbox.Close(ctx); err != nil {
		a.deps.Logger.Error("close sandbox", "job", a.lease.JobID, "error", err)
	}
	a.sandbox = nil
}

// cleanUp removes what the attempt made, last made first. It runs after every end.
func (a *attempt) cleanUp() {
	a.close()
	var errs []error
	if a.tree != nil {
		errs = append(errs, a.tree.Close())
	}
	for _, release := range a.releases {
		release()
	}
	if a.disk != nil {
		if err := a.disk.Close(); err != nil {
			a.deps.Logger.Error("close disk", "job", a.lease.JobID, "error", err)
			return // what is still mounted must not be walked into
		}
	}
	errs = append(errs, os.RemoveAll(a.dir))
	if err := errors.Join(errs...); err != nil {
		a.deps.Logger.Warn("remove job folder", "job", a.lease.JobID, "error", err)
	}
}
