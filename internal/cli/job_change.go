package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox/api"
)

func (a *app) jobCancelCommand(r *remote) *cobra.Command {
	var reason string
	var asJSON bool
	cmd := a.jobAction(r, &cobra.Command{
		Use: "cancel ID", Short: "Cancel a job that is queued or runs",
		Example: "  glovebox job cancel ID --reason \"wrong branch\"",
	}, func(cmd *cobra.Command, c *api.Client, id string) error {
		job, err := c.CancelJob(cmd.Context(), id, reason)
		if err != nil {
			return fmt.Errorf("cancel job %s: %w", id, err)
		}
		if asJSON {
			return printJSON(a.out, job)
		}
		text := "canceled"
		if !job.State.Final() {
			text = "its executor was asked to stop it"
		}
		_, err = fmt.Fprintf(a.out, "%s: %s\n", visible(job.ID), text)
		return err
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the job's timeline")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the job as one JSON document")
	return cmd
}

func (a *app) jobRetryCommand(r *remote) *cobra.Command {
	var asJSON bool
	cmd := a.jobAction(r, &cobra.Command{
		Use: "retry ID", Short: "Queue a job again that is over",
		Example: "  glovebox job retry ID",
	}, func(cmd *cobra.Command, c *api.Client, id string) error {
		job, err := c.RetryJob(cmd.Context(), id)
		if err != nil {
			return fmt.Errorf("retry job %s: %w", id, err)
		}
		if asJSON {
			return printJSON(a.out, job)
		}
		_, err = fmt.Fprintf(a.out, "%s: %s\n", visible(job.ID), job.State)
		return err
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the job as one JSON document")
	return cmd
}
