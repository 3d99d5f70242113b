package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/batch"
)

func (a *app) batchApplyCommand(r *remote) *cobra.Command {
	f := &previewFlags{}
	var run string
	var dry, wait, partial bool
	cmd := &cobra.Command{
		Use: "apply [FILE]", Short: "Publish what a batch spec's run came to: branches and pull requests",
		Long: `Apply runs a batch spec on a server's executors (or takes a run that is there, by --run)
and has the server bring branches and requests at the code hosts to what it wants:
new ones are published, changed ones updated, those no longer wanted closed. Commits
that others pushed are never overwritten.
` + batchExitCodes,
		Example: "  glovebox batch apply spec.yaml\n  glovebox batch apply --run 01J… --dry-run",
		Args: func(cmd *cobra.Command, args []string) error {
			if run != "" {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context(), glovebox.ErrCanceled)
			defer stop()
			c, err := r.client()
			if err != nil {
				return err
			}
			id := run
			if id == "" {
				spec, text, dir, err := a.readBatchSpec(args[0])
				if err != nil {
					return err
				}
				if id, err = a.runToApply(ctx, c, f, spec, text, dir, partial); err != nil {
					return err
				}
			}
			return a.batchApply(ctx, c, id, dry, wait, f.asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&run, "run", "", "the `ID` of a run to apply, instead of running a spec")
	flags.BoolVar(&dry, "dry-run", false, "say what would be done, and do nothing")
	flags.BoolVar(&wait, "wait", false, "wait until the code hosts are as wanted, or something failed")
	flags.BoolVar(&partial, "partial", false, "apply also when some workspaces failed: the changesets of the others")
	flags.BoolVar(&f.noCache, "no-cache", false, "run every step")
	flags.BoolVar(&f.failFast, "fail-fast", false, "stop everything when the first workspace fails")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON lines on stdout")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print errors only")
	return cmd
}

// runToApply runs a spec and returns the id of its run, if it is fit to be applied.
func (a *app) runToApply(ctx context.Context, c *api.Client, f *previewFlags, spec *batch.Spec, text []byte, dir string, partial bool) (string, error) {
	id, s, err := a.batchRunThere(ctx, c, f, spec, text, dir)
	if err != nil && ctx.Err() == nil {
		return "", err
	}
	err = a.previewEnded(ctx, f, s, err)
	var coded *exitError
	if partial && errors.As(err, &coded) && coded.code == 1 {
		return id, nil
	}
	if err != nil {
		fmt.Fprintf(a.err, "nothing was applied; apply what went well with: glovebox batch apply --partial --run %s\n", id)
	}
	return id, err
}

// batchApply says what applying does, does it, and waits for the end if asked to.
func (a *app) batchApply(ctx context.Context, c *api.Client, run string, dry, wait, asJSON bool) error {
	entries, err := c.PreviewBatchRun(ctx, run)
	if err != nil {
		return fmt.Errorf("preview run: %w", err)
	}
	if err := a.showPreview(entries, asJSON); err != nil || dry {
		return err
	}
	change, err := c.ApplyBatchRun(ctx, run)
	if err != nil {
		return fmt.Errorf("apply run: %w", err)
	}
	if !asJSON {
		fmt.Fprintf(a.err, "applied: %s\n", changePage(c, change.Name))
	}
	if !wait {
		return nil
	}
	changesets, err := a.awaitChangesets(ctx, c, change.ID, run)
	if err != nil {
		return err
	}
	if err := a.showChangesets(changesets, asJSON); err != nil {
		return err
	}
	for _, cs := range changesets {
		if cs.State == glovebox.ChangesetFailed {
			return &exitError{code: 1}
		}
	}
	return nil
}

// showPreview prints what applying does with each changeset.
func (a *app) showPreview(entries []glovebox.PreviewEntry, asJSON bool) error {
	t := a.table("ACTION", "REPOSITORY", "BRANCH", "TITLE", "WHY")
	for _, e := range entries {
		if asJSON {
			if err := a.printLine(e); err != nil {
				return err
			}
			continue
		}
		var actions []string
		for _, action := range e.Actions {
			actions = append(actions, string(action))
		}
		if e.Blocked != "" {
			actions = []string{"blocked"}
			e.Reasons = append([]string{e.Blocked}, e.Reasons...)
		}
		title := ""
		if e.Wanted != nil {
			title = e.Wanted.Title
		}
		t.add(strings.Join(actions, ","), e.Repo, orDash(e.Branch), orDash(title), orDash(strings.Join(e.Reasons, "; ")))
	}
	if asJSON {
		return nil
	}
	return t.print("no changesets: the run changed nothing")
}

// stillToDo counts what applying a run has yet to do.
func stillToDo(ctx context.Context, c *api.Client, run string) (int, error) {
	if run == "" {
		return 0, nil
	}
	entries, err := c.PreviewBatchRun(ctx, run)
	n := 0
	for _, e := range entries {
		for _, action := range e.Actions {
			switch action {
			case glovebox.ActionNothing, glovebox.ActionKeep, glovebox.ActionImport:
			default:
				if e.State != glovebox.ChangesetFailed {
					n++
				}
			}
		}
	}
	return n, err
}

// awaitChangesets waits until no changeset is on its way, and nothing is left to do of the run that was applied, if one is named.
func (a *app) awaitChangesets(ctx context.Context, c *api.Client, id, run string) ([]glovebox.Changeset, error) {
	for n := 1; ; n++ {
		list, err := c.Changesets(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("list changesets: %w", err)
		}
		moving := 0
		for _, cs := range list {
			if cs.State == glovebox.ChangesetPublishing || cs.State == glovebox.ChangesetScheduled ||
				cs.Closing && cs.State != glovebox.ChangesetClosed && cs.State != glovebox.ChangesetMerged && cs.State != glovebox.ChangesetFailed {
				moving++
			}
		}
		if moving == 0 {
			left, err := stillToDo(ctx, c, run)
			if err != nil {
				return nil, fmt.Errorf("preview run: %w", err)
			}
			if left == 0 {
				return list, nil
			}
		}
		pollRun(ctx, n)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// showChangesets prints changesets with their states.
func (a *app) showChangesets(list []glovebox.Changeset, asJSON bool) error {
	t := a.table("STATE", "REPOSITORY", "BRANCH", "REQUEST", "CHECKS", "REVIEW", "ERROR")
	for _, cs := range list {
		if asJSON {
			if err := a.printLine(cs); err != nil {
				return err
			}
			continue
		}
		t.add(string(cs.State), cs.Repo, orDash(cs.Branch), orDash(cs.ExternalURL), orDash(cs.Checks), orDash(cs.Review), orDash(cs.Error))
	}
	if asJSON {
		return nil
	}
	return t.print("no changesets")
}
