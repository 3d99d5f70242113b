package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
)

func (a *app) jobSubmitCommand(r *remote) *cobra.Command {
	var wait, asJSON bool
	cmd := &cobra.Command{
		Use: "submit FILE", Short: "Submit a job file; print the job's id", Args: cobra.ExactArgs(1),
		Long: `Submit sends a job file (YAML or JSON, "-" for stdin) to the server and prints the
job's id. With --wait it then shows the log as it grows and exits as the job does.
An interrupt while waiting leaves the job running.
` + exitCodesHelp,
		Example: "  glovebox job submit job.yaml\n  glovebox job submit job.yaml --wait\n  ID=$(glovebox job submit - < job.yaml)",
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := a.readJobFile(args[0])
			if err != nil {
				return err
			}
			if _, err := file.Resolve(); err != nil {
				return fileError(args[0], err)
			}
			c, err := r.client()
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context(), errInterrupted)
			defer stop()
			job, err := c.SubmitJob(ctx, file.Spec)
			if err != nil {
				if located := file.Locate(err); located != err {
					return fileError(args[0], located)
				}
				return fmt.Errorf("submit job: %w", err)
			}
			if !wait {
				if asJSON {
					return printJSON(a.out, job)
				}
				_, err := fmt.Fprintln(a.out, job.ID)
				return err
			}
			fmt.Fprintf(a.err, "job %s\n", job.ID)
			stdout := a.out
			if asJSON {
				stdout = a.err
			}
			follower := &follower{app: a, client: c, jobID: job.ID, sink: a.console(stdout, false)}
			if err := follower.follow(ctx); err != nil {
				return withHint(fmt.Errorf("follow job %s: %w", job.ID, err), "the job goes on; see it with: glovebox job show "+job.ID)
			}
			return a.finishJob(cmd, c.Job, job.ID, asJSON)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "show the log until the job is over and exit as the job does")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the job as one JSON document; with --wait, once it is over")
	return cmd
}

// summary says in one line how a job ended.
func (a *app) summary(job glovebox.Job) string {
	text := a.paint(stateColor(string(job.State)), string(job.State))
	if job.Reason != "" {
		text += ": " + visible(job.Reason)
	}
	if job.Result != nil {
		text += fmt.Sprintf(", %s", short(seconds(job.Result.Usage.WallSeconds)))
		if d := job.Result.Diff; d != nil {
			text += fmt.Sprintf(", %d files changed (+%d -%d)", d.Files, d.Insertions, d.Deletions)
		}
		if n := len(job.Result.Outputs); n > 0 {
			text += fmt.Sprintf(", %d outputs", n)
		}
	}
	return text
}
