package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

// findChange looks a batch change up by its name or its id.
func findChange(ctx context.Context, c *api.Client, name string) (glovebox.BatchChange, error) {
	page, err := c.BatchChanges(ctx, api.BatchChangesQuery{Name: name})
	if err == nil && len(page.BatchChanges) > 0 {
		return page.BatchChanges[0], nil
	}
	if err == nil {
		var change glovebox.BatchChange
		if change, err = c.BatchChange(ctx, name); err == nil {
			return change, nil
		}
	}
	if errors.Is(err, glovebox.ErrNotFound) {
		return glovebox.BatchChange{}, withHint(fmt.Errorf("there is no batch change %s: %w", visible(name), glovebox.ErrNotFound), "glovebox batch list shows all")
	}
	return glovebox.BatchChange{}, fmt.Errorf("look up batch change: %w", err)
}

func (a *app) batchListCommand(r *remote) *cobra.Command {
	var q api.BatchChangesQuery
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List batch changes, newest first", Args: cobra.NoArgs,
		Example: "  glovebox batch list --state open",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			if q.Limit < 1 || q.Limit > 500 {
				return usageErrorf("--limit %d: want 1 to 500", q.Limit)
			}
			q.State = glovebox.BatchChangeState(state)
			page, err := c.BatchChanges(cmd.Context(), q)
			if err != nil {
				return fmt.Errorf("list batch changes: %w", err)
			}
			t := a.table("NAME", "STATE", "CHANGESETS", "UPDATED", "BY", "DESCRIPTION")
			for _, b := range page.BatchChanges {
				if asJSON {
					if err := a.printLine(b); err != nil {
						return err
					}
					continue
				}
				t.add(b.Name, string(b.State), orDash(changesetCounts(b)), age(b.UpdatedAt), orDash(b.CreatedBy), orDash(b.Description))
			}
			if asJSON {
				return nil
			}
			return t.print("no batch changes; make one with: glovebox batch preview FILE --server URL")
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&state, "state", "", "only those that are draft, open or closed")
	flags.IntVar(&q.Limit, "limit", 50, "how many, at most 500")
	flags.BoolVar(&asJSON, "json", false, "print one JSON document a line")
	return cmd
}

// changesetCounts is "3 open, 1 merged".
func changesetCounts(b glovebox.BatchChange) string {
	var parts []string
	for _, state := range glovebox.ChangesetStates() {
		if n := b.Changesets[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(parts, ", ")
}

func (a *app) batchShowCommand(r *remote) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a batch change: its runs and its changesets", Args: cobra.ExactArgs(1),
		Example: "  glovebox batch show use-any\n  glovebox batch show use-any --json | jq .changesets",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			c, err := r.client()
			if err != nil {
				return err
			}
			change, err := findChange(ctx, c, args[0])
			if err != nil {
				return err
			}
			runs, err := c.BatchRuns(ctx, change.ID)
			if err != nil {
				return fmt.Errorf("list runs: %w", err)
			}
			changesets, err := c.Changesets(ctx, change.ID)
			if err != nil {
				return fmt.Errorf("list changesets: %w", err)
			}
			if asJSON {
				return printJSON(a.out, struct {
					glovebox.BatchChange
					Runs       []glovebox.BatchRun  `json:"runs"`
					Changesets []glovebox.Changeset `json:"changesets"`
				}{change, runs, changesets})
			}
			return a.showChange(c, change, runs, changesets)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func (a *app) showChange(c *api.Client, b glovebox.BatchChange, runs []glovebox.BatchRun, changesets []glovebox.Changeset) error {
	fmt.Fprintf(a.out, "%s  %s\n", a.paint(bold, visible(b.Name)), b.State)
	if b.Description != "" {
		fmt.Fprintln(a.out, visible(b.Description))
	}
	fmt.Fprintln(a.out, changePage(c, b.Name))
	t := a.table("RUN", "STATE", "WORKSPACES", "CHANGESETS", "CREATED", "BY", "REASON")
	for _, run := range runs {
		id := run.ID
		if id == b.AppliedRun {
			id += " (applied)"
		}
		var parts []string
		for _, state := range append(glovebox.JobStates(), glovebox.StateSkipped) {
			if n := run.Workspaces[state]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, state))
			}
		}
		t.add(id, string(run.State), orDash(strings.Join(parts, ", ")), fmt.Sprint(run.Changesets), age(run.CreatedAt), orDash(run.CreatedBy), orDash(run.Reason))
	}
	if err := t.print("no runs"); err != nil {
		return err
	}
	return a.showChangesets(changesets, false)
}

func (a *app) batchCloseCommand(r *remote) *cobra.Command {
	var keep, wait bool
	cmd := &cobra.Command{
		Use: "close NAME", Short: "Close a batch change and its open requests", Args: cobra.ExactArgs(1),
		Long:    "Close ends a batch change: its open requests are closed at their code hosts, unless --keep-open is given. Branches stay.",
		Example: "  glovebox batch close use-any\n  glovebox batch close use-any --keep-open",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context(), glovebox.ErrCanceled)
			defer stop()
			c, err := r.client()
			if err != nil {
				return err
			}
			change, err := findChange(ctx, c, args[0])
			if err != nil {
				return err
			}
			if change, err = c.CloseBatchChange(ctx, change.ID, api.CloseBatchChange{KeepOpen: keep}); err != nil {
				return fmt.Errorf("close batch change: %w", err)
			}
			fmt.Fprintf(a.err, "%s is %s\n", visible(change.Name), change.State)
			if !wait {
				return nil
			}
			list, err := a.awaitChangesets(ctx, c, change.ID, "")
			if err != nil {
				return err
			}
			return a.showChangesets(list, false)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep-open", false, "leave the requests at the code hosts as they are")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the requests are closed")
	return cmd
}

func (a *app) batchPublishCommand(r *remote) *cobra.Command {
	var draft bool
	cmd := &cobra.Command{
		Use: "publish NAME [CHANGESET…]", Short: "Publish changesets whose spec leaves that undecided", Args: cobra.MinimumNArgs(1),
		Example: "  glovebox batch publish use-any --draft",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			change, err := findChange(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			in := api.PublishChangesets{Changesets: args[1:], Published: glovebox.PublishedYes}
			if draft {
				in.Published = glovebox.PublishedDraft
			}
			if _, err := c.PublishChangesets(cmd.Context(), change.ID, in); err != nil {
				return fmt.Errorf("publish: %w", err)
			}
			fmt.Fprintf(a.err, "publishing: %s\n", changePage(c, change.Name))
			return nil
		},
	}
	cmd.Flags().BoolVar(&draft, "draft", false, "as drafts")
	return cmd
}

func (a *app) batchRetryCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "retry RUN [WORKSPACE…]", Short: "Run the workspaces of a run that did not end well once more", Args: cobra.MinimumNArgs(1),
		Example: "  glovebox batch retry 01J…",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			run, err := c.RetryBatchRun(cmd.Context(), args[0], args[1:]...)
			if err != nil {
				return fmt.Errorf("retry run: %w", err)
			}
			fmt.Fprintf(a.err, "run %s is %s: %s\n", run.ID, run.State, runPage(c, run))
			return nil
		},
	}
}

func (a *app) batchCancelCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "cancel RUN", Short: "Stop a run", Args: cobra.ExactArgs(1),
		Example: "  glovebox batch cancel 01J…",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			run, err := c.CancelBatchRun(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("cancel run: %w", err)
			}
			fmt.Fprintf(a.err, "run %s is %s\n", run.ID, run.State)
			return nil
		},
	}
}
