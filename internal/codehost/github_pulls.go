package codehost

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	ghapi "github.com/google/go-github/v88/github"

	"github.com/glovebox-dev/glovebox"
)

func (g *github) Open(ctx context.Context, repo string, c Change) (Request, error) {
	owner, base, err := ownerRepo(repo)
	if err != nil {
		return Request{}, err
	}
	if err := c.check(true); err != nil {
		return Request{}, err
	}
	headOwner, headRepo := owner, ""
	if c.HeadRepo != "" {
		if headOwner, headRepo, err = ownerRepo(c.HeadRepo); err != nil {
			return Request{}, err
		}
	}
	find := func() (*Request, error) { return g.find(ctx, owner, base, headOwner, c) }
	r, err := openOnce(find, func() (Request, error) {
		head := c.Branch
		if c.HeadRepo != "" {
			head = headOwner + ":" + c.Branch
		}
		pull := &ghapi.NewPullRequest{Title: &c.Title, Head: &head, Base: &c.Base, Body: &c.Body, Draft: &c.Draft}
		if headOwner == owner && headRepo != "" {
			pull.HeadRepo = &headRepo
		}
		p, _, err := g.client.PullRequests.Create(ctx, owner, base, pull)
		if err != nil {
			return Request{}, err
		}
		return g.get(ctx, owner, base, number(int64(p.GetNumber())))
	})
	return r, g.failed(ctx, err, "open request for %s in %s", c.Branch, repo)
}

// find returns the open request of a pair.
func (g *github) find(ctx context.Context, owner, base, headOwner string, c Change) (*Request, error) {
	pulls, _, err := g.client.PullRequests.List(ctx, owner, base, &ghapi.PullRequestListOptions{State: "open", Head: headOwner + ":" + c.Branch, Base: c.Base, ListOptions: ghapi.ListOptions{PerPage: 100}})
	if err != nil {
		return nil, err
	}
	for _, p := range pulls {
		// GitHub ignores a filter that it does not understand: the pair is looked at again.
		if p.GetHead().GetRef() != c.Branch || p.GetBase().GetRef() != c.Base || !strings.EqualFold(p.GetHead().GetUser().GetLogin(), headOwner) {
			continue
		}
		r, err := g.get(ctx, owner, base, number(int64(p.GetNumber())))
		return &r, err
	}
	return nil, nil
}

func (g *github) Update(ctx context.Context, repo, id string, c Change) (Request, error) {
	if err := c.check(false); err != nil {
		return Request{}, err
	}
	edit := &ghapi.PullRequest{Title: &c.Title, Body: &c.Body}
	if c.Base != "" {
		edit.Base = &ghapi.PullRequestBranch{Ref: &c.Base}
	}
	r, err := g.edit(ctx, "update", repo, id, edit)
	if err != nil || !r.open() || (r.State == StateDraft) == c.Draft {
		return r, err
	}
	return g.setDraft(ctx, repo, id, c.Draft)
}

func (g *github) Close(ctx context.Context, repo, id string) (Request, error) {
	r, err := g.Get(ctx, repo, id)
	if err != nil || !r.open() {
		return r, err
	}
	return g.edit(ctx, "close", repo, id, &ghapi.PullRequest{State: ghapi.Ptr("closed")})
}

func (g *github) Reopen(ctx context.Context, repo, id string) (Request, error) {
	r, err := g.Get(ctx, repo, id)
	if err != nil || r.open() {
		return r, err
	}
	if r.State == StateMerged {
		return r, fmt.Errorf("reopen request %s in %s: it is merged: %w", id, repo, glovebox.ErrConflict)
	}
	return g.edit(ctx, "reopen", repo, id, &ghapi.PullRequest{State: ghapi.Ptr("open")})
}

func (g *github) edit(ctx context.Context, verb, repo, id string, p *ghapi.PullRequest) (Request, error) {
	owner, base, err := ownerRepo(repo)
	if err != nil {
		return Request{}, err
	}
	n, err := parseID(id)
	if err != nil {
		return Request{}, err
	}
	if _, _, err := g.client.PullRequests.Edit(ctx, owner, base, int(n), p); err != nil {
		return Request{}, g.failed(ctx, err, "%s request %s in %s", verb, id, repo)
	}
	return g.Get(ctx, repo, id)
}

// setDraft needs GraphQL: REST can make a draft and never change one.
func (g *github) setDraft(ctx context.Context, repo, id string, draft bool) (Request, error) {
	owner, base, err := ownerRepo(repo)
	if err != nil {
		return Request{}, err
	}
	op := fmt.Sprintf("set draft state of request %s in %s", id, repo)
	pulls, err := g.pulls(ctx, owner, base, []string{id})
	if err == nil && (len(pulls) == 0 || pulls[0].ID == "") {
		err = glovebox.ErrNotFound
	}
	if err != nil {
		return Request{}, g.failed(ctx, err, "%s", op)
	}
	mutation := "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { clientMutationId } }"
	if draft {
		mutation = "mutation($id: ID!) { convertPullRequestToDraft(input: {pullRequestId: $id}) { clientMutationId } }"
	}
	if err := g.query(ctx, mutation, map[string]any{"id": pulls[0].ID}, nil); err != nil {
		return Request{}, g.failed(ctx, err, "%s", op)
	}
	return g.Get(ctx, repo, id)
}

func (g *github) Get(ctx context.Context, repo, id string) (Request, error) {
	owner, base, err := ownerRepo(repo)
	if err != nil {
		return Request{}, err
	}
	if _, err := parseID(id); err != nil {
		return Request{}, err
	}
	r, err := g.get(ctx, owner, base, id)
	return r, g.failed(ctx, err, "read request %s in %s", id, repo)
}

func (g *github) get(ctx context.Context, owner, base, id string) (Request, error) {
	pulls, err := g.pulls(ctx, owner, base, []string{id})
	if err != nil {
		return Request{}, err
	}
	if len(pulls) == 0 {
		return Request{}, &Error{Host: g.web.Host, Status: http.StatusNotFound, Err: glovebox.ErrNotFound}
	}
	return pulls[0].request()
}

// githubBatch is how many requests one query asks for.
const githubBatch = 50

func (g *github) List(ctx context.Context, repo string, ids []string) ([]Request, error) {
	owner, base, err := ownerRepo(repo)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if _, err := parseID(id); err != nil {
			return nil, err
		}
	}
	var all []Request
	for len(ids) > 0 {
		n := min(len(ids), githubBatch)
		pulls, err := g.pulls(ctx, owner, base, ids[:n])
		if err != nil {
			return all, g.failed(ctx, err, "list requests in %s", repo)
		}
		for _, p := range pulls {
			r, err := p.request()
			if err != nil {
				return all, g.failed(ctx, err, "list requests in %s", repo)
			}
			all = append(all, r)
		}
		ids = ids[n:]
	}
	return all, nil
}
