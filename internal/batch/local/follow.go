package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
)

// Remote is a run on a server, as it is followed from here.
type Remote interface {
	Run(ctx context.Context) (glovebox.BatchRun, error)
	// Workspaces lists all workspaces, in an order that does not change.
	Workspaces(ctx context.Context) ([]glovebox.BatchWorkspace, error)
	Diff(ctx context.Context, workspace string) (io.ReadCloser, error)
	// Changesets lists what the run wants published.
	Changesets(ctx context.Context) ([]glovebox.ChangesetSpec, error)
}

// FollowOptions say where the results of a run on a server go.
type FollowOptions struct {
	Name     string
	SpecText []byte
	Remote   Remote
	// Out is the folder for patches and reports. None are written when it is empty.
	Out   string
	Event func(Event)
	// Wait waits before the server is asked the n-th time, n from 1.
	Wait func(ctx context.Context, n int)
	Now  func() time.Time
}

// Follow waits for the end of a run on a server and brings its results into a folder, as Run leaves them.
func Follow(ctx context.Context, opts FollowOptions) (Summary, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	f := &follower{FollowOptions: opts, run: &run{Options: Options{Event: opts.Event, Now: opts.Now}, summary: Summary{Name: opts.Name, Out: opts.Out}}}
	if opts.Out != "" {
		var err error
		if f.run.out, err = openFolder(opts.Out, opts.Name, opts.SpecText, false); err != nil {
			return f.run.summary, err
		}
		defer f.run.out.close()
	}
	err := f.follow(ctx)
	if err == nil && f.run.out != nil {
		err = f.run.out.report(f.run.summary)
	}
	return f.run.summary, err
}

type follower struct {
	FollowOptions
	run   *run
	known bool
	ids   []string
	said  []glovebox.State
}

func (f *follower) follow(ctx context.Context) error {
	for n := 1; ; n++ {
		now, err := f.Remote.Run(ctx)
		if err != nil {
			return err
		}
		if now.State == glovebox.BatchRunErrored {
			return remoteFault(now)
		}
		if now.State != glovebox.BatchRunResolving {
			if err := f.look(ctx); err != nil {
				return err
			}
		}
		if now.State.Final() {
			f.run.summary.Notes = now.Notes
			for _, p := range now.Problems {
				f.run.summary.Failures = append(f.run.summary.Failures, batch.Failure{Name: p.Path, Err: errors.New(p.Message)})
			}
			return f.changesets(ctx)
		}
		f.Wait(ctx, n)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// remoteFault is why a run could not begin.
func remoteFault(r glovebox.BatchRun) error {
	if len(r.Problems) > 0 {
		return fmt.Errorf("%s: %w", r.Reason, &glovebox.ValidationError{Problems: r.Problems})
	}
	return errors.New(r.Reason)
}

// look tells what changed since the last look, and fetches the diffs of workspaces that ended.
func (f *follower) look(ctx context.Context) error {
	list, err := f.Remote.Workspaces(ctx)
	if err != nil {
		return err
	}
	if !f.known {
		if err := f.begin(list); err != nil {
			return err
		}
	}
	for i, w := range list {
		if i >= len(f.ids) || w.ID != f.ids[i] {
			return errors.New("follow run: the server's list of workspaces changed")
		}
		if w.State == f.said[i] {
			continue
		}
		f.said[i] = w.State
		switch {
		case w.State == glovebox.StateProcessing:
			f.run.tell(Event{Kind: EventStarted, Workspace: i})
		case w.State.Final(), w.State == glovebox.StateSkipped:
			o, err := f.outcome(ctx, i, w)
			if err != nil {
				return err
			}
			f.run.mu.Lock()
			f.run.summary.Outcomes[i] = o
			f.run.mu.Unlock()
			f.run.tell(Event{Kind: EventEnded, Workspace: i, Outcome: &o})
		}
	}
	return nil
}

func (f *follower) begin(list []glovebox.BatchWorkspace) error {
	f.known = true
	for _, w := range list {
		ws := batch.Workspace{ID: w.ID, Repo: w.Repo, Path: w.Path, Branch: w.Branch, Commit: w.Commit}
		f.run.summary.Outcomes = append(f.run.summary.Outcomes, Outcome{Workspace: ws})
		f.ids, f.said = append(f.ids, w.ID), append(f.said, "")
	}
	f.run.tell(Event{Kind: EventResolved, Workspace: -1})
	if f.run.out == nil {
		return nil
	}
	f.run.out.name(f.run.summary.Outcomes)
	return f.run.out.begin(f.run.summary.Outcomes)
}

// outcome is what a workspace came to, with its patch.
func (f *follower) outcome(ctx context.Context, i int, w glovebox.BatchWorkspace) (Outcome, error) {
	o := Outcome{Workspace: f.run.summary.Outcomes[i].Workspace, State: w.State, Reason: w.Reason, Cached: w.Cached, JobID: w.JobID}
	if w.State != glovebox.StateCompleted || w.Diff == nil {
		return o, nil
	}
	o.Diff = w.Diff
	if f.run.out == nil {
		return o, nil
	}
	files, err := f.run.out.open(i)
	if err != nil {
		return o, err
	}
	defer files.close()
	diff, err := f.Remote.Diff(ctx, w.ID)
	if err != nil {
		return o, fmt.Errorf("fetch diff of %s: %w", o.Name(), err)
	}
	defer diff.Close()
	n, err := io.Copy(files.diff, io.LimitReader(diff, w.Diff.Size+1))
	if err == nil && n != w.Diff.Size {
		err = fmt.Errorf("%d bytes, described as %d", n, w.Diff.Size)
	}
	if err != nil {
		return o, fmt.Errorf("fetch diff of %s: %w", o.Name(), err)
	}
	if o.Patch, err = files.keepPatch(); err != nil {
		return o, err
	}
	return o, f.run.out.record(i, o)
}

// changesets adds what the run wants published to the outcomes that it comes from.
func (f *follower) changesets(ctx context.Context) error {
	specs, err := f.Remote.Changesets(ctx)
	if err != nil {
		return err
	}
	for _, s := range specs {
		if s.ExternalID != "" {
			f.run.summary.Imported = append(f.run.summary.Imported, Changeset{ChangesetSpec: s})
			continue
		}
		for i := range f.run.summary.Outcomes {
			if o := &f.run.summary.Outcomes[i]; o.Repo == s.Repo && path.Clean("/"+o.Path) == path.Clean("/"+s.Workspace) && (o.Branch == s.BaseRef || s.BaseRef == "") {
				o.Changesets = append(o.Changesets, Changeset{ChangesetSpec: s, Patch: o.Patch})
				break
			}
		}
	}
	return nil
}
