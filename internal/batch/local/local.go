// Package local runs a batch change on this host, with no server: it finds the repositories
// among local clones, runs the job of each workspace by the very code that an executor runs,
// and writes patches, changeset specs and a report into a folder. It owns the order of
// events and that folder; it must not know flags, terminals or any one runtime. It publishes nothing.
package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
	"github.com/glovebox-dev/glovebox/internal/executor"
)

// ErrFailFast ends a run of which a workspace failed, where that was asked for.
var ErrFailFast = errors.New("another workspace failed")

// Options are one run.
type Options struct {
	Spec *batch.Spec
	// SpecText is the spec as it was read: a run of another text can't be resumed.
	SpecText []byte
	// Mounts is the folder of the spec; nil when there is none.
	Mounts fs.FS
	// Env is the outer environment.
	Env func(string) string
	// Repos are the repositories to choose from.
	Repos *Repos
	// Out is the folder for patches and reports. It is made.
	Out string
	// Deps run the jobs; Source and Event are set for each.
	Deps executor.Deps
	// Slots is how many workspaces run at once.
	Slots int
	// StepCache is the jobs' StepCache.
	StepCache string
	// FailFast stops everything at the first workspace that fails.
	FailFast bool
	// Resume takes over the commits and the results of the latest run into Out.
	Resume bool
	// KeepLogs keeps the logs of all workspaces, not only of those that failed.
	KeepLogs bool
	// Event is told what happens, one event at a time. It must not block for long.
	Event func(Event)
	Now   func() time.Time
}

// Kinds of events.
const (
	EventResolved  = "resolved"   // Total is known
	EventStarted   = "started"    // a workspace
	EventStep      = "step"       // a step of it began
	EventStepEnded = "step_ended" // a step of it ended; Text says how
	EventOutput    = "output"     // a line of a step's output
	EventEnded     = "ended"      // a workspace; Outcome is filled
	EventNote      = "note"       // a remark about the run as a whole
)

// Event is something that happened in a run.
type Event struct {
	Time time.Time
	Kind string
	// Workspace is its place in the summary, -1 for the run as a whole; Repo is the workspace, Name its name.
	Workspace int
	Repo      batch.Workspace
	Name      string
	// Total is how many workspaces there are.
	Total   int
	Step    string
	Text    string
	Record  *glovebox.LogRecord
	Outcome *Outcome
}

// Outcome is what one workspace came to.
type Outcome struct {
	batch.Workspace
	// State is a job's state, or glovebox.StateSkipped when no step was for this workspace.
	State  glovebox.State `json:"state"`
	Reason string         `json:"reason,omitempty"`
	// Cached is set when every step's result was taken from the step cache.
	Cached bool                  `json:"cached,omitempty"`
	Steps  []glovebox.StepResult `json:"steps,omitempty"`
	// Diff and Patch are set when something was changed; Patch and Log are relative to the folder.
	Diff  *glovebox.Diff `json:"diff,omitempty"`
	Patch string         `json:"patch,omitempty"`
	Log   string         `json:"log,omitempty"`
	// JobID is the job's at a server.
	JobID string `json:"job_id,omitempty"`
	// Changesets are what would be published.
	Changesets []Changeset `json:"changesets,omitempty"`
	Seconds    float64     `json:"seconds"`
	// Resumed is set when the outcome is that of an earlier run.
	Resumed bool `json:"-"`
}

// Failed reports whether the workspace keeps the run from having gone well.
func (o Outcome) Failed() bool {
	return o.State != glovebox.StateCompleted && o.State != glovebox.StateSkipped
}

// Changeset is a changeset spec and the file of its patch, relative to the folder.
type Changeset struct {
	glovebox.ChangesetSpec
	Patch string `json:"patch,omitempty"`
}

// Summary is what a run came to. Outcomes that were not reached have the state canceled.
type Summary struct {
	Name     string          `json:"name"`
	Out      string          `json:"out"`
	Outcomes []Outcome       `json:"workspaces"`
	Failures []batch.Failure `json:"unresolved,omitempty"`
	Notes    []string        `json:"notes,omitempty"`
	Imported []Changeset     `json:"imported,omitempty"`
	// Conflicts say which branches more than one changeset has.
	Conflicts string `json:"conflicts,omitempty"`
}

// OK reports whether all went well.
func (s Summary) OK() bool {
	for _, o := range s.Outcomes {
		if o.Failed() {
			return false
		}
	}
	return len(s.Failures) == 0 && s.Conflicts == ""
}

// run is a run that is going on.
type run struct {
	Options
	planner *batch.Planner
	out     *folder
	summary Summary
	mu      sync.Mutex
}

// Run runs a batch spec on this host. Its error is one of the run as a whole; what workspaces
// came to is in the summary, which is right also when ctx ended early.
func Run(ctx context.Context, opts Options) (Summary, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Event == nil {
		opts.Event = func(Event) {}
	}
	if opts.Slots < 1 {
		return Summary{}, fmt.Errorf("run batch change: %d slots", opts.Slots)
	}
	r := &run{Options: opts, summary: Summary{Name: opts.Spec.Name, Out: opts.Out}}
	var mounts batch.MountReader
	if opts.Mounts != nil {
		mounts = batch.FolderMounts(opts.Mounts)
	}
	var err error
	r.planner, err = batch.NewPlanner(opts.Spec, batch.PlanOptions{Env: opts.Env, Mounts: mounts, StepCache: opts.StepCache, Note: r.note})
	if err != nil {
		return r.summary, err
	}
	if err := r.resolve(ctx); err != nil {
		return r.summary, err
	}
	defer r.out.close()
	r.tell(Event{Kind: EventResolved, Workspace: -1})
	err = r.all(ctx)
	return r.summary, errors.Join(err, r.finish())
}

// note keeps a remark about the run as a whole.
func (r *run) note(text string) {
	r.mu.Lock()
	r.summary.Notes = append(r.summary.Notes, text)
	r.mu.Unlock()
	r.tell(Event{Kind: EventNote, Workspace: -1, Text: text})
}

// tell reports an event, one at a time.
func (r *run) tell(e Event) {
	e.Time = r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Total = len(r.summary.Outcomes)
	if e.Workspace >= 0 {
		e.Repo = r.summary.Outcomes[e.Workspace].Workspace
		e.Name = e.Repo.Name()
	}
	r.Event(e)
}

// resolve finds the workspaces, or takes them over from the run that is resumed.
func (r *run) resolve(ctx context.Context) error {
	var err error
	if r.out, err = openFolder(r.Out, r.Spec.Name, r.SpecText, r.Resume); err != nil {
		return err
	}
	if before := r.out.before; before != nil {
		r.summary.Outcomes = before
	} else {
		resolution, err := batch.Resolve(ctx, r.Spec, r.Repos, batch.ResolveOptions{Parallel: 2 * r.Slots})
		if err != nil {
			r.out.close()
			return err
		}
		r.summary.Failures = resolution.Failures
		for _, n := range resolution.Notes {
			r.note(n)
		}
		for _, ws := range resolution.Workspaces {
			r.summary.Outcomes = append(r.summary.Outcomes, Outcome{Workspace: ws})
		}
	}
	r.out.name(r.summary.Outcomes)
	for _, c := range batch.Imported(r.Spec) {
		r.summary.Imported = append(r.summary.Imported, Changeset{ChangesetSpec: c})
	}
	return r.out.begin(r.summary.Outcomes)
}

// all runs the workspaces that have no outcome yet, some at once.
func (r *run) all(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var group sync.WaitGroup
	for range min(r.Slots, max(1, len(r.summary.Outcomes))) {
		group.Go(func() {
			for i := range next {
				o := r.workspace(ctx, i)
				r.record(i, o)
				if r.FailFast && o.Failed() {
					cancel(ErrFailFast)
				}
			}
		})
	}
	for i := range r.summary.Outcomes {
		if o := r.summary.Outcomes[i]; o.State != "" {
			o.Resumed = true
			r.tell(Event{Kind: EventEnded, Workspace: i, Outcome: &o})
			continue
		}
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	group.Wait()
	for i := range r.summary.Outcomes {
		if o := &r.summary.Outcomes[i]; o.State == "" {
			o.State, o.Reason = glovebox.StateCanceled, "not started"
			if cause := context.Cause(ctx); errors.Is(cause, ErrFailFast) {
				o.Reason = "not started: " + ErrFailFast.Error()
			}
		}
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, ErrFailFast) {
		return cause
	}
	return nil
}

// record keeps an outcome, on disk too: a run that is killed goes on from there.
func (r *run) record(i int, o Outcome) {
	r.mu.Lock()
	r.summary.Outcomes[i] = o
	err := r.out.record(i, o)
	r.mu.Unlock()
	if err != nil {
		r.note(fmt.Sprintf("%s: %v", o.Name(), err))
	}
	r.tell(Event{Kind: EventEnded, Workspace: i, Outcome: &o})
}

// finish writes the report.
func (r *run) finish() error {
	var specs []glovebox.ChangesetSpec
	for _, o := range r.summary.Outcomes {
		for _, c := range o.Changesets {
			specs = append(specs, c.ChangesetSpec)
		}
	}
	if err := batch.Duplicates(specs); err != nil {
		r.summary.Conflicts = err.Error()
	}
	return r.out.report(r.summary)
}
