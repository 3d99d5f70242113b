package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/stepcache"
	"github.com/glovebox-dev/glovebox/internal/template"
)

// How the step cache is used. Before anything is prepared, recall takes results for as long as
// there are any: a job whose steps are all there fetches no repository and starts no sandbox.
// Else the tree is laid out with the diff of the last of them, and the next step runs. After each step
// that ran, the rest is looked for once more: a step that was edited and came to the same may be
// followed by results that serve.

// openCache finds out whether this job's steps are to be kept.
func (a *attempt) openCache() {
	job := a.lease.Job
	if job.StepCache == "" || a.deps.StepCache == nil {
		return
	}
	for _, s := range job.Steps {
		if len(s.Secrets) > 0 || s.If != "" && s.If != "success" {
			return // what a secret leads to is not kept; and a result stands for a step that ended well, after others that did
		}
	}
	a.cache = a.deps.StepCache(a.lease)
}

// inputs describes all that the result of a resolved step depends on.
func (a *attempt) inputs(ctx context.Context, s glovebox.Step) (stepcache.Inputs, error) {
	job := a.lease.Job
	digest, err := a.digest(ctx, s.Image)
	if err != nil {
		return stepcache.Inputs{}, err
	}
	in := stepcache.Inputs{
		Script: stepcache.Hash(append([]string{s.Run, fmt.Sprint(s.KeepGoing)}, s.Command...)...),
		Image:  s.Image, Digest: digest, Dir: s.Dir, Network: string(job.Network),
		Env: map[string]string{}, Files: map[string]string{},
	}
	if job.Repo != nil {
		in.Tree.Commit, in.Tree.Only = job.Repo.Commit, job.Repo.Only
		in.Env["GLOVEBOX_REPO"] = stepcache.Hash(job.Repo.Name) // a script may read it
	}
	if in.Tree.Files, err = hashJSON(job.Files); err != nil {
		return in, err
	}
	if a.progress.diff != nil {
		in.Tree.Diff = a.progress.diff.SHA256
	}
	in.Tree.Step = a.progress.hidden
	for name, value := range s.Env {
		in.Env[name] = stepcache.Hash(value)
	}
	for _, f := range s.Files {
		in.Files[f.Path] = stepcache.Hash(f.Content, f.Base64, fmt.Sprint(f.Executable))
	}
	if len(s.Outputs) > 0 {
		in.Outputs, err = hashJSON([]any{s.Outputs, a.progress.outputs, a.progress.previous, job.Template})
	}
	return in, err
}

func hashJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("describe step: %w", err)
	}
	if string(text) == "null" || string(text) == "[]" {
		return "", nil
	}
	return stepcache.Hash(string(text)), nil
}

// digest says what an image is now, once for each job.
func (a *attempt) digest(ctx context.Context, ref string) (string, error) {
	a.mu.Lock()
	known := a.digests[ref]
	a.mu.Unlock()
	if known != "" {
		return known, nil
	}
	digest, err := a.deps.Images.Digest(ctx, ref)
	if err != nil {
		return "", fmt.Errorf("look up image %s: %w", ref, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.digests[ref] = digest
	return digest, nil
}

// state is a point that an attempt can return to.
type state struct {
	progress progress
	steps    int
}

func (a *attempt) state() state { return state{a.progress, len(a.result.Steps)} }

func (a *attempt) rewind(s state) {
	a.progress, a.result.Steps = s.progress, a.result.Steps[:s.steps]
}

// recall takes results from the step cache, from the next step on. When it reaches the end the job is
// done. Else the attempt is at the latest point from which steps can go on: with a live tree, which can't be
// changed any more, that is where it was.
func (a *attempt) recall(ctx context.Context, live bool) error {
	if a.cache == nil || a.lease.Job.StepCache == glovebox.StepCacheRefresh || len(a.lease.Job.Outputs) > 0 {
		return nil // files to collect are in no cache
	}
	begin := a.state()
	last, ran := begin, live
	for i := len(a.result.Steps); i < len(a.lease.Job.Steps); i++ {
		s, run, err := a.resolve(ctx, i)
		if err != nil { // said when the step is reached
			return a.recallUpTo(ctx, begin, last)
		}
		if !run {
			a.result.Steps = append(a.result.Steps, glovebox.StepResult{Key: s.Key, State: glovebox.StateSkipped})
			continue
		}
		ran = true
		found, err := a.take(ctx, s)
		if err != nil {
			return err
		}
		if !found {
			return a.recallUpTo(ctx, begin, last)
		}
		if a.progress.hidden == "" && !live {
			last = a.state()
		}
	}
	if kept, err := a.fetchDiff(ctx); err != nil || !kept {
		a.rewind(begin)
		return err
	}
	a.done = true
	if a.result.State == "" {
		a.result.State = glovebox.StateCompleted
	}
	if a.lease.Job.Repo != nil {
		a.result.Commit = a.lease.Job.Repo.Commit
	}
	for _, r := range a.result.Steps[begin.steps:] {
		if r.Cached {
			a.remark(r.Key, "taken from the cache")
		}
	}
	if !ran && a.lease.Job.Repo != nil {
		a.remark("", "no step's condition holds")
	}
	return nil
}

// recallUpTo goes back to the latest point from which a step can run. When what it needs has gone from the
// cache meanwhile, the attempt is where it began.
func (a *attempt) recallUpTo(ctx context.Context, begin, last state) error {
	a.rewind(last)
	kept, err := a.fetchDiff(ctx)
	if err != nil || !kept {
		a.rewind(begin)
	}
	return err
}

// take looks a step's result up and, if it is there, goes on from it. Its diff is not read yet: of several
// steps that are taken, only the last one's is needed.
func (a *attempt) take(ctx context.Context, s glovebox.Step) (bool, error) {
	in, err := a.inputs(ctx, s)
	if err != nil {
		return false, err
	}
	key := in.Key()
	e, diff, err := a.cache.Get(ctx, key)
	if diff != nil {
		diff.Close()
	}
	if a.progress.diff = nil; err == nil && e.Diff != nil {
		a.progress.diff = &diffFile{Diff: *e.Diff, key: key}
	}
	if err != nil {
		if !errors.Is(err, glovebox.ErrNotFound) && ctx.Err() == nil {
			a.deps.Logger.Warn("read step cache", "job", a.lease.JobID, "step", s.Key, "error", err)
		}
		return false, context.Cause(ctx)
	}
	a.progress.changes, a.progress.outputs = e.Changes, e.Outputs
	a.progress.previous = template.StepScope{Changes: e.Changes, Stdout: e.Stdout, Stderr: e.Stderr}
	a.progress.truncated, a.progress.hidden = e.Truncated, ""
	if e.Hidden {
		a.progress.hidden = key
	}
	a.result.Steps = append(a.result.Steps, glovebox.StepResult{Key: s.Key, State: glovebox.StateCompleted, Image: e.ImageDigest,
		Cached: true, CacheKey: key, Outputs: e.Set})
	return true, nil
}

// fetchDiff brings the diff that the attempt stands at out of the cache, and reports false when it is no longer there.
func (a *attempt) fetchDiff(ctx context.Context) (bool, error) {
	d := a.progress.diff
	if d == nil || d.key == "" {
		return true, nil
	}
	e, diff, err := a.cache.Get(ctx, d.key)
	if err == nil {
		defer diff.Close()
		if e.Diff == nil || *e.Diff != d.Diff {
			return false, nil
		}
		a.progress.diff, err = a.keepDiff(d.key, d.Diff, diff)
	}
	if err != nil && !errors.Is(err, glovebox.ErrNotFound) && ctx.Err() == nil {
		a.deps.Logger.Warn("read step cache", "job", a.lease.JobID, "error", err)
	}
	return err == nil, context.Cause(ctx)
}

// keepDiff copies a cached diff to a file of this attempt, checked: the store may remove its own at any time.
func (a *attempt) keepDiff(key string, d glovebox.Diff, r io.Reader) (_ *diffFile, err error) {
	path := filepath.Join(a.dir, "cached-"+key[:16])
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("copy cached diff: %w", err)
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("copy cached diff: %w", err)
	}
	return &diffFile{Diff: d, open: func() (io.ReadCloser, error) { return os.Open(path) }}, nil
}

// restore brings a tree that was just laid out to where the cached results end.
func (a *attempt) restore(ctx context.Context) error {
	if a.progress.diff == nil {
		return nil
	}
	r, err := a.progress.diff.open()
	if err != nil {
		return fmt.Errorf("restore workspace: %w", err)
	}
	defer r.Close()
	if err := a.tree.Apply(ctx, r); err != nil {
		return fmt.Errorf("restore workspace: %w", err)
	}
	for _, s := range a.result.Steps {
		if s.Cached {
			a.remark(s.Key, "taken from the cache")
		}
	}
	return nil
}

// explain says, before a step runs, why its result is not in the cache.
func (a *attempt) explain(ctx context.Context, s glovebox.Step, r *glovebox.StepResult) error {
	if a.cache == nil {
		return nil
	}
	in, err := a.inputs(ctx, s)
	if err != nil {
		return err
	}
	a.running = in
	r.CacheKey = in.Key()
	history, ok := a.cache.(stepcache.History)
	switch {
	case a.lease.Job.StepCache == glovebox.StepCacheRefresh:
		r.CacheMiss = "the cache was not to be used"
	case ok:
		before, err := history.Last(a.place(s))
		if r.CacheMiss = "it never ran here"; err == nil {
			r.CacheMiss = in.Explain(before)
			a.remark(s.Key, "not in the cache: %s", r.CacheMiss)
		}
	}
	return nil
}

// place names a step of a workspace from run to run.
func (a *attempt) place(s glovebox.Step) string {
	parts := []string{a.lease.Job.Tenant, s.Key}
	if t := a.lease.Job.Template; t != nil {
		parts = append(parts, t.BatchChange.Name, t.Repository.Branch, t.Path)
	}
	if r := a.lease.Job.Repo; r != nil {
		parts = append(parts, r.Name, r.Only)
	}
	return strings.Join(parts, "\x00")
}

func (a *attempt) note(s glovebox.Step, in stepcache.Inputs) {
	if history, ok := a.cache.(stepcache.History); ok {
		if before, err := history.Last(a.place(s)); err == nil && before.Key() == in.Key() {
			return
		}
		if err := history.Note(a.place(s), in); err != nil {
			a.deps.Logger.Warn("write step cache", "job", a.lease.JobID, "step", s.Key, "error", err)
		}
	}
}

// rememberFor bounds how long a result may take to be kept.
const rememberFor = 2 * time.Minute

// remember keeps the result of a step that ended well, at once: a run that is killed goes on from there.
// A cache that can't be written costs time, not the job.
func (a *attempt) remember(ctx context.Context, s glovebox.Step, r *glovebox.StepResult, next *progress) {
	if a.cache == nil {
		return
	}
	if next.hidden = ""; a.tree.HoldsMore() {
		next.hidden = r.CacheKey
	}
	e := stepcache.Entry{
		Stdout: next.previous.Stdout, Stderr: next.previous.Stderr, Truncated: next.truncated,
		Outputs: next.outputs, Set: r.Outputs, Changes: next.changes, Hidden: next.hidden != "",
		Seconds: r.Usage.WallSeconds, ImageDigest: r.Image,
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberFor)
	defer cancel()
	if err := a.put(ctx, r.CacheKey, e, next.diff); err != nil {
		a.deps.Logger.Warn("write step cache", "job", a.lease.JobID, "step", s.Key, "error", err)
		return
	}
	a.note(s, a.running)
}

func (a *attempt) put(ctx context.Context, key string, e stepcache.Entry, diff *diffFile) error {
	if diff == nil {
		return a.cache.Put(ctx, key, e, nil)
	}
	r, err := diff.open()
	if err != nil {
		return err
	}
	defer r.Close()
	e.Diff = &diff.Diff
	return a.cache.Put(ctx, key, e, r)
}
