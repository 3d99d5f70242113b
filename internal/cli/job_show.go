package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

func (a *app) jobShowCommand(r *remote) *cobra.Command {
	var asJSON bool
	cmd := a.jobAction(r, &cobra.Command{
		Use: "show ID", Short: "Show a job: state, steps, usage and timeline",
		Example: "  glovebox job show ID\n  glovebox job show ID --json | jq .result.usage",
	}, func(cmd *cobra.Command, c *api.Client, id string) error {
		job, err := c.Job(cmd.Context(), id)
		if err != nil {
			return fmt.Errorf("show job %s: %w", id, err)
		}
		if asJSON {
			return printJSON(a.out, job)
		}
		_, err = fmt.Fprint(a.out, a.describeJob(job))
		return err
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// describeJob writes a job for people.
func (a *app) describeJob(job glovebox.Job) string {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s %s\n", a.paint(dim, fmt.Sprintf("%-11s", name)), value)
		}
	}
	state := a.paint(stateColor(string(job.State)), string(job.State))
	if job.CancelRequested && !job.State.Final() {
		state += ", cancel requested"
	}
	if job.Reason != "" {
		state += ": " + visible(job.Reason)
	}
	field("job", visible(job.ID))
	field("name", visible(job.Name))
	field("state", state)
	field("queue", visible(job.Queue))
	if job.Repo != nil {
		field("repository", visible(strings.TrimSpace(job.Repo.Name+" "+job.Repo.Rev+" "+job.Repo.Commit)))
	}
	field("executor", visible(job.Executor))
	field("attempt", fmt.Sprint(job.Attempt))
	field("submitted", job.CreatedAt.Local().Format(time.DateTime)+" by "+visible(orDash(job.SubmittedBy)))
	if res := job.Result; res != nil {
		field("runtime", visible(res.Runtime))
		field("usage", usageText(res.Usage))
		if d := res.Diff; d != nil {
			field("diff", fmt.Sprintf("%d files changed, +%d -%d (glovebox job diff %s)", d.Files, d.Insertions, d.Deletions, visible(job.ID)))
		}
		for _, o := range res.Outputs {
			field("output", fmt.Sprintf("%s (%s)", visible(o.Name), humanize.IBytes(uint64(max(0, o.Size)))))
		}
		a.describeSteps(&b, res.Steps)
	}
	a.describeTimeline(&b, job.Timeline)
	return b.String()
}

func (a *app) describeSteps(b *strings.Builder, steps []glovebox.StepResult) {
	if len(steps) > 0 {
		fmt.Fprintf(b, "\n%s\n", a.paint(bold, "steps"))
	}
	for _, s := range steps {
		outcome := fmt.Sprintf("exit %d", s.ExitCode)
		if s.State == glovebox.StateSkipped {
			outcome = "-"
		}
		if s.Reason != "" {
			outcome += ", " + visible(s.Reason)
		}
		state := fmt.Sprintf("%-10s", s.State)
		fmt.Fprintf(b, "  %-20s %s %-28s %s\n", visible(s.Key), a.paint(stateColor(string(s.State)), state), outcome, usageText(s.Usage))
	}
}

func (a *app) describeTimeline(b *strings.Builder, events []glovebox.Event) {
	if len(events) > 0 {
		fmt.Fprintf(b, "\n%s\n", a.paint(bold, "timeline"))
	}
	for _, e := range events {
		attempt := ""
		if e.Attempt > 0 {
			attempt = fmt.Sprintf(" #%d", e.Attempt)
		}
		fmt.Fprintf(b, "  %s %-18s%s %s  %s\n", e.Time.Local().Format("15:04:05.000"), visible(e.Kind), attempt, a.paint(dim, visible(e.Actor)), visible(e.Message))
	}
}

func usageText(u glovebox.Usage) string {
	text := fmt.Sprintf("%s wall, %s CPU", short(seconds(u.WallSeconds)), short(seconds(u.CPUSeconds)))
	if u.PeakMemory > 0 {
		text += ", " + humanize.IBytes(uint64(u.PeakMemory)) + " peak"
	}
	return text
}
