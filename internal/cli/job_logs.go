package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/logs"
)

var errInterrupted = errors.New("interrupted")

// reconnectWait is how long to wait before following a log again after the connection broke.
const reconnectWait = time.Second

// reconnectFor is how long the server may be away while a log is followed.
const reconnectFor = 5 * time.Minute

func (a *app) jobLogsCommand(r *remote) *cobra.Command {
	f := &follower{app: a}
	var follow, asJSON bool
	cmd := a.jobAction(r, &cobra.Command{
		Use: "logs ID", Aliases: []string{"log"}, Short: "Print a job's log; with -f, as it grows",
		Long: `Logs prints what a job's steps wrote: their stdout to stdout, their stderr and
Glovebox's own remarks to stderr. Escape sequences other than colours are taken out.`,
		Example: "  glovebox job logs -f ID\n  glovebox job logs ID --step test --json",
	}, func(cmd *cobra.Command, c *api.Client, id string) error {
		f.client, f.jobID, f.sink = c, id, a.console(a.out, false)
		if asJSON {
			f.sink = jsonLines{a.out}
		}
		if follow {
			return f.follow(cmd.Context())
		}
		return f.print(cmd.Context())
	})
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "go on until the job is over")
	flags.IntVar(&f.query.Attempt, "attempt", 0, "the log of this attempt, rather than the latest")
	flags.StringVar(&f.query.Step, "step", "", "only the log of the step with this key")
	flags.BoolVar(&asJSON, "json", false, "print the records, a JSON document a line")
	return cmd
}

// follower prints a job's log.
type follower struct {
	*app
	client *api.Client
	jobID  string
	query  api.LogQuery
	sink   logs.Sink
}

// console is the sink that shows a log on the app's streams, safe for a terminal.
func (a *app) console(stdout io.Writer, quiet bool) logs.Sink {
	return logs.NewConsole(logs.ConsoleOptions{Stdout: stdout, Stderr: a.err, Color: a.color, Quiet: quiet})
}

// jsonLines is the sink that prints records as they are stored.
type jsonLines struct{ w io.Writer }

func (j jsonLines) Write(rec glovebox.LogRecord) error {
	line, err := logs.Encode(rec)
	if err == nil {
		_, err = j.w.Write(line)
	}
	return err
}

// print writes the log as it is now.
func (f *follower) print(ctx context.Context) error {
	body, err := f.client.JobLog(ctx, f.jobID, f.query)
	if err != nil {
		return fmt.Errorf("read log of job %s: %w", f.jobID, err)
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), 1<<20)
	for lines.Scan() {
		rec, err := logs.Decode(lines.Bytes())
		if err != nil {
			return fmt.Errorf("read log of job %s: %w", f.jobID, err)
		}
		if err := f.sink.Write(rec); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read log of job %s: %w", f.jobID, err)
	}
	return nil
}

// follow prints the log until the job is over, the logs of later attempts too unless one
// was asked for. Broken connections are taken up again where they broke, so that no
// record is lost or shown twice.
func (f *follower) follow(ctx context.Context) error {
	q, single, over := f.query, f.query.Attempt > 0, 0
	var printing error
	lastHeard := time.Now()
	for {
		_, err := f.client.FollowLog(ctx, f.jobID, q, func(e api.LogEvent) error {
			lastHeard = time.Now()
			if e.Attempt <= over {
				return nil
			}
			q.Offset, q.Attempt = e.Next, e.Attempt
			printing = f.sink.Write(e.Record)
			return printing
		})
		if err == nil && !single && q.Attempt > over {
			// The end may be that of the attempt we took up again, not of the job.
			var job glovebox.Job
			if job, err = f.client.Job(ctx, f.jobID); err == nil && !job.State.Final() || job.Attempt > q.Attempt {
				over, q = q.Attempt, f.query
				continue
			}
		}
		switch {
		case err == nil:
			return nil
		case printing != nil:
			return printing
		case ctx.Err() != nil:
			return &exitError{code: exitCanceled, err: context.Cause(ctx)}
		case !transient(err) || time.Since(lastHeard) > reconnectFor:
			return fmt.Errorf("read log of job %s: %w", f.jobID, err)
		}
		f.log.Debug("log connection broke, following again", "job", f.jobID, "error", err)
		select {
		case <-time.After(reconnectWait):
		case <-ctx.Done():
		}
	}
}

// transient reports whether a request may succeed when it is sent again.
func transient(err error) bool {
	var refused *api.Error
	if errors.As(err, &refused) {
		return refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusTooManyRequests
	}
	return true
}

// finishJob shows how a job ended and returns its exit code.
func (a *app) finishJob(cmd *cobra.Command, get func(context.Context, string) (glovebox.Job, error), id string, asJSON bool) error {
	job, err := get(cmd.Context(), id)
	if err != nil {
		return fmt.Errorf("show job %s: %w", id, err)
	}
	if asJSON {
		if err := printJSON(a.out, job); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.err, a.summary(job))
	var steps []glovebox.StepResult
	if job.Result != nil {
		steps = job.Result.Steps
	}
	if code := jobExit(job.State, job.Reason, steps); code != 0 {
		return &exitError{code: code}
	}
	return nil
}
