package codehost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

// gitea speaks the API that Gitea and Forgejo have in common. It is written by hand: the official
// client takes over a millisecond to initialise (docs/dependencies.md), asks for the server's version
// first, and keeps one context for all calls.
type gitea struct {
	config Config
	web    *url.URL
	client *http.Client
}

func newGitea(c Config, web *url.URL) (*gitea, error) {
	return &gitea{config: c, web: web, client: newClient(c, web.JoinPath("api/v1"), "Authorization", "token "+c.Token)}, nil
}

func (g *gitea) Kind() string { return KindGitea }

// giteaPage is how many entries a page has: what a Gitea allows unless it is configured otherwise.
const giteaPage = 50

// do sends in and reads the answer into out; path is escaped already.
func (g *gitea) do(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, g.web.String()+"/api/v1"+path, bytes.NewReader(body.Bytes()))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func (g *gitea) failed(ctx context.Context, err error, format string, args ...any) error {
	return failed(ctx, g.web.Host, fmt.Sprintf(format, args...), err)
}

func (g *gitea) Repository(ctx context.Context, name string) (Repository, error) {
	if err := checkName(name, 2, 2); err != nil {
		return Repository{}, err
	}
	var r giteaRepository
	if err := g.do(ctx, http.MethodGet, "/repos/"+name, nil, &r); err != nil {
		return Repository{}, g.failed(ctx, err, "look up repository %s", name)
	}
	repo, err := r.repository(g.web)
	return repo, g.failed(ctx, err, "look up repository %s", name)
}

// Fork finds our fork by its owner before it makes one: a second fork would be refused.
func (g *gitea) Fork(ctx context.Context, name string) (Repository, error) {
	owner, base, err := ownerRepo(name)
	if err != nil {
		return Repository{}, err
	}
	repo, err := g.fork(ctx, owner, base)
	return repo, g.failed(ctx, err, "fork %s", name)
}

func (g *gitea) fork(ctx context.Context, owner, base string) (Repository, error) {
	var me struct {
		Login string `json:"login"`
	}
	if err := g.do(ctx, http.MethodGet, "/user", nil, &me); err != nil {
		return Repository{}, err
	}
	if strings.EqualFold(me.Login, owner) {
		return Repository{}, fmt.Errorf("the repository is the token's user's own: %w", glovebox.ErrUnsupported)
	}
	found, err := g.findFork(ctx, owner, base, me.Login)
	if err != nil || found != nil {
		if err != nil {
			return Repository{}, err
		}
		return found.repository(g.web)
	}
	var made giteaRepository
	err = g.do(ctx, http.MethodPost, "/repos/"+owner+"/"+base+"/forks", struct{}{}, &made)
	if errors.Is(err, glovebox.ErrConflict) || ambiguous(err) {
		// Somebody was faster, or the answer was lost.
		if found, findErr := g.findFork(ctx, owner, base, me.Login); findErr == nil && found != nil {
			return found.repository(g.web)
		}
	}
	if err != nil {
		return Repository{}, err
	}
	return made.repository(g.web)
}

func (g *gitea) findFork(ctx context.Context, owner, base, login string) (*giteaRepository, error) {
	const pages = 40
	for page := 1; page <= pages; page++ {
		var forks []giteaRepository
		path := fmt.Sprintf("/repos/%s/%s/forks?limit=%d&page=%d", owner, base, giteaPage, page)
		if err := g.do(ctx, http.MethodGet, path, nil, &forks); err != nil {
			return nil, err
		}
		for i := range forks {
			if strings.EqualFold(forks[i].Owner.Login, login) {
				return &forks[i], nil
			}
		}
		if len(forks) == 0 {
			break
		}
	}
	return nil, nil
}

func (g *gitea) Search(ctx context.Context, query string) ([]Repository, error) {
	q, err := parseQuery(query)
	if err == nil && q.owner != "" && !validPart(q.owner) {
		err = fmt.Errorf("query: %q is no organisation or user", printable(q.owner, 100))
	}
	if err != nil {
		return nil, err
	}
	repos, err := g.search(ctx, q)
	return repos, g.failed(ctx, err, "search repositories for %q", printable(query, 200))
}

func (g *gitea) search(ctx context.Context, q fieldQuery) ([]Repository, error) {
	values := url.Values{"limit": {fmt.Sprint(giteaPage)}, "sort": {"id"}, "order": {"asc"}}
	if q.owner != "" {
		var user struct {
			ID int64 `json:"id"`
		}
		if err := g.do(ctx, http.MethodGet, "/users/"+q.owner, nil, &user); err != nil {
			return nil, err
		}
		values.Set("uid", fmt.Sprint(user.ID))
		values.Set("exclusive", "true")
	}
	values.Set("q", q.text)
	if q.topic != "" {
		values.Set("q", q.topic)
		values.Set("topic", "true")
	}
	found := newFinds(g.config.MaxRepositories)
	for page := 1; ; page++ {
		values.Set("page", fmt.Sprint(page))
		var answer struct {
			Data []giteaRepository `json:"data"`
		}
		if err := g.do(ctx, http.MethodGet, "/repos/search?"+values.Encode(), nil, &answer); err != nil {
			return nil, err
		}
		if len(answer.Data) == 0 {
			return found.repos, nil
		}
		for _, r := range answer.Data {
			// The API takes a topic or a text, not both.
			if q.topic != "" && !strings.Contains(strings.ToLower(r.FullName), strings.ToLower(q.text)) {
				continue
			}
			repo, err := r.repository(g.web)
			if err != nil {
				continue
			}
			if err := found.add(repo); err != nil {
				return nil, err
			}
		}
		if err := found.page(page); err != nil {
			return nil, err
		}
	}
}
