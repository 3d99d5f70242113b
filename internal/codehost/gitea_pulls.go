package codehost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
)

type giteaRepository struct {
	FullName      string `json:"full_name"`
	DefaultBranch string `json:"default_branch"`
	HTMLURL       string `json:"html_url"`
	Archived      bool   `json:"archived"`
	Private       bool   `json:"private"`
	Owner         struct {
		Login string `json:"login"`
	} `json:"owner"`
	Permissions struct {
		Push bool `json:"push"`
	} `json:"permissions"`
}

func (r giteaRepository) repository(web *url.URL) (Repository, error) {
	return newRepository(web, 2, Repository{Name: r.FullName, DefaultBranch: r.DefaultBranch, WebURL: r.HTMLURL, Archived: r.Archived, Private: r.Private, Push: r.Permissions.Push && !r.Archived})
}

type giteaPull struct {
	Number  int64     `json:"number"`
	Title   string    `json:"title"`
	Body    string    `json:"body"`
	State   string    `json:"state"`
	Draft   bool      `json:"draft"`
	Merged  bool      `json:"merged"`
	HTMLURL string    `json:"html_url"`
	Updated time.Time `json:"updated_at"`
	Head    struct {
		Label string `json:"label"`
		Ref   string `json:"ref"`
		SHA   string `json:"sha"`
		Repo  *struct {
			FullName string `json:"full_name"`
		} `json:"repo"`
	} `json:"head"`
	Base struct {
		Ref string `json:"ref"`
	} `json:"base"`
}

// giteaDraft is the prefix that makes a request a draft on a Gitea that is not configured otherwise.
const giteaDraft = "WIP: "

func (p *giteaPull) request() (Request, error) {
	if p.Number <= 0 {
		return Request{}, errRequest
	}
	title, draft := cutDraft(p.Title, "WIP:", "[WIP]", "Draft:")
	r := Request{ID: number(p.Number), URL: p.HTMLURL, State: StateOpen, Head: p.Head.SHA, HeadRef: p.Head.Ref, BaseRef: p.Base.Ref, Title: title, Body: p.Body, UpdatedAt: p.Updated}
	switch {
	case p.Merged:
		r.State = StateMerged
	case p.State != "open":
		r.State = StateClosed
	case p.Draft || draft:
		r.State = StateDraft
	}
	r.sanitize()
	return r, nil
}

func giteaTitle(c Change) string {
	if c.Draft {
		return giteaDraft + c.Title
	}
	return c.Title
}

func (g *gitea) Open(ctx context.Context, repo string, c Change) (Request, error) {
	if err := checkName(repo, 2, 2); err != nil {
		return Request{}, err
	}
	if err := c.check(true); err != nil {
		return Request{}, err
	}
	head := c.Branch
	if c.HeadRepo != "" {
		owner, _, err := ownerRepo(c.HeadRepo)
		if err != nil {
			return Request{}, err
		}
		head = owner + ":" + c.Branch
	}
	r, err := openOnce(func() (*Request, error) { return g.find(ctx, repo, head, c) }, func() (Request, error) {
		var p giteaPull
		in := map[string]string{"head": head, "base": c.Base, "title": giteaTitle(c), "body": c.Body}
		if err := g.do(ctx, http.MethodPost, "/repos/"+repo+"/pulls", in, &p); err != nil {
			return Request{}, err
		}
		return p.request()
	})
	return r, g.failed(ctx, err, "open request for %s in %s", c.Branch, repo)
}

// find returns the open request of a pair. Gitea's lookup by pair gives any one of them, often a closed one.
func (g *gitea) find(ctx context.Context, repo, head string, c Change) (*Request, error) {
	var p giteaPull
	err := g.do(ctx, http.MethodGet, "/repos/"+repo+"/pulls/"+url.PathEscape(c.Base)+"/"+url.PathEscape(head), nil, &p)
	if errors.Is(err, glovebox.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r, err := p.request(); err != nil || r.open() {
		return &r, err
	}
	const pages = 100
	for page := 1; page <= pages; page++ {
		var pulls []giteaPull
		path := fmt.Sprintf("/repos/%s/pulls?state=open&sort=recentupdate&base_branch=%s&limit=%d&page=%d", repo, url.QueryEscape(c.Base), giteaPage, page)
		if err := g.do(ctx, http.MethodGet, path, nil, &pulls); err != nil {
			return nil, err
		}
		for i := range pulls {
			p := &pulls[i]
			from := repo
			if p.Head.Repo != nil {
				from = p.Head.Repo.FullName
			}
			want := c.HeadRepo
			if want == "" {
				want = repo
			}
			if p.State == "open" && p.Base.Ref == c.Base && p.Head.Ref == c.Branch && strings.EqualFold(from, want) {
				r, err := p.request()
				return &r, err
			}
		}
		if len(pulls) == 0 {
			return nil, nil
		}
	}
	return nil, errors.New("too many open requests to find ours among them")
}

func (g *gitea) Update(ctx context.Context, repo, id string, c Change) (Request, error) {
	if err := c.check(false); err != nil {
		return Request{}, err
	}
	in := map[string]any{"title": giteaTitle(c), "body": c.Body}
	if c.Base != "" {
		in["base"] = c.Base
	}
	return g.edit(ctx, "update", repo, id, in)
}

func (g *gitea) Close(ctx context.Context, repo, id string) (Request, error) {
	r, err := g.Get(ctx, repo, id)
	if err != nil || !r.open() {
		return r, err
	}
	return g.edit(ctx, "close", repo, id, map[string]any{"state": "closed"})
}

func (g *gitea) Reopen(ctx context.Context, repo, id string) (Request, error) {
	r, err := g.Get(ctx, repo, id)
	if err != nil || r.open() {
		return r, err
	}
	if r.State == StateMerged {
		return r, fmt.Errorf("reopen request %s in %s: it is merged: %w", id, repo, glovebox.ErrConflict)
	}
	return g.edit(ctx, "reopen", repo, id, map[string]any{"state": "open"})
}

func (g *gitea) edit(ctx context.Context, verb, repo, id string, in map[string]any) (Request, error) {
	if err := checkName(repo, 2, 2); err != nil {
		return Request{}, err
	}
	if _, err := parseID(id); err != nil {
		return Request{}, err
	}
	if err := g.do(ctx, http.MethodPatch, "/repos/"+repo+"/pulls/"+id, in, nil); err != nil {
		return Request{}, g.failed(ctx, err, "%s request %s in %s", verb, id, repo)
	}
	return g.Get(ctx, repo, id)
}

func (g *gitea) Get(ctx context.Context, repo, id string) (Request, error) {
	if err := checkName(repo, 2, 2); err != nil {
		return Request{}, err
	}
	if _, err := parseID(id); err != nil {
		return Request{}, err
	}
	r, err := g.get(ctx, repo, id)
	return r, g.failed(ctx, err, "read request %s in %s", id, repo)
}

func (g *gitea) get(ctx context.Context, repo, id string) (Request, error) {
	var p giteaPull
	if err := g.do(ctx, http.MethodGet, "/repos/"+repo+"/pulls/"+id, nil, &p); err != nil {
		return Request{}, err
	}
	r, err := p.request()
	if err != nil || !r.open() {
		return r, err
	}
	if r.Checks, err = g.checks(ctx, repo, r.Head); err != nil {
		return Request{}, err
	}
	r.Review, err = g.review(ctx, repo, id)
	return r, err
}

func (g *gitea) List(ctx context.Context, repo string, ids []string) ([]Request, error) {
	return listEach(ids, func(id string) (Request, error) { return g.Get(ctx, repo, id) })
}

func (g *gitea) checks(ctx context.Context, repo, head string) (Checks, error) {
	if head == "" {
		return ChecksNone, nil
	}
	var status struct {
		State string `json:"state"`
		Total int64  `json:"total_count"`
	}
	if err := g.do(ctx, http.MethodGet, "/repos/"+repo+"/commits/"+head+"/status", nil, &status); err != nil {
		return "", err
	}
	switch {
	case status.Total == 0 || status.State == "":
		return ChecksNone, nil
	case status.State == "success" || status.State == "warning" || status.State == "skipped":
		return ChecksPassed, nil
	case status.State == "pending":
		return ChecksPending, nil
	}
	return ChecksFailed, nil
}

// review takes the last word of each reviewer.
func (g *gitea) review(ctx context.Context, repo, id string) (Review, error) {
	votes := votes{}
	const pages = 20
	for page := 1; page <= pages; page++ {
		var reviews []struct {
			State     string `json:"state"`
			Dismissed bool   `json:"dismissed"`
			User      *struct {
				Login string `json:"login"`
			} `json:"user"`
			Team *struct {
				Name string `json:"name"`
			} `json:"team"`
		}
		if err := g.do(ctx, http.MethodGet, fmt.Sprintf("/repos/%s/pulls/%s/reviews?limit=%d&page=%d", repo, id, giteaPage, page), nil, &reviews); err != nil {
			return "", err
		}
		for _, r := range reviews {
			who := ""
			if r.User != nil {
				who = r.User.Login
			} else if r.Team != nil {
				who = "team " + r.Team.Name
			}
			votes.add(who, r.State, r.Dismissed)
		}
		if len(reviews) == 0 {
			break
		}
	}
	return votes.review(), nil
}
