// Package web is the user interface: server-rendered pages, a few small scripts
// and streams of server-sent events. It owns sessions, pages and how untrusted
// text is made safe to look at. It must not know SQL, files, HTTP clients,
// runtimes or how a job is run: what it shows and does comes through the
// interfaces of Deps.
//
// A job's text is hostile. Three walls keep it text: html/template escapes what
// pages show; scripts build log lines from JSON with textContent alone (the
// content security policy forbids every sink of markup, by Trusted Types); and
// each page passes through Visible, which makes control and bidirectional
// characters readable instead of effective.
package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// Jobs reads jobs; *queue.Queue is one.
type Jobs interface {
	Get(ctx context.Context, id string) (glovebox.Job, error)
	List(ctx context.Context, filter queue.Filter) (jobs []glovebox.Job, next string, err error)
	// Watch delivers a token after each change of the job, of any job when id is empty.
	Watch(ctx context.Context, id string) <-chan struct{}
}

// Control changes jobs; *queue.Queue is one.
type Control interface {
	Cancel(ctx context.Context, id, actor, reason string) (glovebox.Job, error)
	Retry(ctx context.Context, id, actor string) (glovebox.Job, error)
}

// Logs reads the log of an attempt, encoded as JSON lines of glovebox.LogRecord.
type Logs interface {
	// Open reads from a byte offset to the present end. A log not begun is empty, not an error.
	Open(ctx context.Context, jobID string, attempt int, offset int64) (io.ReadCloser, error)
	// Follow is Open that at the end waits for more, until ctx ends or done is
	// closed and the rest was read: then Read returns io.EOF.
	Follow(ctx context.Context, jobID string, attempt int, offset int64, done <-chan struct{}) (io.ReadCloser, error)
}

// Artifacts reads what an attempt left: glovebox.DiffArtifact and outputs.
type Artifacts interface {
	Open(ctx context.Context, jobID string, attempt int, name string) (io.ReadCloser, error)
}

// Executors lists and drains executors.
type Executors interface {
	List(ctx context.Context) ([]glovebox.Executor, error)
	SetDrain(ctx context.Context, name string, drain bool) error
}

// Tokens checks credentials; every request of a session asks again, so that
// revoking a token ends its sessions.
type Tokens interface {
	Authenticate(ctx context.Context, secret string) (glovebox.Token, error)
}

// Deps is what the pages are made from. All but Batches, Logger, Now and Version are needed;
// without Batches there are no pages of batch changes.
type Deps struct {
	Jobs      Jobs
	Control   Control
	Logs      Logs
	Artifacts Artifacts
	Executors Executors
	Tokens    Tokens
	// Submit accepts a job of a user: it validates, resolves the revision and
	// enqueues. It may return a *glovebox.ValidationError.
	Submit func(ctx context.Context, user glovebox.Token, spec glovebox.JobSpec) (glovebox.Job, error)
	// Parse reads a job file, YAML or JSON; problems come as *glovebox.ValidationError.
	Parse   func(data []byte) (glovebox.JobSpec, error)
	Batches Batches
	// SecureCookie marks cookies Secure even where the request came without TLS:
	// set it behind a proxy that terminates TLS.
	SecureCookie bool
	Version      string
	Logger       *slog.Logger
	Now          func() time.Time
}

// Validate says what is missing.
func (d Deps) Validate() error {
	switch {
	case d.Jobs == nil, d.Control == nil, d.Logs == nil, d.Artifacts == nil, d.Executors == nil, d.Tokens == nil:
		return errors.New("web: Jobs, Control, Logs, Artifacts, Executors and Tokens must be set")
	case d.Submit == nil, d.Parse == nil:
		return errors.New("web: Submit and Parse must be set")
	}
	return nil
}

// site answers the requests of one server.
type site struct {
	Deps
	sessions *sessions
	pages    *pages
	static   *static
	indexes  *indexCache
	shutdown shutdown
}

// New returns the handler of the whole user interface, to be mounted at "/". It
// panics when a dependency is missing, which is a mistake of wiring.
func New(deps Deps) http.Handler {
	if err := deps.Validate(); err != nil {
		panic(err)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	s := &site{Deps: deps, sessions: newSessions(deps.Now), static: newStatic(), indexes: newIndexCache(indexCacheSize), shutdown: newShutdown()}
	s.pages = newPages(s.static)
	return s.handler()
}
