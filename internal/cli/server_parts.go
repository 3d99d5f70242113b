package cli

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/blob"
	"github.com/glovebox-dev/glovebox/internal/changeset"
	"github.com/glovebox-dev/glovebox/internal/gitgateway"
	"github.com/glovebox-dev/glovebox/internal/jobfile"
	"github.com/glovebox-dev/glovebox/internal/logs"
	"github.com/glovebox-dev/glovebox/internal/queue"
	"github.com/glovebox-dev/glovebox/internal/server"
	"github.com/glovebox-dev/glovebox/internal/stepstore"
	"github.com/glovebox-dev/glovebox/internal/store"
	"github.com/glovebox-dev/glovebox/internal/web"
)

// serverSettings are what "server" and "dev" choose.
type serverSettings struct {
	data          string
	config        server.Config
	leaseTTL      time.Duration
	limits        queue.ConcurrencyLimits
	adminToken    string
	secureCookies bool
	tracer        trace.TracerProvider
	batch         batchSettings
	// pages is where users see the pages, for links in published texts; empty when it is not known.
	pages string
}

// serverParts are a server put together, not yet listening.
type serverParts struct {
	db      *store.DB
	tokens  server.Tokens
	queue   *queue.Queue
	batches *changeset.Batches
	server  *server.Server
	handler http.Handler
}

// openServer opens the data folder and puts a server together. Close releases it.
func (a *app) openServer(ctx context.Context, s serverSettings) (_ *serverParts, err error) {
	hosts, rollout, err := s.batch.options(a.getenv)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, filepath.Join(s.data, "glovebox.db"), store.Options{})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	blobs, err := blob.OpenFolder(filepath.Join(s.data, "blobs"))
	if err != nil {
		return nil, err
	}
	metrics := server.NewMetrics()
	gateway, err := gitgateway.New(gitgateway.Config{Dir: filepath.Join(s.data, "mirrors"), Logger: a.log, Observe: metrics.ObserveGit})
	if err != nil {
		return nil, err
	}
	p := &serverParts{db: db, tokens: store.NewTokens(db)}
	if s.adminToken != "" {
		if p.tokens, err = withAdmin(p.tokens, s.adminToken); err != nil {
			return nil, err
		}
	}
	p.queue = queue.New(store.NewJobs(db), queue.Options{LeaseTTL: s.leaseTTL, Limits: s.limits, Logger: a.log, OnExpire: metrics.LeaseExpired})
	p.batches, err = changeset.New(changeset.Options{
		Store: store.NewBatches(db), Queue: p.queue, Repositories: store.NewRepos(db), Mirrors: gateway, Blobs: blobs,
		Hosts: hosts, Rollout: rollout, Link: batchLink(s.pages), Logger: a.log,
	})
	if err != nil {
		return nil, usageErrorf("%w", err)
	}
	build := readBuild()
	s.config.Version, s.config.Commit = build.Version, build.Commit
	logStore := logs.NewStore(blobs)
	p.server, err = server.New(s.config, server.Deps{
		Queue: p.queue, Tokens: p.tokens, Executors: store.NewExecutors(db), Repositories: store.NewRepos(db),
		Logs: logStore, Blobs: blobs, Gateway: gateway, Ready: db.Ping, Metrics: metrics, Tracer: s.tracer, Logger: a.log,
		Batches: p.batches, StepCache: stepstore.New(store.NewStepCache(db), blobs, int64(s.batch.stepCache), nil),
	})
	if err != nil {
		return nil, err
	}
	p.handler = p.server.Handler(web.New(web.Deps{
		Jobs: p.queue, Control: p.queue, Logs: logStore, Artifacts: blob.Artifacts{Store: blobs},
		Executors: store.NewExecutors(db), Tokens: p.tokens, Submit: p.server.Submit, Parse: parseJob, Batches: p.batches,
		SecureCookie: s.secureCookies, Version: build.Version, Logger: a.log,
	}))
	return p, nil
}

// batchLink is where the page of a batch change is, if the server knows its own address.
func batchLink(external string) func(name string) string {
	if external == "" {
		return nil
	}
	return func(name string) string {
		return strings.TrimRight(external, "/") + "/batch-changes/" + url.PathEscape(name)
	}
}

func (p *serverParts) Close() error { return p.db.Close() }

// parseJob reads the job file that a page's form holds.
func parseJob(data []byte) (glovebox.JobSpec, error) {
	file, err := jobfile.Parse(data)
	if err != nil {
		return glovebox.JobSpec{}, err
	}
	if _, err := file.Resolve(); err != nil {
		return glovebox.JobSpec{}, err
	}
	return file.Spec, nil
}

// adminTokens adds to the stored tokens one that the operator chose (GLOVEBOX_ADMIN_TOKEN).
type adminTokens struct {
	server.Tokens
	hash [sha256.Size]byte
}

// minAdminToken is the shortest secret that an operator may choose.
const minAdminToken = 24

func withAdmin(tokens server.Tokens, secret string) (server.Tokens, error) {
	if len(secret) < minAdminToken || strings.TrimSpace(secret) != secret {
		return nil, usageErrorf("the admin token must have at least %d characters and no spaces at its ends; make one with: openssl rand -hex 32", minAdminToken)
	}
	return &adminTokens{Tokens: tokens, hash: sha256.Sum256([]byte(secret))}, nil
}

// Authenticate knows the chosen token and asks the store for all others.
func (t *adminTokens) Authenticate(ctx context.Context, secret string) (glovebox.Token, error) {
	hash := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(hash[:], t.hash[:]) == 1 {
		return glovebox.Token{ID: "admin", Name: "admin", Kind: glovebox.TokenUser, Role: glovebox.RoleAdmin, Tenant: glovebox.DefaultTenant}, nil
	}
	return t.Tokens.Authenticate(ctx, secret)
}

// firstAdmin makes an admin's token where the store has none that is valid. It returns "" where it has.
func firstAdmin(ctx context.Context, tokens server.Tokens, now time.Time) (string, error) {
	list, err := tokens.List(ctx)
	if err != nil {
		return "", fmt.Errorf("look for an admin's token: %w", err)
	}
	for _, t := range list {
		if t.Role == glovebox.RoleAdmin && t.RevokedAt == nil && (t.ExpiresAt == nil || t.ExpiresAt.After(now)) {
			return "", nil
		}
	}
	token, err := tokens.Create(ctx, glovebox.Token{Name: "first admin", Kind: glovebox.TokenUser, Role: glovebox.RoleAdmin, Tenant: glovebox.DefaultTenant})
	if err != nil {
		return "", fmt.Errorf("make the first admin's token: %w", err)
	}
	return token.Secret, nil
}
