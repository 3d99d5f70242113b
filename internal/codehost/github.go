package codehost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	ghapi "github.com/google/go-github/v88/github"

	"github.com/glovebox-dev/glovebox"
)

// github is github.com, a *.ghe.com or a GitHub Enterprise Server. It writes by the REST API and
// reads requests by GraphQL: fifty requests with checks and reviews in one call, not four calls each.
type github struct {
	config  Config
	web     *url.URL
	client  *ghapi.Client
	graphql string
}

func newGitHub(c Config, web *url.URL) (*github, error) {
	root, rest, graphql := *web, "api/v3/", "api/graphql"
	// github.com and *.ghe.com have their API on a host of its own, whose root is REST.
	if host := web.Hostname(); host == "github.com" || strings.HasSuffix(host, ".ghe.com") {
		root.Host, rest, graphql = "api."+root.Host, "", "graphql"
	}
	api := root.JoinPath(strings.Split(rest, "/")[0])
	if rest != "" {
		// GraphQL is beside v3, so the root that requests must stay beneath is above both.
		api = root.JoinPath("api")
	}
	base := root.JoinPath(rest).String()
	if !strings.HasSuffix(base, "/") {
		base += "/"
	}
	hc := newClient(c, api, "Authorization", "Bearer "+c.Token)
	client, err := ghapi.NewClient(ghapi.WithHTTPClient(hc), ghapi.WithURLs(&base, &base), ghapi.WithDisableRateLimitCheck())
	if err != nil {
		return nil, fmt.Errorf("code host %s: %w", web.Host, err)
	}
	return &github{config: c, web: web, client: client, graphql: root.JoinPath(graphql).String()}, nil
}

func (g *github) Kind() string { return KindGitHub }

func (g *github) failed(ctx context.Context, err error, format string, args ...any) error {
	return failed(ctx, g.web.Host, fmt.Sprintf(format, args...), err)
}

func (g *github) repository(r *ghapi.Repository) (Repository, error) {
	if r == nil {
		return Repository{}, errors.New("no repository in it")
	}
	push := r.GetPermissions().GetPush() && !r.GetArchived() && !r.GetDisabled()
	return newRepository(g.web, 2, Repository{Name: r.GetFullName(), DefaultBranch: r.GetDefaultBranch(), WebURL: r.GetHTMLURL(), Archived: r.GetArchived(), Private: r.GetPrivate(), Push: push})
}

func (g *github) Repository(ctx context.Context, name string) (Repository, error) {
	owner, base, err := ownerRepo(name)
	if err != nil {
		return Repository{}, err
	}
	r, _, err := g.client.Repositories.Get(ctx, owner, base)
	var repo Repository
	if err == nil {
		repo, err = g.repository(r)
	}
	return repo, g.failed(ctx, err, "look up repository %s", name)
}

// Fork relies on GitHub: asking again returns the fork that there is.
func (g *github) Fork(ctx context.Context, name string) (Repository, error) {
	owner, base, err := ownerRepo(name)
	if err != nil {
		return Repository{}, err
	}
	// Not CreateFork: it takes the usual answer, 202, for an error. Asking twice makes no second fork.
	req, err := g.client.NewRequest(reading(ctx), http.MethodPost, "repos/"+owner+"/"+base+"/forks", struct{}{})
	var repo Repository
	if err == nil {
		var r ghapi.Repository
		_, err = g.client.Do(req, &r)
		var accepted *ghapi.AcceptedError
		if errors.As(err, &accepted) {
			err = unmarshal(accepted.Raw, &r)
		}
		if err == nil {
			repo, err = g.repository(&r)
		}
	}
	return repo, g.failed(ctx, err, "fork %s", name)
}

// Search lists an organisation or a user whole when nothing else is asked: GitHub's search ends at 1000.
func (g *github) Search(ctx context.Context, query string) ([]Repository, error) {
	query = strings.Join(strings.Fields(query), " ")
	if query == "" || len(query) > 1000 {
		return nil, errors.New("query: empty, or longer than 1000 bytes")
	}
	search := g.searchPage
	if key, value, _ := strings.Cut(query, ":"); validPart(value) && key == "org" {
		search = g.orgPage
	} else if validPart(value) && key == "user" {
		search = g.userPage
	}
	found := newFinds(g.config.MaxRepositories)
	for page := 1; page > 0; {
		repos, next, err := search(ctx, query, page)
		if err != nil {
			return nil, g.failed(ctx, err, "search repositories for %q", printable(query, 200))
		}
		for _, r := range repos {
			repo, err := g.repository(r)
			if err != nil {
				continue
			}
			if err := found.add(repo); err != nil {
				return nil, g.failed(ctx, err, "search repositories for %q", printable(query, 200))
			}
		}
		if err := found.page(page); err != nil {
			return nil, g.failed(ctx, err, "search repositories for %q", printable(query, 200))
		}
		if next <= page {
			break
		}
		page = next
	}
	return found.repos, nil
}

func pageOf(page int) ghapi.ListOptions { return ghapi.ListOptions{Page: page, PerPage: 100} }

func (g *github) orgPage(ctx context.Context, query string, page int) ([]*ghapi.Repository, int, error) {
	repos, resp, err := g.client.Repositories.ListByOrg(ctx, query[len("org:"):], &ghapi.RepositoryListByOrgOptions{Sort: "full_name", ListOptions: pageOf(page)})
	if err != nil {
		return nil, 0, err
	}
	return repos, resp.NextPage, nil
}

func (g *github) userPage(ctx context.Context, query string, page int) ([]*ghapi.Repository, int, error) {
	repos, resp, err := g.client.Repositories.ListByUser(ctx, query[len("user:"):], &ghapi.RepositoryListByUserOptions{Sort: "full_name", ListOptions: pageOf(page)})
	if err != nil {
		return nil, 0, err
	}
	return repos, resp.NextPage, nil
}

func (g *github) searchPage(ctx context.Context, query string, page int) ([]*ghapi.Repository, int, error) {
	answer, resp, err := g.client.Search.Repositories(ctx, query, &ghapi.SearchOptions{ListOptions: pageOf(page)})
	if err != nil {
		return nil, 0, err
	}
	if answer == nil {
		return nil, 0, errors.New("no list in it")
	}
	if n := answer.GetTotal(); n > 1000 {
		return nil, 0, fmt.Errorf("%d repositories match and GitHub's search shows 1000: narrow the query, or ask for org:NAME alone: %w", n, glovebox.ErrTooLarge)
	}
	if answer.GetIncompleteResults() {
		return nil, 0, errors.New("GitHub gave up in the middle of the search: narrow the query or try again")
	}
	return answer.Repositories, resp.NextPage, nil
}
