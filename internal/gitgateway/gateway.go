// Package gitgateway keeps bare mirrors of the repositories that jobs work on and
// serves them by git's smart HTTP protocol, read only. It owns the mirrors, when
// they are refreshed and what of git's protocol is passed through; it must not know
// tokens, jobs or tenants: who calls it says whether a caller may read a repository.
package gitgateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// Config of a Gateway. Zero fields but Dir take defaults.
type Config struct {
	// Dir holds the mirrors.
	Dir string
	// FetchTimeout bounds one fetch of a mirror; 30 min.
	FetchTimeout time.Duration
	// ServeTimeout bounds one request for a pack; 30 min.
	ServeTimeout time.Duration
	// MaxServes bounds the git processes that serve at a time; 16.
	MaxServes int64
	// MaxFetches bounds the fetches that run at a time; 4.
	MaxFetches int64
	// MaxBody bounds a request's body, compressed and uncompressed; 16 MiB.
	MaxBody int64
	Logger  *slog.Logger
	// Observe is told of what happens, for metrics; it may be nil.
	Observe func(Observation)
}

// Observation is one fetch of a mirror or one served request.
type Observation struct {
	// Kind is "fetch" or "serve".
	Kind string
	// Bytes were sent to the client; of a served request only.
	Bytes int64
	Took  time.Duration
	Err   error
}

// Validate returns what is wrong with the configuration.
func (c Config) Validate() error {
	if c.Dir == "" {
		return errors.New("git gateway: no folder for mirrors")
	}
	return nil
}

// Gateway keeps and serves mirrors. Its methods may be called concurrently.
type Gateway struct {
	cfg     Config
	serves  *semaphore.Weighted
	fetches *semaphore.Weighted

	mu      sync.Mutex
	mirrors map[string]*mirror // by directory
}

// New makes the folder of mirrors.
func New(cfg Config) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	setDefault(&cfg.FetchTimeout, 30*time.Minute)
	setDefault(&cfg.ServeTimeout, 30*time.Minute)
	setDefault(&cfg.MaxServes, 16)
	setDefault(&cfg.MaxFetches, 4)
	setDefault(&cfg.MaxBody, 16<<20)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Observation) {}
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("find mirrors' folder: %w", err)
	}
	cfg.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make mirrors' folder: %w", err)
	}
	return &Gateway{
		cfg:     cfg,
		serves:  semaphore.NewWeighted(cfg.MaxServes),
		fetches: semaphore.NewWeighted(cfg.MaxFetches),
		mirrors: map[string]*mirror{},
	}, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// directory is where the repository's mirror lies. It depends on the address too: a
// name that is given to another repository begins a new mirror.
func (g *Gateway) directory(repo glovebox.Repository) string {
	sum := sha256.Sum256([]byte(repo.Name + "\x00" + repo.URL))
	return filepath.Join(g.cfg.Dir, hex.EncodeToString(sum[:16])+".git")
}

func (g *Gateway) mirror(repo glovebox.Repository) (*mirror, error) {
	u, err := git.ParseURL(repo.URL)
	if err != nil {
		return nil, err
	}
	dir := g.directory(repo)
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.mirrors[dir]
	if m == nil {
		m = &mirror{name: repo.Name, dir: dir, url: u, gateway: g, turn: make(chan struct{}, 1)}
		g.mirrors[dir] = m
	}
	return m, nil
}

// Resolve returns the full name of the commit that rev (a branch, a tag, a commit; the
// default branch when empty) means at the repository's origin now, and has it in the
// mirror when it returns. What is not there is glovebox.ErrNotFound.
func (g *Gateway) Resolve(ctx context.Context, repo glovebox.Repository, rev string) (string, error) {
	m, err := g.mirror(repo)
	if err != nil {
		return "", err
	}
	if rev != "" {
		if err := git.CheckRev(rev); err != nil {
			return "", err
		}
	}
	commit, err := m.resolve(ctx, rev)
	if err != nil {
		return "", fmt.Errorf("resolve %q of %s: %w", rev, repo.Name, err)
	}
	return commit, nil
}

// Ensure has the commit in the mirror when it returns nil. A commit that is there
// already needs no fetch.
func (g *Gateway) Ensure(ctx context.Context, repo glovebox.Repository, commit string) error {
	if !git.IsObjectName(commit) {
		return fmt.Errorf("commit %q: not a full object name", commit)
	}
	m, err := g.mirror(repo)
	if err != nil {
		return err
	}
	if err := m.ensure(ctx, commit); err != nil {
		return fmt.Errorf("get commit %.12s of %s: %w", commit, repo.Name, err)
	}
	return nil
}

// Remove deletes the repository's mirror. Requests that read it end in an error.
func (g *Gateway) Remove(ctx context.Context, repo glovebox.Repository) error {
	dir := g.directory(repo)
	g.mu.Lock()
	delete(g.mirrors, dir)
	g.mu.Unlock()
	// A fetch that is under way makes files while they are removed.
	var err error
	for range 10 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("remove mirror of %s: %w", repo.Name, err)
}
