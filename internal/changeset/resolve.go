package changeset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
)

// maxProblems bounds what is kept of a resolution's failures.
const maxProblems = 100

// errOver ends an update of a run that is over or was resolved meanwhile.
var errOver = errors.New("nothing to do any more")

// noRetry is the RetryFrom of a workspace whose job is to be submitted.
const noRetry = -1

// resolve finds the workspaces of a run and writes them down. What is wrong with the run itself becomes its end; an
// error is one of the server, after which it is tried again.
func (b *Batches) resolve(ctx context.Context, run glovebox.BatchRun) error {
	bounded, cancel := context.WithTimeoutCause(ctx, b.ResolveTime, fmt.Errorf("not resolved within %v", b.ResolveTime))
	defer cancel()
	p, err := b.parsed(bounded, run.ID)
	if _, invalid := errors.AsType[*glovebox.ValidationError](err); invalid { // by a newer version's rules
		return b.endRun(ctx, run.ID, glovebox.BatchRunErrored, err)
	}
	if err != nil {
		return err
	}
	if _, err := p.planner(); err != nil {
		return b.endRun(ctx, run.ID, glovebox.BatchRunErrored, err)
	}
	repos := b.reposOf(bounded, run.Tenant, p.input.Files)
	found, err := batch.Resolve(bounded, p.spec, repos, batch.ResolveOptions{Parallel: 4})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return b.endRun(ctx, run.ID, glovebox.BatchRunErrored, err)
	}
	workspaces, err := b.newWorkspaces(run.ID, found.Workspaces)
	if err != nil {
		return err
	}
	imported, failures := importSpecs(p.spec, repos)
	failures = append(found.Failures, failures...)
	err = b.Store.Resolved(ctx, run.ID, workspaces, imported, func(r *glovebox.BatchRun) error {
		if r.State != glovebox.BatchRunResolving || r.CancelRequested {
			return errOver
		}
		r.State = glovebox.BatchRunProcessing
		r.Problems = problemsOf(failures)
		for _, note := range append(repos.notes, found.Notes...) {
			r.Notes = append(r.Notes, oneLine(note))
		}
		return nil
	})
	if errors.Is(err, errOver) {
		return nil
	}
	if err == nil {
		b.Logger.Info("batch run resolved", "run", run.ID, "workspaces", len(workspaces), "failures", len(failures))
	}
	return err
}

func problemsOf(failures []batch.Failure) []glovebox.Problem {
	var problems []glovebox.Problem
	for i, f := range failures {
		if i == maxProblems {
			problems = append(problems, glovebox.Problem{Message: fmt.Sprintf("and %d more", len(failures)-i)})
			break
		}
		problems = append(problems, glovebox.Problem{Path: oneLine(f.Name), Message: oneLine(f.Err.Error())})
	}
	return problems
}

// newWorkspaces makes the rows. Each has its job's id from the beginning, so that no job is submitted twice.
func (b *Batches) newWorkspaces(run string, found []batch.Workspace) ([]Workspace, error) {
	list := make([]Workspace, 0, len(found))
	for i, w := range found {
		plan, err := json.Marshal(w)
		if err != nil {
			return nil, fmt.Errorf("encode workspace: %w", err)
		}
		list = append(list, Workspace{
			BatchWorkspace: glovebox.BatchWorkspace{ID: b.Queue.NewID(), Run: run, Repo: w.Repo, Path: w.Path, Branch: w.Branch, Commit: w.Commit,
				State: glovebox.StateQueued, JobID: b.Queue.NewID()},
			Seq: i + 1, RetryFrom: noRetry, Plan: plan,
		})
	}
	return list, nil
}

// importSpecs are the changesets that were there before. Their repositories must be known.
func importSpecs(spec *batch.Spec, repos *repos) (specs []Spec, failures []batch.Failure) {
	for _, wanted := range batch.Imported(spec) {
		repo, err := repos.find(wanted.Repo)
		if err != nil {
			failures = append(failures, batch.Failure{Name: wanted.Repo, Err: fmt.Errorf("import changeset %.40s: %w", wanted.ExternalID, err)})
			continue
		}
		if len(wanted.ExternalID) > 64 || strings.Trim(wanted.ExternalID, "0123456789") != "" {
			failures = append(failures, batch.Failure{Name: wanted.Repo, Err: fmt.Errorf("import changeset %.40q: want its number", wanted.ExternalID)})
			continue
		}
		wanted.Repo = repo.Name
		specs = append(specs, Spec{Seq: len(specs) + 1, Spec: wanted})
	}
	return specs, failures
}

// endRun ends a run that is not over.
func (b *Batches) endRun(ctx context.Context, id string, state glovebox.BatchRunState, why error) error {
	_, err := b.Store.UpdateRun(ctx, id, func(r *glovebox.BatchRun) error {
		if r.State.Final() {
			return errOver
		}
		now := b.now()
		r.State, r.FinishedAt = state, &now
		if why != nil {
			r.Reason = oneLine(why.Error())
			if v, ok := errors.AsType[*glovebox.ValidationError](why); ok {
				r.Problems = v.Problems[:min(len(v.Problems), maxProblems)]
			}
		}
		return nil
	})
	if errors.Is(err, errOver) {
		return nil
	}
	if err == nil {
		b.Logger.Info("batch run ended", "run", id, "state", state)
	}
	return err
}
