package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/glovebox-dev/glovebox"
)

// serverFlags are the flags of "server".
type serverFlags struct {
	serverSettings
	listen, certFile, keyFile string
	maxArtifact, maxArtifacts glovebox.Size
}

func (a *app) serverCommand() *cobra.Command {
	f := &serverFlags{}
	cmd := &cobra.Command{
		Annotations: map[string]string{longRunning: "yes"},
		Use:         "server", Short: "Run a server: queue, git gateway, logs, results and pages", Args: cobra.NoArgs,
		Long: `Server holds jobs, logs and results in its data folder and hands jobs to executors.
It starts no sandbox itself. At its first start it prints an admin's token, once;
or it takes the one in GLOVEBOX_ADMIN_TOKEN. SIGTERM ends it in good order.`,
		Example: `  glovebox server --data /var/lib/glovebox --listen :7460 --external-url https://glovebox.example.org
  glovebox server --tls-cert cert.pem --tls-key key.pem`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context(), errInterrupted)
			defer stop()
			return a.serve(ctx, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:7460", "`address` to answer on")
	flags.StringVar(&f.data, "data", "", "`folder` of database, logs, results and mirrors (default ~/.local/state/glovebox)")
	flags.StringVar(&f.config.ExternalURL, "external-url", "", "the `URL` that executors and users reach the server by; else that of each request")
	flags.StringVar(&f.certFile, "tls-cert", "", "`file` with the certificate chain, PEM; with --tls-key the server speaks HTTPS")
	flags.StringVar(&f.keyFile, "tls-key", "", "`file` with the certificate's key, PEM")
	flags.StringVar(&f.adminToken, "admin-token", "", "an admin's `token` of your choice; better given by GLOVEBOX_ADMIN_TOKEN")
	flags.DurationVar(&f.leaseTTL, "lease-ttl", time.Minute, "how long an executor may be silent before its jobs go to others")
	flags.IntVar(&f.limits.PerTenant, "max-jobs-per-tenant", 0, "jobs of one tenant that are processed at once; no bound when 0")
	flags.IntVar(&f.limits.PerQueue, "max-jobs-per-queue", 0, "jobs of one queue that are processed at once; no bound when 0")
	flags.Var(sizeFlag{&f.maxArtifact}, "max-artifact", "bound of one diff or output (default 1G)")
	flags.Var(sizeFlag{&f.maxArtifacts}, "max-artifacts", "bound of all that one attempt of a job keeps (default 4G)")
	f.batch.add(flags)
	return cmd
}

// serve runs a server until ctx ends.
func (a *app) serve(ctx context.Context, f *serverFlags) (err error) {
	if (f.certFile == "") != (f.keyFile == "") {
		return usageErrorf("--tls-cert and --tls-key are given together")
	}
	if f.leaseTTL < 5*time.Second {
		return usageErrorf("--lease-ttl %v: want at least 5s", f.leaseTTL)
	}
	if f.limits.PerTenant < 0 || f.limits.PerQueue < 0 {
		return usageErrorf("--max-jobs-per-tenant and --max-jobs-per-queue: want 0 or more")
	}
	if err := f.config.Validate(); err != nil {
		return usageErrorf("%w", err)
	}
	if f.data, err = stateDir(f.data, a.getenv("XDG_STATE_HOME")); err != nil {
		return err
	}
	f.config.MaxArtifact, f.config.MaxArtifacts = int64(f.maxArtifact), int64(f.maxArtifacts)
	f.pages = f.config.ExternalURL
	f.secureCookies = f.certFile != "" || strings.HasPrefix(f.config.ExternalURL, "https:")
	tracer, flush, err := a.tracer(ctx, "server")
	if err != nil {
		return err
	}
	defer flush()
	f.tracer = tracer
	parts, err := a.openServer(ctx, f.serverSettings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parts.Close()) }()
	listener, url, err := f.open()
	if err != nil {
		return err
	}
	if f.adminToken == "" {
		secret, err := firstAdmin(ctx, parts.tokens, time.Now())
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		if secret != "" {
			fmt.Fprintf(a.out, "admin token, shown this once: %s\n", secret)
		}
	}
	a.log.Info("server answers", "url", url, "data", f.data)
	err = parts.run(ctx, listener)
	a.log.Info("server stopped")
	return err
}

// open listens, with TLS where there is a certificate.
func (f *serverFlags) open() (net.Listener, string, error) {
	scheme := "http"
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return nil, "", withHint(fmt.Errorf("listen: %w", err), "is another server running there? choose another address by --listen")
	}
	if f.certFile != "" {
		cert, err := tls.LoadX509KeyPair(f.certFile, f.keyFile)
		if err != nil {
			return nil, "", errors.Join(fmt.Errorf("read certificate: %w", err), listener.Close())
		}
		scheme = "https"
		listener = tls.NewListener(listener, &tls.Config{
			Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		})
	}
	return listener, scheme + "://" + listener.Addr().String(), nil
}

// run answers on listener, lets leases expire and drives batch changes, until ctx ends.
func (p *serverParts) run(ctx context.Context, listener net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.server.Serve(ctx, listener, p.handler) })
	group.Go(func() error {
		if err := p.queue.Run(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("expire leases: %w", err)
		}
		return nil
	})
	group.Go(func() error { return p.batches.Run(ctx) })
	return group.Wait()
}
