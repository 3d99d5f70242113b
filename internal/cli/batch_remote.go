package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/batch"
	"github.com/glovebox-dev/glovebox/internal/batch/local"
)

// runInput packs a spec with what it takes from here: files beside it, variables from outside.
func (a *app) runInput(spec *batch.Spec, text []byte, dir string, noCache, failFast bool) (glovebox.BatchRunInput, error) {
	in := glovebox.BatchRunInput{Spec: string(text), FailFast: failFast, StepCache: glovebox.StepCacheUse, Env: map[string]string{}}
	if noCache {
		in.StepCache = glovebox.StepCacheRefresh
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return in, usageErrorf("open the folder of the spec: %w", err)
	}
	defer root.Close()
	mounts, seen := batch.FolderMounts(root.FS()), map[string]bool{}
	add := func(name string) error {
		if name = path.Clean(name); seen[name] {
			return nil
		}
		seen[name] = true
		files, err := mounts.ReadMount(name)
		if err != nil {
			return usageErrorf("read %s: %w", name, err)
		}
		for _, f := range files {
			in.Files = append(in.Files, glovebox.File{Path: path.Join(name, f.Path), Base64: base64.StdEncoding.EncodeToString(f.Content), Executable: f.Executable})
		}
		return nil
	}
	for _, s := range spec.Steps {
		for _, e := range s.Env {
			if e.FromOutside {
				in.Env[e.Name] = a.getenv(e.Name)
			}
		}
		for _, m := range s.Mount {
			if err := add(m.Path); err != nil {
				return in, err
			}
		}
	}
	for _, on := range spec.On {
		if on.Folder != "" {
			return in, usageErrorf("the spec names the local folder %s: a server can't see it; run the preview here, without --server", on.Folder)
		}
		if on.RepositoriesFrom != "" {
			if err := add(on.RepositoriesFrom); err != nil {
				return in, err
			}
		}
	}
	return in, nil
}

// remoteRun is a run at a server.
type remoteRun struct {
	c  *api.Client
	id string
}

var _ local.Remote = remoteRun{}

func (r remoteRun) Run(ctx context.Context) (glovebox.BatchRun, error) {
	return r.c.BatchRun(ctx, r.id)
}

func (r remoteRun) Workspaces(ctx context.Context) ([]glovebox.BatchWorkspace, error) {
	var all []glovebox.BatchWorkspace
	for after := 0; ; {
		page, err := r.c.BatchWorkspaces(ctx, r.id, "", after)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Workspaces...)
		if page.Next <= after || len(all) > batch.MaxWorkspaces {
			return all, nil
		}
		after = page.Next
	}
}

func (r remoteRun) Diff(ctx context.Context, id string) (io.ReadCloser, error) {
	return r.c.BatchWorkspaceDiff(ctx, id)
}

func (r remoteRun) Changesets(ctx context.Context) ([]glovebox.ChangesetSpec, error) {
	entries, err := r.c.PreviewBatchRun(ctx, r.id)
	var specs []glovebox.ChangesetSpec
	for _, e := range entries {
		if e.Wanted != nil {
			specs = append(specs, *e.Wanted)
		}
	}
	return specs, err
}

// pollRun waits between two looks at a run: a little at first, 2 s at most.
func pollRun(ctx context.Context, n int) {
	t := time.NewTimer(min(2*time.Second, 100*time.Millisecond*time.Duration(n)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// batchRunThere runs a spec on a server's executors and follows it. out may be empty.
func (a *app) batchRunThere(ctx context.Context, c *api.Client, f *previewFlags, spec *batch.Spec, text []byte, dir string) (string, local.Summary, error) {
	in, err := a.runInput(spec, text, dir, f.noCache, f.failFast)
	if err != nil {
		return "", local.Summary{}, err
	}
	run, err := c.CreateBatchRun(ctx, in)
	var invalid *glovebox.ValidationError
	if errors.As(err, &invalid) {
		return "", local.Summary{}, specError("the spec, as the server reads it", err)
	}
	if err != nil {
		return "", local.Summary{}, fmt.Errorf("begin run: %w", err)
	}
	if !f.quiet && !f.asJSON {
		fmt.Fprintf(a.err, "run %s: %s\n", run.ID, runPage(c, run))
	}
	show := a.batchProgress(f)
	s, err := local.Follow(ctx, local.FollowOptions{Name: spec.Name, SpecText: text, Remote: remoteRun{c, run.ID}, Out: f.out, Event: show.event, Wait: pollRun})
	show.close()
	if err != nil && ctx.Err() != nil {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if _, cerr := c.CancelBatchRun(ending, run.ID); cerr != nil {
			a.log.Warn("cancel run", "run", run.ID, "error", cerr)
		}
	}
	return run.ID, s, err
}

// runPage is a run's page.
func runPage(c *api.Client, run glovebox.BatchRun) string {
	return changePage(c, run.Name) + "/runs/" + run.ID
}

func changePage(c *api.Client, name string) string { return c.BaseURL() + "/batch-changes/" + name }

// batchPreviewThere is a preview on a server's executors.
func (a *app) batchPreviewThere(ctx context.Context, r *remote, f *previewFlags, spec *batch.Spec, text []byte, dir string) error {
	for flag, set := range map[string]bool{"--resume": f.resume, "--apply-to-worktree": f.toWorktree, "--repos-dir": f.reposDir != ""} {
		if set {
			return withHint(usageErrorf("%s is for runs on this host, and --server names a server", flag), "add --local to run it here all the same")
		}
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	id, s, err := a.batchRunThere(ctx, c, f, spec, text, dir)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if err := a.previewEnded(ctx, f, s, err); err != nil {
		return err
	}
	if !f.quiet && !f.asJSON {
		fmt.Fprintf(a.err, "publish it with: glovebox batch apply --run %s\n", id)
	}
	return nil
}
