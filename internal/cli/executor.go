package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

func (a *app) executorCommand() *cobra.Command {
	list, drain, undrain := &remote{}, &remote{}, &remote{}
	cmd := parent("executor", "Run an executor; list and drain a server's executors",
		a.executorRunCommand(), a.executorListCommand(list),
		a.drainCommand(drain, true), a.drainCommand(undrain, false))
	return cmd
}

func (a *app) executorListCommand(r *remote) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the executors that the server has heard of", Args: cobra.NoArgs,
		Example: "  glovebox executor list",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			executors, err := c.Executors(cmd.Context())
			if err != nil {
				return fmt.Errorf("list executors: %w", err)
			}
			t := a.table("NAME", "JOBS", "STATE", "RUNTIMES", "QUEUES", "VERSION", "SEEN")
			for _, e := range executors {
				if asJSON {
					if err := a.printLine(e); err != nil {
						return err
					}
					continue
				}
				queues := strings.Join(e.Queues, ",")
				if queues == "" {
					queues = "all"
				}
				t.add(e.Name, fmt.Sprintf("%d/%d", e.Active, e.Slots), executorState(e), orDash(strings.Join(e.Runtimes, ",")), queues, orDash(e.Version), age(e.LastSeen))
			}
			if asJSON {
				return nil
			}
			return t.print("no executors; start one with: glovebox executor run")
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document a line")
	r.addFlags(cmd)
	return cmd
}

func executorState(e glovebox.Executor) string {
	switch {
	case e.Draining:
		return "draining"
	case e.DrainAsked:
		return "drain asked"
	}
	return "ok"
}

// drainCommand asks an executor to claim nothing more, or to claim again.
func (a *app) drainCommand(r *remote, drain bool) *cobra.Command {
	use, short, done := "undrain", "Let a drained executor claim jobs again", "claims jobs again"
	if drain {
		use, short, done = "drain", "Ask an executor to finish its jobs and claim no more", "finishes its jobs and claims no more"
	}
	cmd := &cobra.Command{
		Use: use + " NAME", Short: short, Args: cobra.ExactArgs(1),
		Example: "  glovebox executor " + use + " build-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			if err := drainExecutor(cmd.Context(), c, args[0], drain); err != nil {
				return fmt.Errorf("%s executor %s: %w", use, args[0], err)
			}
			_, err = fmt.Fprintf(a.out, "%s: %s\n", visible(args[0]), done)
			return err
		},
	}
	r.addFlags(cmd)
	return cmd
}

func drainExecutor(ctx context.Context, c *api.Client, name string, drain bool) error {
	if drain {
		return c.DrainExecutor(ctx, name)
	}
	return c.UndrainExecutor(ctx, name)
}
