package cli

import (
	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox/api"
)

func (a *app) jobCommand() *cobra.Command {
	r := &remote{}
	cmd := parent("job", "Submit jobs to a server, watch them, fetch what they made",
		a.jobSubmitCommand(r), a.jobListCommand(r), a.jobShowCommand(r), a.jobLogsCommand(r),
		a.jobDiffCommand(r), a.jobOutputsCommand(r), a.jobCancelCommand(r), a.jobRetryCommand(r))
	r.addFlags(cmd)
	return cmd
}

// jobAction is a command on one job: it prints what do returns.
func (a *app) jobAction(r *remote, cmd *cobra.Command, do func(cmd *cobra.Command, c *api.Client, id string) error) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		ctx, stop := interruptible(cmd.Context(), errInterrupted)
		defer stop()
		cmd.SetContext(ctx)
		return do(cmd, c, args[0])
	}
	return cmd
}
