package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/git"
	"github.com/glovebox-dev/glovebox/internal/gitgateway"
)

var repoName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)
})

// repository returns the repository of a name that the tenant may use; others are glovebox.ErrNotFound.
func (s *Server) repository(ctx context.Context, tenant, name string) (glovebox.Repository, error) {
	repo, err := s.Repositories.Get(ctx, name)
	if err == nil && repo.Tenant != "" && repo.Tenant != tenant {
		err = fmt.Errorf("repository %q: %w", name, glovebox.ErrNotFound)
	}
	return repo, err
}

// shown is the repository without the credentials in its address; for who is no
// admin, without the address.
func shown(repo glovebox.Repository, user glovebox.Token) glovebox.Repository {
	repo.URL = git.Redact(repo.URL)
	if u, err := url.Parse(repo.URL); err == nil && u.User != nil {
		u.User = nil
		repo.URL = u.String()
	}
	if user.Role != glovebox.RoleAdmin {
		repo.URL = ""
	}
	return repo
}

func (s *Server) listRepos(r *request) error {
	all, err := s.Repositories.List(r.Context())
	if err != nil {
		return err
	}
	out := api.Repositories{Repositories: []glovebox.Repository{}}
	for _, repo := range all {
		if r.user.Role == glovebox.RoleAdmin || repo.Tenant == "" || repo.Tenant == tenantOf(r.user) {
			out.Repositories = append(out.Repositories, shown(repo, r.user))
		}
	}
	return r.w.json(http.StatusOK, out)
}

func (s *Server) addRepo(r *request) error {
	var in api.AddRepository
	if err := r.json(&in); err != nil {
		return err
	}
	if err := checkRepo(in); err != nil {
		return err
	}
	repo := glovebox.Repository{Name: in.Name, URL: in.URL, Tenant: in.Tenant, CreatedAt: s.Now().UTC()}
	ctx, done := s.untilStop(r.Context())
	defer done()
	// The first fetch shows whether it is a repository; an empty one has no HEAD and is fine.
	if _, err := s.Gateway.Resolve(ctx, repo, ""); err != nil && !errors.Is(err, glovebox.ErrNotFound) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return problem("url", "the repository can't be read: "+git.Redact(err.Error()))
	}
	added, err := s.Repositories.Add(r.Context(), repo)
	if err != nil {
		return err
	}
	s.Logger.Info("repository added", "repo", repo.Name, "by", r.user.Name)
	return r.w.json(http.StatusCreated, shown(added, r.user))
}

func checkRepo(in api.AddRepository) error {
	var problems []glovebox.Problem
	if len(in.Name) > 200 || !repoName().MatchString(in.Name) || strings.HasSuffix(in.Name, ".git") {
		problems = append(problems, glovebox.Problem{Path: "name", Message: `want parts of letters, digits, "-", "_" and ".", divided by "/", not ending in ".git"`})
	}
	if err := git.CheckURL(in.URL); err != nil {
		problems = append(problems, glovebox.Problem{Path: "url", Message: err.Error()})
	}
	if in.Tenant != "" && !shortName(in.Tenant) {
		problems = append(problems, glovebox.Problem{Path: "tenant", Message: "want a name of at most 64 bytes"})
	}
	if problems != nil {
		return &glovebox.ValidationError{Problems: problems}
	}
	return nil
}

func (s *Server) removeRepo(r *request) error {
	repo, err := s.Repositories.Get(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	if err := s.Repositories.Remove(r.Context(), repo.Name); err != nil {
		return err
	}
	if err := s.Gateway.Remove(r.Context(), repo); err != nil {
		return err
	}
	s.Logger.Info("repository removed", "repo", repo.Name, "by", r.user.Name)
	return r.w.nothing()
}

// git is the git gateway's address. Who may read a repository is who holds a live
// attempt of a job on it.
func (s *Server) git(r *request) error {
	name, op, err := gitgateway.Parse(r.Request, r.PathValue("path"))
	if err != nil {
		return err
	}
	secret, ok := bearer(r.Request)
	if !ok {
		_, secret, ok = r.BasicAuth()
	}
	if !ok || secret == "" {
		return fmt.Errorf("want a job token as password: %w", glovebox.ErrUnauthorized)
	}
	if !s.guard.mayTry(r.RemoteAddr, secret) {
		return errGuessing
	}
	job, _, err := s.Queue.JobByToken(r.Context(), secret)
	if err != nil {
		if errors.Is(err, glovebox.ErrUnauthorized) {
			s.guard.failed(r.RemoteAddr)
		}
		return err
	}
	s.guard.right(secret)
	if job.Repo == nil || job.Repo.Name != name {
		s.noteMisuse(r, secret, "the repository "+fmt.Sprintf("%.100q", name))
		return fmt.Errorf("the job is not on this repository: %w", glovebox.ErrForbidden)
	}
	repo, err := s.repository(r.Context(), job.Tenant, name)
	if err != nil {
		return err
	}
	if err := s.Gateway.Ensure(r.Context(), repo, job.Repo.Commit); err != nil {
		return err
	}
	return s.Gateway.Serve(r.w, r.Request, repo, op)
}
