package gitgateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// pinned holds commits that no branch or tag of the origin leads to but that a job asked for.
const pinned = "refs/glovebox/"

// mirror is one bare repository.
type mirror struct {
	name    string
	dir     string
	url     git.URL
	gateway *Gateway

	// turn holds one token: who has it may write to the mirror.
	turn chan struct{}
}

func (m *mirror) local() git.Options { return git.Options{GitDir: m.dir, Dir: m.gateway.cfg.Dir} }

// remote are the options of a command that talks to the origin: its one transport, and
// its credentials by the environment.
func (m *mirror) remote() git.Options {
	o := m.local()
	o.Transports = []string{m.url.Scheme}
	o.Username, o.Password, o.AuthURL = m.url.Username, m.url.Password, m.url.Remote
	o.Config = []string{"fetch.writeCommitGraph=false", "transfer.bundleURI=false", "fetch.fsckObjects=false"}
	return o
}

// uploadPack is what a fetch from a path on this host needs besides.
func (m *mirror) uploadPack() []string {
	if m.url.Scheme == "file" {
		return []string{"--upload-pack=" + git.LocalUploadPack}
	}
	return nil
}

func (m *mirror) has(ctx context.Context, commit string) bool {
	return git.Run(ctx, m.local(), "cat-file", "-e", commit+"^{commit}") == nil
}

var shortName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{7,63}$`) })

func (m *mirror) resolve(ctx context.Context, rev string) (string, error) {
	if git.IsObjectName(rev) {
		return rev, m.ensure(ctx, rev)
	}
	commit, err := m.ask(ctx, rev)
	if err == nil {
		return m.peel(ctx, commit)
	}
	if !errors.Is(err, glovebox.ErrNotFound) || !shortName().MatchString(rev) {
		return "", err
	}
	if full, err := m.expand(ctx, rev); err == nil {
		return full, nil
	}
	if err := m.refresh(ctx); err != nil {
		return "", err
	}
	full, err := m.expand(ctx, rev)
	if err != nil {
		return "", fmt.Errorf("no branch, tag or commit: %w", glovebox.ErrNotFound)
	}
	return full, nil
}

// expand completes an abbreviated object name from what the mirror holds.
func (m *mirror) expand(ctx context.Context, short string) (string, error) {
	out, err := git.Output(ctx, m.local(), "rev-parse", "--verify", "--quiet", "--end-of-options", short+"^{commit}")
	return strings.TrimSpace(string(out)), err
}

// peel has the object in the mirror and returns the commit it is or, being a tag, leads to.
func (m *mirror) peel(ctx context.Context, object string) (string, error) {
	if err := m.ensure(ctx, object); err != nil {
		return "", err
	}
	return m.expand(ctx, object)
}

// ask asks the origin what rev is now, without fetching anything.
func (m *mirror) ask(ctx context.Context, rev string) (string, error) {
	names := []string{"HEAD"}
	switch {
	case strings.HasPrefix(rev, "refs/heads/"), strings.HasPrefix(rev, "refs/tags/"):
		names = []string{rev}
	case rev != "" && rev != "HEAD":
		names = []string{"refs/heads/" + rev, "refs/tags/" + rev}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	args := append([]string{"ls-remote"}, m.uploadPack()...)
	out, err := git.Output(ctx, m.remote(), append(append(args, "--", m.url.Remote), names...)...)
	if err != nil {
		return "", err
	}
	refs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if object, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); ok && git.IsObjectName(object) {
			refs[name] = object
		}
	}
	for _, name := range names {
		if object, ok := refs[name]; ok {
			return object, nil
		}
	}
	return "", fmt.Errorf("no branch, tag or commit: %w", glovebox.ErrNotFound)
}

// ensure has the object, and all it leads to, in the mirror. One fetch runs at a time; who
// waited for another's fetch looks first whether it brought the object.
func (m *mirror) ensure(ctx context.Context, object string) error {
	if m.has(ctx, object) {
		return nil
	}
	if err := m.lock(ctx); err != nil {
		return err
	}
	defer m.unlock()
	if m.has(ctx, object) {
		return nil
	}
	err := m.fetch(ctx, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
	if m.has(ctx, object) {
		return nil
	}
	if err != nil {
		return err
	}
	// No branch and no tag leads to it; many origins give single commits all the same.
	err = m.fetch(ctx, "+"+object+":"+pinned+object)
	if _, refused := errors.AsType[*git.CommandError](err); refused && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", glovebox.ErrNotFound, err)
	}
	if err == nil && !m.has(ctx, object) {
		err = fmt.Errorf("not a commit: %w", glovebox.ErrNotFound)
	}
	return err
}

// refresh fetches all branches and tags.
func (m *mirror) refresh(ctx context.Context) error {
	if err := m.lock(ctx); err != nil {
		return err
	}
	defer m.unlock()
	return m.fetch(ctx, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
}

func (m *mirror) lock(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *mirror) unlock() { <-m.turn }

// fetch runs one git fetch; the caller holds the turn.
func (m *mirror) fetch(ctx context.Context, refspecs ...string) error {
	g := m.gateway
	if err := g.fetches.Acquire(ctx, 1); err != nil {
		return context.Cause(ctx)
	}
	defer g.fetches.Release(1)
	ctx, cancel := context.WithTimeout(ctx, g.cfg.FetchTimeout)
	defer cancel()
	begin := time.Now()
	err := m.create(ctx)
	if err == nil {
		args := append([]string{"fetch", "--quiet", "--prune", "--force", "--no-tags", "--no-auto-gc", "--no-write-fetch-head"}, m.uploadPack()...)
		err = git.Run(ctx, m.remote(), append(append(args, "--", m.url.Remote), refspecs...)...)
	}
	if err != nil {
		m.sweep()
	}
	g.cfg.Observe(Observation{Kind: "fetch", Took: time.Since(begin), Err: err})
	g.cfg.Logger.Debug("mirror fetched", "repo", m.name, "took", time.Since(begin), "error", err)
	return err
}

// create makes the bare repository when it is missing. Its config holds nothing that
// came from outside.
func (m *mirror) create(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(m.dir, "HEAD")); err == nil {
		return nil
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return fmt.Errorf("remove half-made mirror: %w", err)
	}
	temp, err := os.MkdirTemp(m.gateway.cfg.Dir, "new-")
	if err != nil {
		return fmt.Errorf("make mirror: %w", err)
	}
	defer os.RemoveAll(temp)
	if err := git.Run(ctx, git.Options{Dir: temp}, "init", "--quiet", "--bare", "--template=", temp); err != nil {
		return err
	}
	if err := os.Rename(temp, m.dir); err != nil {
		return fmt.Errorf("make mirror: %w", err)
	}
	return nil
}

// sweep removes the unfinished packs of a fetch that failed; the caller holds the turn.
func (m *mirror) sweep() {
	for _, pattern := range []string{"objects/pack/tmp_*", "objects/tmp_*", "shallow.lock", "packed-refs.lock"} {
		left, _ := filepath.Glob(filepath.Join(m.dir, pattern))
		for _, name := range left {
			_ = os.RemoveAll(name)
		}
	}
}
