package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/disk"
	"github.com/glovebox-dev/glovebox/internal/executor"
	"github.com/glovebox-dev/glovebox/internal/stepcache"
)

// executorFlags are the flags of "executor run".
type executorFlags struct {
	remote
	name, data, metricsListen string
	slots, ahead              int
	queues, labels, runtimes  []string
	hostImage                 bool
}

func (a *app) executorRunCommand() *cobra.Command {
	f := &executorFlags{}
	cmd := &cobra.Command{
		Annotations: map[string]string{longRunning: "yes"},
		Use:         "run", Short: "Run an executor: claim jobs from a server and run them in sandboxes", Args: cobra.NoArgs,
		Long: `Run claims jobs from a server and runs each in a sandbox of its own. SIGTERM or an
interrupt drains it: it claims no more and ends when its jobs have; a second one stops the jobs,
which go back to the queue. At its start it removes what a killed predecessor left.`,
		Example: `  glovebox token create build-1 --executor build-1       (on the server's side)
  GLOVEBOX_EXECUTOR_TOKEN=gbe_… glovebox executor run --server https://glovebox.example.org --name build-1 --slots 4`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.runExecutor(cmd.Context(), f) },
	}
	f.addExecutorFlags(cmd.Flags())
	return cmd
}

func (f *executorFlags) addExecutorFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.server, "server", "", "the server's `URL`")
	flags.StringVar(&f.token, "token", "", "the executor's `token`; better given by GLOVEBOX_EXECUTOR_TOKEN")
	nameVariable(flags, "token", "GLOVEBOX_EXECUTOR_TOKEN")
	flags.StringVar(&f.name, "name", "", "the executor's `name`, that of its token (default: the host's name)")
	flags.IntVar(&f.slots, "slots", 2, "how many jobs run at once; free CPU, memory and disk bound them too")
	flags.IntVar(&f.ahead, "ahead", 1, "how many more jobs are prepared meanwhile")
	flags.StringSliceVar(&f.queues, "queue", nil, "queues it serves; all when none is named")
	flags.StringSliceVar(&f.labels, "label", nil, "labels it has, `K=V`")
	flags.StringSliceVar(&f.runtimes, "runtime", []string{defaultRuntime}, "runtimes it offers, the default one first: gvisor, docker")
	flags.StringVar(&f.data, "data", "", "`folder` of images, clones and running jobs (default ~/.cache/glovebox)")
	flags.BoolVar(&f.hostImage, "allow-host-image", false, "let jobs see this host's /usr by the image \"host\"")
	flags.StringVar(&f.metricsListen, "metrics-listen", "", "`address` to answer /metrics and /healthz on")
}

// labelMap reads K=V labels.
func labelMap(labels []string) (map[string]string, error) {
	m := map[string]string{}
	for _, l := range labels {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return nil, usageErrorf("--label %s: want K=V", visible(l))
		}
		m[k] = v
	}
	return m, nil
}

// runExecutor runs an executor until it is drained.
func (a *app) runExecutor(ctx context.Context, f *executorFlags) (err error) {
	if f.server == "" {
		return withHint(usageErrorf("no server named"), "set GLOVEBOX_SERVER or --server")
	}
	if f.token == "" {
		return withHint(usageErrorf("no token"), "set GLOVEBOX_EXECUTOR_TOKEN; an admin makes it with: glovebox token create NAME --executor NAME")
	}
	client, err := api.NewClient(f.server, f.token)
	if err != nil {
		return usageErrorf("%w", err)
	}
	defer client.CloseIdle()
	if f.name == "" {
		if f.name, err = os.Hostname(); err != nil {
			return usageErrorf("no name: %w", err)
		}
	}
	data, err := dataDir(f.data)
	if err != nil {
		return err
	}
	inst, err := claimInstance(filepath.Join(data, "executor", folderName(f.name)))
	if errors.Is(err, errBusy) {
		return withHint(fmt.Errorf("an executor named %s runs here already", visible(f.name)), "give this one another --name or --data")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inst.release()) }()
	tracer, flush, err := a.tracer(ctx, "executor")
	if err != nil {
		return err
	}
	defer flush()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	daemon, err := a.newDaemon(ctx, f, executorSettings{data: data, runtimes: f.runtimes, hostImage: f.hostImage, tracer: tracer}, inst, client, registry)
	if err != nil {
		return err
	}
	stopMetrics, err := a.serveMetrics(f.metricsListen, registry)
	if err != nil {
		return err
	}
	defer stopMetrics()
	ctx, stop := a.drainOnSignal(ctx, daemon)
	defer stop()
	a.log.Info("executor starts", "executor", f.name, "server", client.BaseURL(), "slots", f.slots, "runtimes", strings.Join(f.runtimes, ","))
	err = daemon.Run(ctx)
	a.log.Info("executor ended", "executor", f.name)
	return err
}

// newDaemon checks the runtimes and makes the executor.
func (a *app) newDaemon(ctx context.Context, f *executorFlags, s executorSettings, inst *instance, source executor.Source, registry *prometheus.Registry) (*executor.Daemon, error) {
	labels, err := labelMap(f.labels)
	if err != nil {
		return nil, err
	}
	if len(f.runtimes) == 0 {
		return nil, usageErrorf("--runtime: name at least one")
	}
	if f.slots < 1 {
		return nil, usageErrorf("--slots %d: want 1 or more", f.slots)
	}
	deps, runtimes, err := a.executorDeps(s, inst)
	if err != nil {
		return nil, err
	}
	for _, rt := range runtimes {
		if err := rt.Check(ctx); err != nil {
			return nil, withHint(fmt.Errorf("runtime %s can't run here: %w", rt.Name(), err), "glovebox doctor says more; --runtime chooses another")
		}
	}
	deps.Source = source
	if c, ok := source.(*api.Client); ok {
		deps.StepCache = func(lease glovebox.Lease) stepcache.Store { return attemptSteps(c, lease) }
	}
	if deps.Metrics, err = executor.NewMetrics(registry); err != nil {
		return nil, err
	}
	capacity, err := executor.HostCapacity(deps.Dir)
	if err != nil {
		return nil, err
	}
	return executor.NewDaemon(executor.Config{
		Deps: deps, Name: f.name, Version: readBuild().Version, Labels: labels, Queues: f.queues,
		Slots: f.slots, Ahead: min(f.ahead, f.slots), Capacity: capacity, SweepDisks: disk.Sweep,
	})
}

// drainOnSignal drains the executor at the first signal and ends the context at the second.
func (a *app) drainOnSignal(ctx context.Context, daemon *executor.Daemon) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-signals:
			a.log.Info("draining: running jobs go on, a second signal stops them")
			daemon.Drain()
		case <-ctx.Done():
			return
		}
		select {
		case <-signals:
			a.log.Info("stopping: running jobs go back to the queue")
			cancel(glovebox.ErrShutdown)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(context.Canceled)
		<-stopped
	}
}

// serveMetrics answers /metrics and /healthz on an address, if there is one.
func (a *app) serveMetrics(listen string, registry *prometheus.Registry) (stop func(), err error) {
	if listen == "" {
		return func() {}, nil
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("serve metrics", "error", err)
		}
	}()
	return func() {
		_ = server.Close() // nothing to lose
		<-done
	}, nil
}

// folderName makes a name that came from outside fit for a folder, and distinct from other such names.
func folderName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, name)
	if clean == name && len(name) <= 64 {
		return name
	}
	return clean[:min(len(clean), 40)] + "-" + hashHex(name)
}
