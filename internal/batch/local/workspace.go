package local

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
	"github.com/glovebox-dev/glovebox/internal/executor"
	"github.com/glovebox-dev/glovebox/internal/logs"
)

// workspace runs the job of one workspace and turns what it came to into an outcome.
func (r *run) workspace(ctx context.Context, i int) (o Outcome) {
	started := r.Now()
	o = Outcome{Workspace: r.summary.Outcomes[i].Workspace}
	defer func() { o.Seconds = r.Now().Sub(started).Seconds() }()
	r.tell(Event{Kind: EventStarted, Workspace: i})
	errored := func(err error) Outcome {
		o.State, o.Reason = glovebox.StateErrored, err.Error()
		return o
	}
	spec, err := r.planner.Plan(o.Workspace)
	if err != nil {
		return errored(err)
	}
	if batch.Idle(spec) {
		o.State, o.Reason = glovebox.StateSkipped, "no step is for this workspace"
		return o
	}
	address, err := r.Repos.address(ctx, o.Workspace)
	if err != nil {
		return errored(err)
	}
	files, err := r.out.open(i)
	if err != nil {
		return errored(err)
	}
	defer files.close()
	result := r.execute(ctx, i, spec, address, files)
	o.State, o.Reason, o.Steps, o.Diff = result.State, result.Reason, result.Steps, result.Diff
	o.Cached = allCached(result.Steps)
	if o.Failed() || r.KeepLogs {
		o.Log = files.keepLog()
	}
	if cause := context.Cause(ctx); errors.Is(cause, ErrFailFast) && o.State == glovebox.StateCanceled {
		o.Reason = cause.Error()
	}
	if o.State != glovebox.StateCompleted {
		o.Diff = nil
		return o
	}
	if ran := ranAny(result.Steps); !ran {
		o.State, o.Reason = glovebox.StateSkipped, "no step's condition held"
	}
	if o.Diff == nil {
		return o
	}
	if err := r.changesets(ctx, i, &o, result, files); err != nil {
		o.Changesets, o.Patch = nil, ""
		return errored(err)
	}
	return o
}

// execute runs the job as an executor would.
func (r *run) execute(ctx context.Context, i int, spec glovebox.JobSpec, address string, files *workspaceFiles) glovebox.Result {
	id := fmt.Sprintf("batch-%s-%d", r.out.id, i)
	spec.ApplyDefaults()
	lease := glovebox.Lease{
		LeaseRef: glovebox.LeaseRef{JobID: id, Attempt: 1}, CloneURL: address,
		Job: glovebox.Job{ID: id, Tenant: glovebox.DefaultTenant, JobSpec: spec, State: glovebox.StateProcessing, Attempt: 1},
	}
	deps := r.Deps
	deps.Source = &executor.LocalSource{Sink: outputSink{r, i, files}, Diff: files.diff}
	deps.Event = func(e glovebox.JobEvent) {
		switch e.Event.Kind {
		case glovebox.EventStepStarted:
			r.tell(Event{Kind: EventStep, Workspace: i, Step: e.Event.Message})
		case glovebox.EventStepFinished:
			step, how, _ := strings.Cut(e.Event.Message, ": ")
			r.tell(Event{Kind: EventStepEnded, Workspace: i, Step: step, Text: how})
		}
	}
	return executor.Run(ctx, deps, lease)
}

// outputSink writes a workspace's log to its file and tells it.
type outputSink struct {
	run   *run
	i     int
	files *workspaceFiles
}

var _ logs.Sink = outputSink{}

func (s outputSink) Write(record glovebox.LogRecord) error {
	if err := s.files.writeLog(record); err != nil {
		return err
	}
	s.run.tell(Event{Kind: EventOutput, Workspace: s.i, Step: record.Step, Record: &record})
	return nil
}

// changesets writes the patch and makes the changesets of it, each with a patch of its own where the diff was split.
func (r *run) changesets(ctx context.Context, i int, o *Outcome, result glovebox.Result, files *workspaceFiles) error {
	diff, err := files.readDiff(result.Diff.Size)
	if err != nil {
		return err
	}
	if o.Patch, err = files.keepPatch(); err != nil {
		return err
	}
	if r.Spec.ChangesetTemplate == nil {
		return nil
	}
	changes := glovebox.Changes{}
	if result.Changes != nil {
		changes = *result.Changes
	}
	specs, err := batch.Changesets(ctx, r.Spec, o.Workspace, batch.WorkspaceResult{Diff: diff, Values: result.Values, Changes: changes})
	if err != nil {
		return err
	}
	for _, s := range specs {
		c := Changeset{ChangesetSpec: s, Patch: o.Patch}
		if len(specs) > 1 || len(s.Diff) != len(diff) {
			if c.Patch, err = r.out.split(i, s.Branch, s.Diff); err != nil {
				return err
			}
		}
		c.Diff = nil
		o.Changesets = append(o.Changesets, c)
	}
	return nil
}

func allCached(steps []glovebox.StepResult) bool {
	cached := false
	for _, s := range steps {
		if s.State != glovebox.StateSkipped && !s.Cached {
			return false
		}
		cached = cached || s.Cached
	}
	return cached
}

func ranAny(steps []glovebox.StepResult) bool {
	for _, s := range steps {
		if s.State != glovebox.StateSkipped {
			return true
		}
	}
	return false
}
