package codehost

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	glapi "gitlab.com/gitlab-org/api/client-go"

	"github.com/glovebox-dev/glovebox"
)

// gitlab is gitlab.com or a GitLab of one's own. Names have up to twenty groups before the project.
type gitlab struct {
	config Config
	web    *url.URL
	client *glapi.Client
}

const gitlabParts = 21

// unlimited stands in for the client's own limiter, which obeys whatever rate an answer names, by
// blocking; ours refuses instead.
type unlimited struct{}

func (unlimited) Wait(context.Context) error { return nil }

func newGitLab(c Config, web *url.URL) (*gitlab, error) {
	hc := newClient(c, web.JoinPath("api/v4"), "PRIVATE-TOKEN", c.Token)
	client, err := glapi.NewClient("", glapi.WithBaseURL(web.String()), glapi.WithHTTPClient(hc), glapi.WithoutRetries(), glapi.WithCustomLimiter(unlimited{}))
	if err != nil {
		return nil, fmt.Errorf("code host %s: %w", web.Host, err)
	}
	return &gitlab{config: c, web: web, client: client}, nil
}

func (g *gitlab) Kind() string { return KindGitLab }

func (g *gitlab) failed(ctx context.Context, err error, format string, args ...any) error {
	return failed(ctx, g.web.Host, fmt.Sprintf(format, args...), err)
}

func (g *gitlab) repository(p *glapi.Project) (Repository, error) {
	if p == nil {
		return Repository{}, errors.New("no project in it")
	}
	push := false
	if p.Permissions != nil {
		if a := p.Permissions.ProjectAccess; a != nil {
			push = a.AccessLevel >= glapi.DeveloperPermissions
		}
		if a := p.Permissions.GroupAccess; a != nil {
			push = push || a.AccessLevel >= glapi.DeveloperPermissions
		}
	}
	return newRepository(g.web, gitlabParts, Repository{Name: p.PathWithNamespace, DefaultBranch: p.DefaultBranch, WebURL: p.WebURL, Archived: p.Archived,
		Private: p.Visibility != glapi.PublicVisibility, Push: push && !p.Archived})
}

func (g *gitlab) project(ctx context.Context, name string) (*glapi.Project, error) {
	p, _, err := g.client.Projects.GetProject(name, nil, glapi.WithContext(ctx))
	if err == nil && p == nil {
		err = errors.New("no project in it")
	}
	return p, err
}

func (g *gitlab) Repository(ctx context.Context, name string) (Repository, error) {
	if err := checkName(name, 2, gitlabParts); err != nil {
		return Repository{}, err
	}
	p, err := g.project(ctx, name)
	var repo Repository
	if err == nil {
		repo, err = g.repository(p)
	}
	return repo, g.failed(ctx, err, "look up repository %s", name)
}

func (g *gitlab) Fork(ctx context.Context, name string) (Repository, error) {
	if err := checkName(name, 2, gitlabParts); err != nil {
		return Repository{}, err
	}
	repo, err := g.fork(ctx, name)
	return repo, g.failed(ctx, err, "fork %s", name)
}

func (g *gitlab) fork(ctx context.Context, name string) (Repository, error) {
	find := func() (*glapi.Project, error) {
		owned := true
		forks, _, err := g.client.Projects.ListProjectForks(name, &glapi.ListProjectsOptions{Owned: &owned, ListOptions: glapi.ListOptions{PerPage: 1}}, glapi.WithContext(ctx))
		if err != nil || len(forks) == 0 || forks[0] == nil {
			return nil, err
		}
		return forks[0], nil
	}
	p, err := find()
	if err == nil && p == nil {
		p, _, err = g.client.Projects.ForkProject(name, &glapi.ForkProjectOptions{}, glapi.WithContext(ctx))
		if errors.Is(err, glovebox.ErrConflict) || ambiguous(err) {
			if found, findErr := find(); findErr == nil && found != nil {
				p, err = found, nil
			}
		}
	}
	if err != nil {
		return Repository{}, err
	}
	return g.repository(p)
}

// Search takes group:NAME (or org:), user:NAME, topic:NAME and text.
func (g *gitlab) Search(ctx context.Context, query string) ([]Repository, error) {
	q, err := parseQuery(query)
	if err == nil && q.owner != "" {
		if err = checkName(q.owner, 1, gitlabParts); err != nil {
			err = fmt.Errorf("query: %q is no group or user", printable(q.owner, 100))
		}
	}
	if err != nil {
		return nil, err
	}
	repos, err := g.search(ctx, q, strings.Contains(query, "user:"))
	return repos, g.failed(ctx, err, "search repositories for %q", printable(query, 200))
}

func (g *gitlab) search(ctx context.Context, q fieldQuery, user bool) ([]Repository, error) {
	found := newFinds(g.config.MaxRepositories)
	for page := int64(1); page > 0; {
		projects, next, err := g.searchPage(ctx, q, user, page)
		if err != nil {
			return nil, err
		}
		for _, p := range projects {
			repo, err := g.repository(p)
			if err != nil {
				continue
			}
			if err := found.add(repo); err != nil {
				return nil, err
			}
		}
		if err := found.page(int(page)); err != nil {
			return nil, err
		}
		if next <= page {
			break
		}
		page = next
	}
	return found.repos, nil
}

func (g *gitlab) searchPage(ctx context.Context, q fieldQuery, user bool, page int64) ([]*glapi.Project, int64, error) {
	set := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	list := glapi.ListOptions{Page: page, PerPage: 100}
	order := glapi.Ptr("id")
	var projects []*glapi.Project
	var resp *glapi.Response
	var err error
	switch {
	case q.owner == "":
		projects, resp, err = g.client.Projects.ListProjects(&glapi.ListProjectsOptions{ListOptions: list, OrderBy: order, Search: set(q.text), Topic: set(q.topic)}, glapi.WithContext(ctx))
	case user:
		projects, resp, err = g.client.Projects.ListUserProjects(q.owner, &glapi.ListProjectsOptions{ListOptions: list, OrderBy: order, Search: set(q.text), Topic: set(q.topic)}, glapi.WithContext(ctx))
	default:
		sub := true
		projects, resp, err = g.client.Groups.ListGroupProjects(q.owner, &glapi.ListGroupProjectsOptions{ListOptions: list, OrderBy: order, Search: set(q.text), Topic: set(q.topic), IncludeSubGroups: &sub}, glapi.WithContext(ctx))
	}
	if err != nil {
		return nil, 0, err
	}
	return projects, resp.NextPage, nil
}
