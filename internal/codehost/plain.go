package codehost

import (
	"context"
	"fmt"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// plain is a git remote with no code host around it: a request is a pushed branch and nothing
// more. Its id is the branch's name; it is open as long as the branch is there.
type plain struct {
	config Config
	remote git.URL
}

func newPlain(c Config) (*plain, error) {
	u, err := git.ParseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("code host: %w", err)
	}
	if u.Scheme == "http" && !c.Insecure {
		if _, err := webURL(c); err != nil {
			return nil, err
		}
	}
	if u.Password != "" {
		return nil, fmt.Errorf("code host %s: the address holds credentials: give the token apart", u.Remote)
	}
	return &plain{config: c, remote: u}, nil
}

func (p *plain) Kind() string { return KindGit }

func (p *plain) options(remote string) git.Options {
	o := git.Options{Transports: []string{p.remote.Scheme}}
	if p.config.Token != "" && (p.remote.Scheme == "https" || p.remote.Scheme == "http") {
		o.Username, o.Password, o.AuthURL = PushUsername(KindGit), p.config.Token, remote
	}
	return o
}

func (p *plain) url(name string) (string, error) {
	if err := checkName(strings.TrimSuffix(name, ".git"), 1, 30); err != nil {
		return "", err
	}
	return strings.TrimRight(p.remote.Remote, "/") + "/" + name, nil
}

// Repository asks the remote itself; whether we may push shows when we do.
func (p *plain) Repository(ctx context.Context, name string) (Repository, error) {
	remote, err := p.url(name)
	if err != nil {
		return Repository{}, err
	}
	refs, err := lsRemote(ctx, p.options(remote), remote)
	if err != nil {
		return Repository{}, fmt.Errorf("look up repository %s: %w", name, err)
	}
	return Repository{Name: name, DefaultBranch: refs.defaultBranch, CloneURL: remote, Private: true, Push: true}, nil
}

func (p *plain) unsupported(what string) error {
	return fmt.Errorf("%s: a plain git remote has branches only: %w", what, glovebox.ErrUnsupported)
}

func (p *plain) Search(context.Context, string) ([]Repository, error) {
	return nil, p.unsupported("search repositories")
}

func (p *plain) Fork(_ context.Context, name string) (Repository, error) {
	return Repository{}, p.unsupported("fork " + printable(name, 200))
}

// Open finds the branch that was pushed; there is nothing to open.
func (p *plain) Open(ctx context.Context, repo string, c Change) (Request, error) {
	if err := c.check(true); err != nil {
		return Request{}, err
	}
	if c.HeadRepo != "" {
		return Request{}, p.unsupported("open request from a fork")
	}
	r, err := p.Get(ctx, repo, c.Branch)
	if err == nil && r.State != StateOpen {
		return r, fmt.Errorf("open request in %s: branch %s: %w", repo, c.Branch, glovebox.ErrNotFound)
	}
	r.BaseRef, r.Title = c.Base, c.Title
	return r, err
}

// Update changes nothing: a branch has no title.
func (p *plain) Update(ctx context.Context, repo, id string, c Change) (Request, error) {
	r, err := p.Get(ctx, repo, id)
	r.BaseRef, r.Title = c.Base, c.Title
	return r, err
}

func (p *plain) Close(_ context.Context, repo, id string) (Request, error) {
	return Request{}, p.unsupported("close " + printable(id, 200) + " in " + printable(repo, 200))
}

func (p *plain) Reopen(_ context.Context, repo, id string) (Request, error) {
	return Request{}, p.unsupported("reopen " + printable(id, 200) + " in " + printable(repo, 200))
}

func (p *plain) Get(ctx context.Context, repo, id string) (Request, error) {
	all, err := p.List(ctx, repo, []string{id})
	if err != nil {
		return Request{}, err
	}
	return all[0], nil
}

// List looks at all branches at once; one that is gone is closed.
func (p *plain) List(ctx context.Context, repo string, ids []string) ([]Request, error) {
	remote, err := p.url(repo)
	if err != nil {
		return nil, err
	}
	var branches []string
	for _, id := range ids {
		if err := git.CheckRev(id); err != nil {
			return nil, fmt.Errorf("read branch: %w", err)
		}
		branches = append(branches, "refs/heads/"+id)
	}
	refs, err := lsRemote(ctx, p.options(remote), remote, branches...)
	if err != nil {
		return nil, fmt.Errorf("read branches of %s: %w", repo, err)
	}
	var all []Request
	for _, id := range ids {
		r := Request{ID: id, State: StateOpen, HeadRef: id, Head: refs.heads["refs/heads/"+id]}
		if r.Head == "" {
			r.State = StateClosed
		}
		r.sanitize()
		all = append(all, r)
	}
	return all, nil
}
