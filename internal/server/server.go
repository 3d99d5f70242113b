// Package server is the HTTP side of Glovebox: the API of users and of executors,
// the git gateway's address, health and metrics. It owns who may do what, the
// limits on what comes in, and how nouns become requests and replies. It never
// starts code and must not know executors, workspaces or sandboxes.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/blob"
	"github.com/glovebox-dev/glovebox/internal/changeset"
	"github.com/glovebox-dev/glovebox/internal/gitgateway"
	"github.com/glovebox-dev/glovebox/internal/logs"
	"github.com/glovebox-dev/glovebox/internal/queue"
	"github.com/glovebox-dev/glovebox/internal/stepstore"
)

// Config of a Server. Zero fields take the defaults that are named.
type Config struct {
	// ExternalURL is what executors reach the server by, for clone URLs; the address
	// that a claim was sent to when empty.
	ExternalURL string
	// Version and Commit are shown at /api/v1/version.
	Version, Commit string
	// MaxArtifact bounds one artifact, 1 GiB; MaxArtifacts all of an attempt, 4 GiB.
	MaxArtifact, MaxArtifacts int64
	// Idle is how long a client may send or take nothing in the middle of a body; 30 s.
	Idle time.Duration
	// BodyTime bounds the time of receiving one body; 30 min for artifacts, a tenth of it for all else.
	BodyTime time.Duration
	// Heartbeat is how often a followed log without news says that it is alive; 15 s.
	Heartbeat time.Duration
	// ResolveTime bounds the resolution of a revision at submission; 10 min.
	ResolveTime time.Duration
	// ShutdownTime is how long requests may go on after a shutdown began; 30 s.
	ShutdownTime time.Duration
	// AuthFailures is how many wrong credentials one remote address may present at once; one
	// more each second after. 20.
	AuthFailures int
	// MaxConnections is how many connections Serve holds at once; 4096.
	MaxConnections int
}

// Validate returns what is wrong with the configuration.
func (c Config) Validate() error {
	if c.ExternalURL == "" {
		return nil
	}
	u, err := url.Parse(c.ExternalURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("external URL %q: want http://HOST[:PORT] or https://HOST[:PORT]", c.ExternalURL)
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.ExternalURL = strings.TrimRight(c.ExternalURL, "/")
	defaults(&c.MaxArtifact, 1<<30)
	defaults(&c.MaxArtifacts, 4<<30)
	defaults(&c.Idle, 30*time.Second)
	defaults(&c.BodyTime, 30*time.Minute)
	defaults(&c.Heartbeat, 15*time.Second)
	defaults(&c.ResolveTime, 10*time.Minute)
	defaults(&c.ShutdownTime, 30*time.Second)
	defaults(&c.AuthFailures, 20)
	defaults(&c.MaxConnections, 4096)
	return c
}

func defaults[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Tokens keeps the tokens of users and executors.
type Tokens interface {
	Create(ctx context.Context, token glovebox.Token) (glovebox.Token, error)
	Authenticate(ctx context.Context, secret string) (glovebox.Token, error)
	List(ctx context.Context) ([]glovebox.Token, error)
	Revoke(ctx context.Context, id string) error
}

// Executors keeps what executors say of themselves.
type Executors interface {
	Beat(ctx context.Context, beat glovebox.Beat, active int) (drainAsked bool, err error)
	Get(ctx context.Context, name string) (glovebox.Executor, error)
	List(ctx context.Context) ([]glovebox.Executor, error)
	SetDrain(ctx context.Context, name string, drain bool) error
}

// Repositories keeps what the git gateway may serve.
type Repositories interface {
	Add(ctx context.Context, repo glovebox.Repository) (glovebox.Repository, error)
	Get(ctx context.Context, name string) (glovebox.Repository, error)
	List(ctx context.Context) ([]glovebox.Repository, error)
	Remove(ctx context.Context, name string) error
}

// Deps are what a Server works with. All but Metrics, Tracer, Logger and Now are needed.
type Deps struct {
	Queue        *queue.Queue
	Tokens       Tokens
	Executors    Executors
	Repositories Repositories
	Logs         *logs.Store
	Blobs        blob.Store
	Gateway      *gitgateway.Gateway
	Batches      *changeset.Batches
	StepCache    *stepstore.Store
	// Ready reports whether the database answers.
	Ready func(ctx context.Context) error
	// Metrics are what the server counts into; its own when nil. The gateway's
	// Observe should be Metrics.ObserveGit.
	Metrics *Metrics
	Tracer  trace.TracerProvider
	Logger  *slog.Logger
	Now     func() time.Time
}

func (d Deps) validate() error {
	if d.Queue == nil || d.Tokens == nil || d.Executors == nil || d.Repositories == nil || d.Logs == nil || d.Blobs == nil || d.Gateway == nil ||
		d.Batches == nil || d.StepCache == nil || d.Ready == nil {
		return errors.New("server: Queue, Tokens, Executors, Repositories, Logs, Blobs, Gateway, Batches, StepCache and Ready must be set")
	}
	return nil
}

// Server answers the API. Make it with New.
type Server struct {
	cfg Config
	Deps
	guard    *guard // of credentials
	misuse   *guard // of remarks on timelines
	uploads  *uploads
	stopping chan struct{}
	stop     sync.Once
}

// New returns a server; Handler and Serve make it reachable.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := errors.Join(cfg.Validate(), deps.validate()); err != nil {
		return nil, err
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Tracer == nil {
		deps.Tracer = noop.NewTracerProvider()
	}
	if deps.Metrics == nil {
		deps.Metrics = NewMetrics()
	}
	cfg = cfg.withDefaults()
	deps.Metrics.watchQueue(deps.Queue, deps.Logger)
	return &Server{
		cfg: cfg, Deps: deps, guard: newGuard(deps.Now, cfg.AuthFailures), misuse: newGuard(deps.Now, maxMisuse),
		uploads: &uploads{pending: map[string]int64{}}, stopping: make(chan struct{}),
	}, nil
}

// maxMisuse is how many misuses of job tokens one address gets onto timelines at once; one more each second after.
const maxMisuse = 10

// Stop ends followers and waiting claims, so that a shutdown need not wait for them. It may be called twice.
func (s *Server) Stop() { s.stop.Do(func() { close(s.stopping) }) }

// untilStop returns a context that also ends when the server stops.
func (s *Server) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.stopping:
			cancel(errStopping)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}

var errStopping = errors.New("the server is shutting down")
