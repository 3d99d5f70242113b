// Package cli is the command line: one file a subcommand. It is the only place
// that wires the parts together and the only one that reads flags, the
// configuration file and GLOVEBOX_* variables. It holds no logic of jobs, queues
// or sandboxes, and does not link gVisor, so that its tests build fast.
//
// Exit codes: 0 done, 1 the request was refused or did not succeed, 2 wrong usage.
// "run" and "job submit --wait" exit as their job does: see exit.go.
package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// Options change the command line for the binary that holds it.
type Options struct {
	// Runtimes are known besides those of every binary; tests add the fake one.
	Runtimes []sandbox.Runtime
	// Runsc is the program to execute as gVisor's runsc: this very program when empty. Tests, which do
	// not link gVisor, name a built glovebox.
	Runsc string
}

// app is one invocation.
type app struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	runtimes []sandbox.Runtime
	runsc    string
	// outTerm and errTerm are set when the stream is a terminal, color when it may be coloured.
	outTerm, errTerm, color bool
	// started is set once a command's own code runs: errors before that are wrong usage.
	started bool
	// settings of every command
	configFile, logFormat, logLevel string
	log                             *slog.Logger
}

// Main runs the command line with the process's arguments and streams and
// returns the exit code.
func Main(opts Options) int {
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, runtimes: opts.Runtimes, runsc: opts.Runsc}
	a.outTerm, a.errTerm = isTerminal(os.Stdout), isTerminal(os.Stderr)
	a.color = a.outTerm && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return a.run(context.Background(), os.Args[1:])
}

// run executes one command line.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	return a.exit(root.ExecuteContext(ctx))
}

// command builds the tree of commands.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "glovebox",
		Short: "Run untrusted code in a secure and controllable way",
		Long: `Glovebox runs untrusted code: each job gets one repository's clone, a sandbox with
its own kernel surface, limits that hold, and the public internet or no network.`,
		Example: `  glovebox run -- uname -a                 a command in a sandbox, with no server
  glovebox run --repo . --diff - -- gofmt -s -w .
  glovebox dev                             server and executor in one process
  glovebox job submit job.yaml --wait`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if err := a.loadSettings(cmd); err != nil {
				return err
			}
			a.started = true
			return nil
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "configuration `file` (default ~/.config/glovebox/config.yaml)")
	flags.StringVar(&a.logFormat, "log-format", "text", "how the program's own log is written to stderr: text or json")
	flags.StringVar(&a.logLevel, "log-level", "", "least level of the program's own log: debug, info, warn or error (default warn; info for server, executor run and dev)")
	root.AddCommand(
		a.runCommand(), a.planCommand(), a.jobCommand(), a.repoCommand(), a.tokenCommand(),
		a.batchCommand(), a.devCommand(), a.serverCommand(), a.executorCommand(), a.doctorCommand(), a.versionCommand(),
	)
	root.CompletionOptions.HiddenDefaultCmd = false
	return root
}

// parent is a command that only holds others.
func parent(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return usageErrorf("%s: name a subcommand (%s --help lists them)", cmd.CommandPath(), cmd.CommandPath())
		},
	}
	cmd.AddCommand(children...)
	return cmd
}

// interruptible returns a context that the first SIGINT or SIGTERM ends with the
// cause given; a second one ends the process at once, by the system's default.
func interruptible(ctx context.Context, cause error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-signals:
			signal.Stop(signals)
			cancel(cause)
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		<-stopped
		cancel(context.Canceled)
	}
}
