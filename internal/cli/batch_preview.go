package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
	"github.com/glovebox-dev/glovebox/internal/batch/local"
	"github.com/glovebox-dev/glovebox/internal/executor"
	"github.com/glovebox-dev/glovebox/internal/localrepo"
	"github.com/glovebox-dev/glovebox/internal/stepcache"
)

// previewFlags are the flags of "batch preview".
type previewFlags struct {
	localFlags
	out, runtime                                    string
	jobs                                            int
	noCache, failFast, resume, keepLogs, toWorktree bool
	why, showDiff, asJSON, verbose, quiet, here     bool
}

func (a *app) batchPreviewCommand(r *remote) *cobra.Command {
	f := &previewFlags{}
	cmd := &cobra.Command{
		Use: "preview FILE", Short: "Run a batch spec and collect its diffs; publish nothing", Args: cobra.ExactArgs(1),
		Long: `Preview runs the steps of a batch spec ("-" is stdin) in each workspace, each in a sandbox
of its own, and writes into a folder:

  REPOSITORY.patch             what changed, for git apply --index
  REPOSITORY/WORKSPACE.patch   where a repository has several workspaces
  changesets.json              the changesets that apply would publish
  report.json, logs/           what each workspace came to, logs of those that failed

Without --server it runs here, on local clones, which it does not change; with it, on the
server's executors, over the repositories of its gateway. Results of steps are kept: a second run does only what changed. One workspace that fails does not
stop the others.
` + batchExitCodes,
		Example: `  glovebox batch preview spec.yaml --repos-dir ~/src
  glovebox batch preview spec.yaml --repos-dir ~/src -o patches --why
  glovebox batch preview spec.yaml --repos-dir ~/src --apply-to-worktree
  glovebox batch preview spec.yaml --resume -o patches`,
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, text, dir, err := a.readBatchSpec(args[0])
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context(), glovebox.ErrCanceled)
			defer stop()
			if r.server != "" && !f.here {
				if f.out == "" {
					f.out = spec.Name + "-preview"
				}
				return a.batchPreviewThere(ctx, r, f, spec, text, dir)
			}
			return a.batchPreview(ctx, r, f, spec, text, dir)
		},
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.StringVarP(&f.out, "out", "o", "", "the `folder` for patches and reports (default NAME-preview)")
	flags.StringVar(&f.runtime, "runtime", "", "gvisor or docker (default: the spec's, else gvisor)")
	flags.IntVarP(&f.jobs, "jobs", "j", 0, "how many workspaces run at once (default one for each CPU, as memory allows)")
	flags.BoolVar(&f.here, "local", false, "run here although a server is named; step results are shared with it")
	flags.BoolVar(&f.noCache, "no-cache", false, "run every step; results are kept all the same")
	flags.BoolVar(&f.failFast, "fail-fast", false, "stop everything when the first workspace fails")
	flags.BoolVar(&f.resume, "resume", false, "go on with the latest run into the folder: same commits, only what did not end well")
	flags.BoolVar(&f.keepLogs, "keep-logs", false, "keep the logs of all workspaces, not only of those that failed")
	flags.BoolVar(&f.toWorktree, "apply-to-worktree", false, "put the changes into the local clones: all of a clone's or none")
	flags.BoolVar(&f.why, "why", false, "say of each step that ran why its result was not in the cache")
	flags.BoolVar(&f.showDiff, "diff", false, "print all diffs on stdout at the end")
	flags.BoolVar(&f.asJSON, "json", false, "print what happens as JSON lines on stdout")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print what the steps write")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print errors only")
	return cmd
}

// batchPreview runs a spec here.
func (a *app) batchPreview(ctx context.Context, r *remote, f *previewFlags, spec *batch.Spec, text []byte, dir string) (err error) {
	if f.jobs < 0 || f.jobs > 1000 {
		return usageErrorf("--jobs %d: want 1 to 1000", f.jobs)
	}
	if f.out == "" {
		f.out = spec.Name + "-preview"
	}
	data, err := dataDir(f.data)
	if err != nil {
		return err
	}
	inst, err := newInstance(filepath.Join(data, "run"))
	if err != nil {
		return err
	}
	defer func() { err = a.dropInstance(inst, err) }()
	tracer, flush, err := a.tracer(ctx, "batch")
	if err != nil {
		return err
	}
	defer flush()
	runtime := f.runtimeOf(spec)
	if err := inst.note(runtime); err != nil {
		return err
	}
	deps, _, err := a.executorDeps(executorSettings{data: data, runtimes: []string{runtime}, hostImage: true, ownPaths: true, tracer: tracer}, inst)
	if err != nil {
		return err
	}
	cache, err := openStepCache(data)
	if err != nil {
		return err
	}
	a.clearAbandoned(ctx, filepath.Join(data, "run"), data)
	deps.StepCache = func(glovebox.Lease) stepcache.Store { return cache }
	if r.server != "" {
		c, err := r.client()
		if err != nil {
			return err
		}
		defer c.CloseIdle()
		shared := sharedSteps{cache, userSteps(c, f.noCache), a.log}
		deps.StepCache = func(glovebox.Lease) stepcache.Store { return shared }
	}
	summary, repos, err := a.previewHere(ctx, f, deps, spec, text, dir, data)
	if perr := cache.Prune(); perr != nil {
		a.log.Warn("prune step cache", "error", perr)
	}
	if err != nil {
		return a.previewEnded(ctx, f, summary, err)
	}
	if err := a.previewEnded(ctx, f, summary, nil); err != nil && !f.toWorktree {
		return err
	} else if f.toWorktree {
		return errors.Join(a.applyToWorktrees(ctx, summary, repos), err)
	}
	return nil
}

func (f *previewFlags) runtimeOf(spec *batch.Spec) string {
	switch {
	case f.runtime != "":
		return f.runtime
	case spec.Runtime != "":
		return spec.Runtime
	}
	return defaultRuntime
}

// previewHere runs the workspaces and shows how they go.
func (a *app) previewHere(ctx context.Context, f *previewFlags, deps executor.Deps, spec *batch.Spec, text []byte, dir, data string) (local.Summary, *local.Repos, error) {
	deps.Images = pinImages(deps.Images)
	spec.Runtime = f.runtimeOf(spec)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return local.Summary{}, nil, usageErrorf("open the folder of the spec: %w", err)
	}
	defer root.Close()
	opts := local.Options{
		Spec: spec, SpecText: text, Mounts: root.FS(), Env: a.getenv, Repos: a.localRepos(&f.localFlags, dir, data, deps.Cache),
		Out: f.out, Deps: deps, Slots: f.jobs, StepCache: glovebox.StepCacheUse, FailFast: f.failFast, Resume: f.resume, KeepLogs: f.keepLogs,
	}
	if f.noCache {
		opts.StepCache = glovebox.StepCacheRefresh
	}
	if opts.Slots == 0 {
		opts.Slots = localSlots(spec.Limits, data)
	}
	show := a.batchProgress(f)
	opts.Event = show.event
	summary, err := local.Run(ctx, opts)
	show.close()
	return summary, opts.Repos, err
}

// previewEnded says what the run came to and returns how to exit.
func (a *app) previewEnded(ctx context.Context, f *previewFlags, s local.Summary, err error) error {
	canceled := errors.Is(err, glovebox.ErrCanceled) || errors.Is(context.Cause(ctx), glovebox.ErrCanceled)
	if err != nil && !canceled {
		return err
	}
	if err := a.showSummary(f, s); err != nil {
		return err
	}
	switch {
	case canceled:
		return withHint(&exitError{code: exitCanceled, err: errors.New("canceled")}, "go on with: --resume")
	case !s.OK():
		return &exitError{code: 1}
	}
	return nil
}

// applyToWorktrees puts the patches into the local clones.
func (a *app) applyToWorktrees(ctx context.Context, s local.Summary, repos *local.Repos) error {
	refused := false
	for _, o := range s.Outcomes {
		if o.Patch == "" {
			continue
		}
		err := func() error {
			clone, ok := repos.Clone(o.Repo)
			if !ok {
				return errors.New("there is no local clone with a work tree")
			}
			patch, err := os.Open(filepath.Join(s.Out, filepath.FromSlash(o.Patch)))
			if err != nil {
				return err
			}
			defer patch.Close()
			return localrepo.Apply(ctx, clone, o.Commit, patch)
		}()
		if err != nil {
			refused = true
			fmt.Fprintf(a.err, "%s: not applied: %s\n", visible(o.Name()), visible(err.Error()))
		}
	}
	if refused {
		return &exitError{code: 1}
	}
	return nil
}
