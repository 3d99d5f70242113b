package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

func (a *app) jobListCommand(r *remote) *cobra.Command {
	var q api.JobsQuery
	var states []string
	var all, asJSON bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List jobs, newest first", Args: cobra.NoArgs,
		Example: "  glovebox job list --state failed,errored --limit 20\n  glovebox job list --json | jq -r .id",
		Long: `List prints jobs, newest first. With --json it prints one JSON document a line,
a job each.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, s := range states {
				q.States = append(q.States, glovebox.State(s))
			}
			if q.Limit < 1 || q.Limit > 500 {
				return usageErrorf("--limit %d: want 1 to 500", q.Limit)
			}
			c, err := r.client()
			if err != nil {
				return err
			}
			t := a.table("ID", "STATE", "NAME", "REPOSITORY", "QUEUE", "CREATED", "REASON")
			for {
				page, err := c.Jobs(cmd.Context(), q)
				if err != nil {
					return fmt.Errorf("list jobs: %w", err)
				}
				for _, job := range page.Jobs {
					if asJSON {
						if err := a.printLine(job); err != nil {
							return err
						}
						continue
					}
					repo := ""
					if job.Repo != nil {
						repo = job.Repo.Name
					}
					t.add(job.ID, string(job.State), orDash(job.Name), orDash(repo), job.Queue, age(job.CreatedAt), orDash(job.Reason))
				}
				if q.Cursor = page.Next; !all || q.Cursor == "" {
					break
				}
			}
			if asJSON {
				return nil
			}
			return t.print("no jobs; submit one with: glovebox job submit FILE")
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&states, "state", nil, "only jobs in these states: queued, processing, completed, failed, errored, canceled")
	flags.StringVar(&q.Queue, "queue", "", "only jobs of this queue")
	flags.StringVar(&q.Tenant, "tenant", "", "only jobs of this tenant (admins)")
	flags.StringVar(&q.Repo, "repo", "", "only jobs on this repository")
	flags.StringVar(&q.Text, "search", "", "only jobs whose name or id holds this text")
	flags.IntVar(&q.Limit, "limit", 50, "how many, 1 to 500")
	flags.BoolVar(&all, "all", false, "all pages, not only the first")
	flags.BoolVar(&asJSON, "json", false, "print a JSON document a line")
	return cmd
}

// printLine writes one JSON document in one line.
func (a *app) printLine(v any) error {
	line, err := jsonBytes(v)
	if err != nil {
		return err
	}
	_, err = a.out.Write(line)
	return err
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
