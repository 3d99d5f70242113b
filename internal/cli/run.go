package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/executor"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// runFlags are the flags of "run".
type runFlags struct {
	spec            specFlags
	data, diff, out string
	keep            string
	keepWork        bool
	asJSON, quiet   bool
}

func (a *app) runCommand() *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use: "run [flags] -- CMD… | run [flags] FILE", Short: "Run a command or a job file in a sandbox here, with no server",
		Long: `Run takes a command after "--", or a job file ("-" for stdin), and runs it in a sandbox
of its own. The repository is taken at its commit: it stays untouched and what is not
committed is left out. Output appears as it is written; --diff receives what the steps
changed.
` + exitCodesHelp,
		Example: `  glovebox run -- uname -a
  glovebox run --repo . --diff - -- gofmt -s -w .
  glovebox run --image debian:13 --network none --memory 512M -- sh -c 'id; ls /'
  glovebox run job.yaml --output 'report/*.json' --output-dir results`,
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, secrets, err := a.readSpec(cmd, args, &f.spec)
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context(), glovebox.ErrCanceled)
			defer stop()
			return a.runJob(ctx, f, spec, secrets)
		},
	}
	flags := cmd.Flags()
	f.spec.addFlags(flags)
	flags.StringVar(&f.diff, "diff", "", "write what the steps changed to this `file`, for git apply --index; - is stdout, after the steps' output")
	flags.StringVar(&f.out, "output-dir", "glovebox-outputs", "the `folder` that files named by --output are written into")
	flags.BoolVar(&f.keepWork, "keep", false, "keep the workspace as the steps left it, and say where")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print what the steps write and nothing else")
	flags.StringVar(&f.data, "data", "", "`folder` of images, clones and running jobs (default ~/.cache/glovebox)")
	flags.BoolVar(&f.asJSON, "json", false, "print the result as one JSON document on stdout; all output goes to stderr")
	return cmd
}

// runJob runs a job and returns how it ended as an exit code.
func (a *app) runJob(ctx context.Context, f *runFlags, spec glovebox.JobSpec, secrets map[string]string) (err error) {
	name := spec.Runtime
	if name == "" {
		name = defaultRuntime
	}
	data, err := dataDir(f.data)
	if err != nil {
		return errored(err)
	}
	inst, err := newInstance(filepath.Join(data, "run"))
	if err != nil {
		return errored(err)
	}
	defer func() { err = a.dropInstance(inst, err) }()
	tracer, flush, err := a.tracer(ctx, "run")
	if err != nil {
		return errored(err)
	}
	defer flush()
	if err := inst.note(name); err != nil {
		return errored(err)
	}
	deps, _, err := a.executorDeps(executorSettings{data: data, runtimes: []string{name}, hostImage: true, ownPaths: true, tracer: tracer}, inst)
	if err != nil {
		return errored(err)
	}
	a.clearAbandoned(ctx, filepath.Join(data, "run"), data)
	if f.keepWork {
		if f.keep, err = os.MkdirTemp("", "glovebox-kept-"); err != nil {
			return errored(fmt.Errorf("make folder for the workspace: %w", err))
		}
		deps.MakeDisk = keeping(f.keep, deps.MakeDisk)
	}
	return a.runLease(ctx, f, deps, spec, secrets)
}

// runLease resolves the repository, runs the job and shows the result.
func (a *app) runLease(ctx context.Context, f *runFlags, deps executor.Deps, spec glovebox.JobSpec, secrets map[string]string) error {
	lease, notes, err := executor.LocalLease(ctx, "run-"+randomHex(4), spec, secrets)
	if err != nil {
		return errored(err)
	}
	if !f.quiet {
		for _, n := range notes {
			fmt.Fprintln(a.err, visible(n))
		}
	}
	stdout := a.out
	if f.asJSON {
		stdout = a.err
	}
	diff, err := os.CreateTemp(filepath.Dir(deps.Dir), "diff-")
	if err != nil {
		return errored(fmt.Errorf("make temporary file: %w", err))
	}
	defer os.Remove(diff.Name())
	defer diff.Close()
	source := &executor.LocalSource{Sink: a.console(stdout, f.quiet), Diff: diff}
	if len(spec.Outputs) > 0 {
		source.Outputs = f.out
	}
	deps.Source = source
	result := executor.Run(ctx, deps, lease)
	if err := a.deliverDiff(f, diff, result); err != nil {
		return errored(err)
	}
	if f.asJSON {
		if err := printJSON(a.out, result); err != nil {
			return errored(err)
		}
	}
	a.finishRun(f, result)
	if code := jobExit(result.State, result.Reason, result.Steps); code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// finishRun says what the log has not said yet. Why a job did not complete was its last remark.
func (a *app) finishRun(f *runFlags, result glovebox.Result) {
	if f.keep != "" {
		fmt.Fprintf(a.err, "workspace kept in %s\n", f.keep)
	}
	if result.State == glovebox.StateErrored {
		if f.quiet {
			fmt.Fprintf(a.err, "glovebox: %s\n", visible(result.Reason))
		}
		fmt.Fprintln(a.err, "          glovebox doctor says what this host can do")
		return
	}
	if f.quiet {
		return
	}
	if len(result.Outputs) > 0 {
		fmt.Fprintf(a.err, "%d outputs in %s\n", len(result.Outputs), f.out)
	}
	if d := result.Diff; d != nil {
		fmt.Fprintf(a.err, "%d files changed, +%d -%d\n", d.Files, d.Insertions, d.Deletions)
	}
}

// deliverDiff writes the diff to where --diff says. A job that changed nothing leaves an empty file.
func (a *app) deliverDiff(f *runFlags, diff *os.File, result glovebox.Result) (err error) {
	if f.diff == "" || result.State == glovebox.StateErrored {
		return nil
	}
	if _, err := diff.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read diff: %w", err)
	}
	if f.diff == "-" {
		if f.asJSON {
			_, err = io.Copy(a.err, diff)
			return err
		}
		return a.printDiff(diff)
	}
	out, err := os.Create(f.diff)
	if err != nil {
		return fmt.Errorf("write diff: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err = io.Copy(out, diff); err != nil {
		return fmt.Errorf("write diff: %w", err)
	}
	return nil
}

// clearAbandoned removes what killed processes left beneath parent, each with the runtime that it used.
func (a *app) clearAbandoned(ctx context.Context, parent, data string) {
	for _, left := range abandoned(parent) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		err := a.clear(ctx, left, data)
		cancel()
		if err != nil {
			a.log.Warn("remove what a killed process left", "folder", left.dir, "error", err)
		}
	}
}

// clear removes one such folder, unless something could not be removed.
func (a *app) clear(ctx context.Context, left *instance, data string) error {
	var runtimes []sandbox.Runtime
	if name := left.runtime(); name != "" {
		rt, err := a.makeRuntime(name, data)
		if err != nil {
			return errors.Join(err, left.release())
		}
		runtimes = append(runtimes, rt)
	}
	if err := sweep(ctx, runtimes, left); err != nil {
		return errors.Join(err, left.release())
	}
	return left.remove()
}

// dropInstance removes the folder of a run that is over.
func (a *app) dropInstance(inst *instance, err error) error {
	if removal := inst.remove(); removal != nil {
		a.log.Warn("remove folder of the run", "folder", inst.dir, "error", removal)
	}
	return err
}

// errored is a fault of Glovebox's, or of the host's, as "run" reports it.
func errored(err error) error {
	var coded *exitError
	if errors.As(err, &coded) {
		return err
	}
	return &exitError{code: exitErrored, err: err}
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
