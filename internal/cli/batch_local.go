package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
	"github.com/glovebox-dev/glovebox/internal/batch/local"
	"github.com/glovebox-dev/glovebox/internal/codehost"
	"github.com/glovebox-dev/glovebox/internal/executor"
	"github.com/glovebox-dev/glovebox/internal/stepcache"
	"github.com/glovebox-dev/glovebox/internal/workspace"
)

// localFlags are where "plan" and "preview" find repositories on this host.
type localFlags struct{ reposDir, data string }

func (f *localFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.reposDir, "repos-dir", "", "the `folder` of local clones: each git repository below it is known by its relative path")
	flags.StringVar(&f.data, "data", "", "`folder` of images, clones, cached results and running jobs (default ~/.cache/glovebox)")
}

// repos makes the repositories of this host.
func (a *app) localRepos(f *localFlags, specDir, data string, cache *workspace.Cache) *local.Repos {
	return local.NewRepos(local.RepoOptions{
		Dir: f.reposDir, Base: specDir, Snapshots: filepath.Join(data, "folders"), Cache: cache, Query: a.queryCodeHost,
		Note: func(text string) { fmt.Fprintf(a.err, "note: %s\n", visible(text)) },
	})
}

// hostTokens are the variables that the code hosts' own tools read.
var hostTokens = map[string]string{codehost.KindGitHub: "GITHUB_TOKEN", codehost.KindGitLab: "GITLAB_TOKEN", codehost.KindGitea: "GITEA_TOKEN"}

// queryCodeHost asks the code host of an address or a host's name, with the user's token.
func (a *app) queryCodeHost(ctx context.Context, host, query string) ([]string, error) {
	address := host
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	kind := codehost.Detect(address)
	if kind == "" {
		kind = codehost.KindGitea
	}
	h, err := codehost.New(codehost.Config{Kind: kind, URL: address, Token: a.getenv(hostTokens[kind])})
	if err != nil {
		return nil, err
	}
	found, err := h.Search(ctx, query)
	if err != nil {
		return nil, withHint(err, "the token is taken from "+hostTokens[kind])
	}
	var urls []string
	for _, r := range found {
		urls = append(urls, r.CloneURL)
	}
	return urls, nil
}

func (a *app) batchPlanCommand() *cobra.Command {
	var f localFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "plan FILE", Short: "Show the workspaces and jobs of a batch spec; run nothing", Args: cobra.ExactArgs(1),
		Long: `Plan resolves a batch spec to its workspaces and prints them with the steps that may run
in each. With --json it prints one JSON document a line, a workspace with its job each.
` + batchExitCodes,
		Example: "  glovebox batch plan spec.yaml --repos-dir ~/src\n  glovebox batch plan spec.yaml --repos-dir ~/src --json | jq .job",
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, _, dir, err := a.readBatchSpec(args[0])
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context(), glovebox.ErrCanceled)
			defer stop()
			return a.batchPlan(ctx, &f, spec, dir, asJSON)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document a line for each workspace")
	return cmd
}

func (a *app) batchPlan(ctx context.Context, f *localFlags, spec *batch.Spec, dir string, asJSON bool) error {
	data, err := dataDir(f.data)
	if err != nil {
		return err
	}
	cache, err := workspace.OpenCache(workspace.CacheOptions{Dir: filepath.Join(data, "git"), Logger: a.log})
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return usageErrorf("open the folder of the spec: %w", err)
	}
	defer root.Close()
	planner, err := batch.NewPlanner(spec, batch.PlanOptions{Env: a.getenv, Mounts: batch.FolderMounts(root.FS()), StepCache: glovebox.StepCacheUse})
	if err != nil {
		return err
	}
	found, err := batch.Resolve(ctx, spec, a.localRepos(f, dir, data, cache), batch.ResolveOptions{})
	if err != nil {
		return err
	}
	t := a.table("REPOSITORY", "PATH", "BRANCH", "COMMIT", "STEPS")
	for _, ws := range found.Workspaces {
		job, err := planner.Plan(ws)
		if err != nil {
			return fmt.Errorf("%s: %w", ws.Name(), err)
		}
		if asJSON {
			line := struct {
				batch.Workspace
				Job glovebox.JobSpec `json:"job"`
			}{ws, job}
			if err := a.printLine(line); err != nil {
				return err
			}
			continue
		}
		t.add(ws.Repo, orDash(ws.Path), orDash(strings.TrimPrefix(ws.Branch, "refs/heads/")), fmt.Sprintf("%.10s", ws.Commit), plannedSteps(job))
	}
	for _, n := range found.Notes {
		fmt.Fprintf(a.err, "note: %s\n", visible(n))
	}
	for _, fail := range found.Failures {
		fmt.Fprintf(a.err, "%s: %s\n", visible(fail.Name), visible(fail.Err.Error()))
	}
	if !asJSON {
		if err := t.print("no workspaces: nothing matches what the spec says in \"on\""); err != nil {
			return err
		}
	}
	if len(found.Failures) > 0 {
		return &exitError{code: 1}
	}
	return nil
}

// plannedSteps says which steps may run: "3", or "2 of 3" when a condition is known not to hold.
func plannedSteps(job glovebox.JobSpec) string {
	runs := 0
	for _, s := range job.Steps {
		if s.Condition != "false" {
			runs++
		}
	}
	if runs == len(job.Steps) {
		return fmt.Sprint(runs)
	}
	return fmt.Sprintf("%d of %d", runs, len(job.Steps))
}

// localSlots is how many sandboxes run at once when nobody says: one for each CPU, as far as memory allows.
func localSlots(limits glovebox.Limits, dir string) int {
	slots := runtime.NumCPU()
	if capacity, err := executor.HostCapacity(dir); err == nil && capacity.Memory > 0 {
		each := limits.WithDefaults(glovebox.DefaultLimits()).Memory
		slots = min(slots, int(capacity.Memory/each))
	}
	return max(1, slots)
}

// pinnedImages looks each image's name up once: all workspaces of a run get the same.
type pinnedImages struct {
	executor.Images
	mu   sync.Mutex
	seen map[string]func() (string, error)
}

func pinImages(images executor.Images) *pinnedImages {
	return &pinnedImages{Images: images, seen: map[string]func() (string, error){}}
}

// Digest asks once, also while others wait for the answer.
func (p *pinnedImages) Digest(ctx context.Context, ref string) (string, error) {
	p.mu.Lock()
	look := p.seen[ref]
	if look == nil {
		look = sync.OnceValues(func() (string, error) { return p.Images.Digest(context.WithoutCancel(ctx), ref) })
		p.seen[ref] = look
	}
	p.mu.Unlock()
	return look()
}

var _ executor.Images = (*pinnedImages)(nil)

// openStepCache opens the user's cache of step results.
func openStepCache(data string) (*stepcache.Folder, error) {
	return stepcache.OpenFolder(filepath.Join(data, "steps"), 0)
}
