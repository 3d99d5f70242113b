package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/executor"
)

// devFlags are the flags of "dev".
type devFlags struct {
	data, listen, runtime string
	slots                 int
	asJSON                bool
	batch                 batchSettings
}

// devReady is what "dev --json" prints once the server answers.
type devReady struct {
	URL           string `json:"url"`
	Token         string `json:"token"`
	ExecutorToken string `json:"executor_token"`
	Login         string `json:"login"`
}

// devExecutor is the name of the executor within "dev", and of that which executor_token is for.
const devExecutor = "dev"

// answerWait bounds how long a server that just began may take to answer.
const answerWait = 10 * time.Second

func (a *app) devCommand() *cobra.Command {
	f := &devFlags{}
	cmd := &cobra.Command{
		Annotations: map[string]string{longRunning: "yes"},
		Use:         "dev", Short: "Run server and executor in one process, to try things out", Args: cobra.NoArgs,
		Long: `Dev starts a server on SQLite and an executor in one process and prints the address, a
link to log in by, and tokens. Without --data everything is gone when it ends. Jobs may use
the image "host". With --slots 0 there is no executor: start one with the executor's token.`,
		Example: `  glovebox dev
  glovebox dev --data ~/glovebox --listen 127.0.0.1:7460
  glovebox dev --json --slots 0`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context(), glovebox.ErrShutdown)
			defer stop()
			return a.dev(ctx, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "", "`folder` that keeps everything; without it all is gone at the end")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "`address` to answer on; port 0 is any that is free")
	flags.IntVar(&f.slots, "slots", 2, "how many jobs run at once; 0 starts no executor")
	flags.StringVar(&f.runtime, "runtime", defaultRuntime, "the runtime of jobs that name none")
	flags.BoolVar(&f.asJSON, "json", false, "print one line of JSON (url, token, executor_token, login) once the server answers")
	f.batch.add(flags)
	return cmd
}

// dev runs server and executor until ctx ends.
func (a *app) dev(ctx context.Context, f *devFlags) (err error) {
	if f.slots < 0 {
		return usageErrorf("--slots %d: want 0 or more", f.slots)
	}
	inst, cache, err := f.folders()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.leave(inst)) }()
	tracer, flush, err := a.tracer(ctx, "dev")
	if err != nil {
		return err
	}
	defer flush()
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return withHint(fmt.Errorf("listen: %w", err), "choose another address by --listen")
	}
	ready := devReady{URL: loopbackURL(listener.Addr())}
	parts, err := a.openServer(ctx, serverSettings{data: inst.dir, tracer: tracer, batch: f.batch, pages: ready.URL})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, parts.Close()) }()
	if err := ready.makeTokens(ctx, parts); err != nil {
		return errors.Join(err, listener.Close())
	}
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	served := make(chan error, 1)
	go func() { served <- parts.run(serving, listener) }()

	err = a.devBody(ctx, f, ready, executorSettings{data: cache, runtimes: []string{f.runtime}, hostImage: true, ownPaths: true, tracer: tracer}, inst, served)
	stopServing()
	return errors.Join(err, <-served)
}

// devBody says where the server is and runs the executor until ctx ends or the server fails.
func (a *app) devBody(ctx context.Context, f *devFlags, ready devReady, s executorSettings, inst *instance, served chan error) error {
	client, err := api.NewClient(ready.URL, ready.ExecutorToken)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	answering, cancel := context.WithTimeout(ctx, answerWait)
	err = client.Healthy(answering)
	cancel()
	if err != nil {
		return fmt.Errorf("wait for the server to answer: %w", err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case err := <-served:
			stop(err)
			served <- err
		case <-ctx.Done():
		}
	}()
	defer func() { stop(nil); <-watched }()
	var daemon *executor.Daemon
	if f.slots > 0 {
		if err := inst.note(f.runtime); err != nil {
			return err
		}
		if f.data == "" { // else the executor sweeps its own folder
			a.clearAbandoned(ctx, filepath.Join(s.data, "dev"), s.data)
		}
		flags := &executorFlags{name: devExecutor, slots: f.slots, ahead: 1, runtimes: []string{f.runtime}}
		if daemon, err = a.newDaemon(ctx, flags, s, inst, client, prometheus.NewRegistry()); err != nil {
			return err
		}
	}
	if err := a.announce(f, ready); err != nil {
		return err
	}
	if daemon != nil {
		return daemon.Run(ctx)
	}
	<-ctx.Done()
	return nil
}

// folders claims the folder of this process's own and names the one of images and clones.
func (f *devFlags) folders() (inst *instance, cache string, err error) {
	if f.data != "" {
		inst, err = claimInstance(f.data)
		if errors.Is(err, errBusy) {
			return nil, "", withHint(err, "another glovebox dev has this folder; end it or choose another by --data")
		}
		if err != nil {
			return nil, "", err
		}
		cache, err = privateDir(filepath.Join(inst.dir, "cache"))
		return inst, cache, err
	}
	if cache, err = dataDir(""); err != nil {
		return nil, "", err
	}
	inst, err = newInstance(filepath.Join(cache, "dev"))
	return inst, cache, err
}

// leave gives the folder up, and removes it where the user did not name it.
func (f *devFlags) leave(inst *instance) error {
	if f.data != "" {
		return inst.release()
	}
	return inst.remove()
}

// makeTokens makes fresh tokens; they are as old as this process.
func (r *devReady) makeTokens(ctx context.Context, parts *serverParts) error {
	user, err := parts.tokens.Create(ctx, glovebox.Token{Name: "dev", Kind: glovebox.TokenUser, Role: glovebox.RoleAdmin, Tenant: glovebox.DefaultTenant})
	if err != nil {
		return fmt.Errorf("make token: %w", err)
	}
	machine, err := parts.tokens.Create(ctx, glovebox.Token{Name: "dev executor", Kind: glovebox.TokenExecutor, Executor: devExecutor})
	if err != nil {
		return fmt.Errorf("make executor's token: %w", err)
	}
	r.Token, r.ExecutorToken = user.Secret, machine.Secret
	r.Login = r.URL + "/login#token=" + url.QueryEscape(user.Secret)
	return nil
}

// announce prints where the server is.
func (a *app) announce(f *devFlags, r devReady) error {
	if f.asJSON {
		return a.printLine(r)
	}
	_, err := fmt.Fprintf(a.out, `%s  %s
%s  %s
%s  export GLOVEBOX_SERVER=%s GLOVEBOX_TOKEN=%s
%s  %s
%s  interrupt (ctrl-c)
`, a.paint(bold, "server  "), r.URL, a.paint(bold, "log in  "), r.Login, a.paint(bold, "terminal"), r.URL, r.Token,
		a.paint(bold, "executor"), executorLine(f, r), a.paint(bold, "to end  "))
	return err
}

func executorLine(f *devFlags, r devReady) string {
	if f.slots > 0 {
		return fmt.Sprintf("%d slots on %s", f.slots, f.runtime)
	}
	return fmt.Sprintf("none; start one: GLOVEBOX_EXECUTOR_TOKEN=%s glovebox executor run --server %s --name %s --allow-host-image", r.ExecutorToken, r.URL, devExecutor)
}

// loopbackURL is an address of this host where addr is all of its addresses.
func loopbackURL(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return "http://" + addr.String()
	}
	host := tcp.IP
	if host.IsUnspecified() {
		host = net.IPv4(127, 0, 0, 1)
	}
	return (&url.URL{Scheme: "http", Host: net.JoinHostPort(host.String(), fmt.Sprint(tcp.Port))}).String()
}
