package executor

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/logs"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/template"
)

// steps runs the steps in order, each when its condition holds. The error is ours or the
// reason for which ctx ended; what the steps came to is in the result.
func (a *attempt) steps(ctx context.Context) error {
	timeout := time.Duration(a.limits.Timeout)
	jobCtx, cancel := context.WithTimeoutCause(ctx, timeout, glovebox.ErrTimedOut)
	defer cancel()
	a.result.State = glovebox.StateCompleted
	a.firstStep = a.deps.Now()
	defer func() { a.lastStep = a.deps.Now() }()
	for i := len(a.result.Steps); i < len(a.lease.Job.Steps) && !a.done; i++ {
		r, err := a.reach(jobCtx, i)
		a.result.Steps = append(a.result.Steps, r)
		if err != nil {
			return err
		}
		if jobCtx.Err() != nil && ctx.Err() == nil {
			a.result.State, a.result.Reason = glovebox.StateFailed, glovebox.ReasonTimedOut
			return nil
		}
		if r.State == glovebox.StateFailed && a.result.State == glovebox.StateCompleted {
			a.result.State, a.result.Reason = glovebox.StateFailed, jobReason(r)
		}
		if r.State == glovebox.StateCompleted && i+1 < len(a.lease.Job.Steps) {
			if err := a.recall(jobCtx, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// reach runs the step that is next, if its conditions hold.
func (a *attempt) reach(ctx context.Context, i int) (glovebox.StepResult, error) {
	key := stepKey(a.lease.Job.Steps, i)
	skipped := glovebox.StepResult{Key: key, State: glovebox.StateSkipped}
	if !wanted(a.lease.Job.Steps[i].If, a.result.State) {
		return skipped, nil
	}
	s, run, err := a.resolve(ctx, i)
	if err == nil && !run {
		a.remark(key, "skipped: its condition does not hold")
		return skipped, nil
	}
	if err == nil {
		return a.step(ctx, s)
	}
	if isFault(err) {
		a.remark(key, "%s", err)
		return glovebox.StepResult{Key: key, State: glovebox.StateFailed, ExitCode: -1, Reason: err.Error()}, nil
	}
	return skipped, err
}

// idle reports whether it is known before anything is prepared that no step will run.
func (a *attempt) idle(ctx context.Context) bool {
	job := a.lease.Job
	if len(job.Outputs) > 0 || len(a.result.Steps) > 0 {
		return false
	}
	for _, s := range job.Steps {
		if s.Condition == "" || s.If == "failure" {
			return false
		}
		text := s.Condition
		if job.Template != nil {
			t, err := template.Parse(text)
			if err != nil {
				return false
			}
			var known bool
			if text, known = t.Partial(template.Scope{Template: *job.Template}); !known {
				return false
			}
		}
		if strings.TrimSpace(text) == "true" {
			return false
		}
	}
	a.remark("", "no step's condition holds")
	a.result.State, a.done = glovebox.StateCompleted, true
	return true
}

// wanted evaluates a step's condition after the outcome so far.
func wanted(condition string, so glovebox.State) bool {
	switch condition {
	case "always":
		return true
	case "failure":
		return so == glovebox.StateFailed
	default:
		return so == glovebox.StateCompleted
	}
}

func jobReason(r glovebox.StepResult) string {
	if r.Reason != "" {
		return r.Reason
	}
	return fmt.Sprintf("step %s ended with exit code %d", r.Key, r.ExitCode)
}

// step runs one step to its end.
func (a *attempt) step(ctx context.Context, s glovebox.Step) (glovebox.StepResult, error) {
	ctx, span := a.deps.Tracer.Start(ctx, "step", trace.WithAttributes(attribute.String("step", s.Key)))
	defer span.End()
	img, err := a.image(ctx, s.Image)
	if err != nil {
		return glovebox.StepResult{Key: s.Key, State: glovebox.StateErrored}, err
	}
	r := glovebox.StepResult{Key: s.Key, Image: img.Digest}
	if err := a.explain(ctx, s, &r); err != nil {
		return r, err
	}
	stdout, stderr := &capture{off: !a.keeps()}, &capture{off: !a.keeps()}
	if err = a.execute(ctx, s, img, &r, stdout, stderr); err == nil && r.State == glovebox.StateCompleted && a.keeps() {
		if err = a.advance(ctx, s, &r, stdout, stderr); isFault(err) {
			r.State, r.Reason, err = glovebox.StateFailed, err.Error(), nil
			a.remark(s.Key, "%s", r.Reason)
		}
	}
	span.SetAttributes(attribute.Int("exit_code", r.ExitCode), attribute.String("state", string(r.State)))
	a.deps.Metrics.step(r)
	a.event(glovebox.EventStepFinished, fmt.Sprintf("%s: %s", s.Key, outcome(r)))
	return r, err
}

// keeps reports whether what a step comes to is needed after it.
func (a *attempt) keeps() bool { return a.cache != nil || a.lease.Job.Template != nil }

// image returns the image of a step, which is prepared now where only its template told its name.
func (a *attempt) image(ctx context.Context, ref string) (*image.Image, error) {
	a.mu.Lock()
	img := a.images[ref]
	a.mu.Unlock()
	if img != nil {
		return img, nil
	}
	if err := a.prepareImage(ctx, ref); err != nil {
		return nil, err
	}
	return a.images[ref], nil
}

// execute runs the step's command within its time and fills in how it ended.
func (a *attempt) execute(ctx context.Context, s glovebox.Step, img *image.Image, r *glovebox.StepResult, stdout, stderr *capture) error {
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(s.Timeout), glovebox.ErrTimedOut)
		defer cancel()
	}
	started := a.deps.Now().UTC()
	r.StartedAt = &started
	a.event(glovebox.EventStepStarted, s.Key)
	exit, runErr, logErr := a.exec(ctx, s, img, stdout, stderr)
	finished := a.deps.Now().UTC()
	r.FinishedAt, r.ExitCode, r.Usage = &finished, exit.Code, exit.Usage
	if r.Usage.WallSeconds == 0 {
		r.Usage.WallSeconds = finished.Sub(started).Seconds()
	}
	err := a.judge(ctx, r, exit, runErr)
	if err == nil && logErr != nil && r.State != glovebox.StateCanceled {
		r.State, r.Reason, err = glovebox.StateErrored, "log lost", fmt.Errorf("keep log of step %s: %w", s.Key, logErr)
	}
	return err
}

func outcome(r glovebox.StepResult) string {
	if r.Reason != "" {
		return r.Reason
	}
	return fmt.Sprintf("exit code %d", r.ExitCode)
}

// exec runs the step in the sandbox, its output through redaction, lines and limit.
func (a *attempt) exec(ctx context.Context, s glovebox.Step, img *image.Image, out, errs *capture) (exit sandbox.Exit, runErr, logErr error) {
	lines := logs.NewLines(a.limit, s.Key, a.deps.Now, 0)
	out.next, errs.next = lines.Stdout(), lines.Stderr()
	stdout, stderr := a.redactor.Writer(out), a.redactor.Writer(errs)
	files, err := stepFiles(s.Files)
	if err != nil {
		return exit, err, errors.Join(stdout.Close(), stderr.Close(), lines.Close())
	}
	exit, runErr = a.sandbox.Run(ctx, sandbox.Step{
		Key: s.Key, Image: img, Argv: argv(s), Env: a.environ(s, img), Dir: path.Join(sandbox.WorkspaceDir, path.Clean("/"+s.Dir)), Files: files,
	}, stdout, stderr)
	logErr = errors.Join(stdout.Close(), stderr.Close(), lines.Close(), a.limit.EndStep(s.Key))
	return exit, runErr, logErr
}

// stepFiles decodes the files of a step.
func stepFiles(files []glovebox.StepFile) ([]sandbox.File, error) {
	var list []sandbox.File
	for _, f := range files {
		data := []byte(f.Content)
		if f.Base64 != "" {
			var err error
			if data, err = base64.StdEncoding.DecodeString(f.Base64); err != nil {
				return nil, fmt.Errorf("decode file %s: %w", f.Path, err)
			}
		}
		list = append(list, sandbox.File{Path: f.Path, Data: data, Executable: f.Executable})
	}
	return list, nil
}

// judge fills the step's state and reason, and returns the error that ends the job, if any.
func (a *attempt) judge(ctx context.Context, r *glovebox.StepResult, exit sandbox.Exit, runErr error) error {
	cause := context.Cause(ctx)
	switch {
	case runErr != nil && cause != nil && isTimeout(cause):
		r.State, r.Reason, r.ExitCode = glovebox.StateFailed, glovebox.ReasonTimedOut, exitOr(exit.Code, 124)
		a.remark(r.Key, "timed out")
		return nil
	case runErr != nil && cause != nil:
		r.State, r.Reason = glovebox.StateCanceled, glovebox.ReasonCanceled
		if errors.Is(cause, glovebox.ErrShutdown) || errors.Is(cause, glovebox.ErrLeaseLost) {
			r.State, r.Reason = glovebox.StateErrored, cause.Error()
		}
		return cause
	case runErr != nil:
		r.State, r.Reason = glovebox.StateErrored, a.redactor.Text(runErr.Error())
		return fmt.Errorf("run step %s: %w", r.Key, runErr)
	case exit.OOM:
		r.State, r.Reason = glovebox.StateFailed, glovebox.ReasonOutOfMemory
		a.remark(r.Key, "out of memory: the limit is %s", a.limits.Memory)
	case exit.Code == 0:
		r.State = glovebox.StateCompleted
	case exit.PidsLimit:
		r.State, r.Reason = glovebox.StateFailed, glovebox.ReasonPids
		a.remark(r.Key, "process limit reached: the limit is %d", a.limits.Pids)
	default:
		r.State = glovebox.StateFailed
		if full, err := a.disk.Full(); err != nil {
			a.deps.Logger.Warn("measure disk", "job", a.lease.JobID, "error", err)
		} else if full {
			r.Reason = glovebox.ReasonDiskFull
			a.remark(r.Key, "disk full: the limit is %s for workspace, root and temporary files together", a.limits.Disk)
		}
	}
	return nil
}

func exitOr(code, other int) int {
	if code != 0 {
		return code
	}
	return other
}

// maxArg is the longest argument that is passed as one: Linux refuses 128 KiB.
const maxArg = 100 << 10

// argv makes the command of a step. A long script is passed in parts and put together by the shell.
func argv(s glovebox.Step) []string {
	if len(s.Command) > 0 {
		return s.Command
	}
	shell := []string{"sh", "-e", "-c"}
	if s.KeepGoing {
		shell = []string{"sh", "-c"}
	}
	if len(s.Run) <= maxArg {
		return append(shell, s.Run)
	}
	shell = append(shell, `glovebox_script=$(printf %s "$@"); set --; eval "$glovebox_script"`, "sh")
	for part := range slices.Chunk([]byte(s.Run), maxArg) {
		shell = append(shell, string(part))
	}
	return shell
}

// environ makes a step's environment: the image's, ours, the step's own, its secrets; the later wins.
func (a *attempt) environ(s glovebox.Step, img *image.Image) []string {
	env := map[string]string{"HOME": "/root"}
	for _, kv := range img.Env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	env["CI"] = "true"
	env["GLOVEBOX"] = "true"
	env["GLOVEBOX_JOB_ID"] = a.lease.JobID
	env["GLOVEBOX_STEP"] = s.Key
	if a.lease.Job.Repo != nil {
		env["GLOVEBOX_REPO"] = a.lease.Job.Repo.Name
		env["GLOVEBOX_COMMIT"] = a.tree.Commit
	}
	for k, v := range s.Env {
		env[k] = v
	}
	for _, name := range s.Secrets {
		env[name] = a.lease.Secrets[name]
	}
	list := make([]string, 0, len(env))
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}
