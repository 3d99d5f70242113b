package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// Submit accepts a job of a user for a tenant (the user's own when empty): it validates,
// resolves the revision and enqueues. What is wrong with the job is a *glovebox.ValidationError.
func (s *Server) Submit(ctx context.Context, user glovebox.Token, spec glovebox.JobSpec) (glovebox.Job, error) {
	return s.submitFor(ctx, user, tenantOf(user), spec)
}

func (s *Server) submitFor(ctx context.Context, user glovebox.Token, tenant string, spec glovebox.JobSpec) (glovebox.Job, error) {
	if !mayEnter(user, operator) {
		return glovebox.Job{}, fmt.Errorf("submit job: %w", glovebox.ErrForbidden)
	}
	spec.ApplyDefaults()
	if err := spec.Validate(); err != nil {
		return glovebox.Job{}, err
	}
	if err := refuseSecrets(spec); err != nil {
		return glovebox.Job{}, err
	}
	if spec.Repo != nil {
		repo, err := s.resolve(ctx, tenant, *spec.Repo)
		if err != nil {
			return glovebox.Job{}, err
		}
		spec.Repo = &repo
	}
	if spec.Trace == "" {
		spec.Trace = traceparent(ctx)
	}
	job, err := s.Queue.Submit(ctx, tenant, "user:"+user.Name, spec)
	if err != nil {
		return glovebox.Job{}, err
	}
	s.Metrics.submitted.WithLabelValues(job.Queue).Inc()
	s.Logger.Info("job submitted", "job", job.ID, "tenant", tenant, "queue", job.Queue, "by", user.Name)
	return job, nil
}

// traceparent is the span of ctx as the header of the same name; empty without one.
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// refuseSecrets refuses jobs that name secrets: this server has none to give.
func refuseSecrets(spec glovebox.JobSpec) error {
	var problems []glovebox.Problem
	for i, step := range spec.Steps {
		if len(step.Secrets) > 0 {
			problems = append(problems, glovebox.Problem{Path: fmt.Sprintf("steps[%d].secrets", i),
				Message: "this server keeps no secrets; they are for \"glovebox run --secret\" only"})
		}
	}
	if len(problems) > 0 {
		return &glovebox.ValidationError{Problems: problems}
	}
	return nil
}

// resolve replaces what the user wrote by the commit that it means now.
func (s *Server) resolve(ctx context.Context, tenant string, repo glovebox.Repo) (glovebox.Repo, error) {
	known, err := s.repository(ctx, tenant, repo.Name)
	if errors.Is(err, glovebox.ErrNotFound) {
		return repo, problem("repo.name", fmt.Sprintf("no repository %q at the git gateway: an admin adds it with \"glovebox repo add\"", repo.Name))
	}
	if err != nil {
		return repo, err
	}
	rev := repo.Rev
	if repo.Commit != "" {
		rev = repo.Commit
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ResolveTime)
	defer cancel()
	ctx, done := s.untilStop(ctx)
	defer done()
	commit, err := s.Gateway.Resolve(ctx, known, rev)
	switch {
	case errors.Is(err, glovebox.ErrNotFound):
		return repo, problem("repo.rev", fmt.Sprintf("no branch, tag or commit %q in %s", rev, repo.Name))
	case ctx.Err() != nil:
		return repo, fmt.Errorf("resolve %q of %s: %w", rev, repo.Name, context.Cause(ctx))
	case err != nil:
		s.Logger.Warn("resolve revision", "repo", repo.Name, "rev", rev, "error", err)
		return repo, problem("repo", "the repository can't be read; the server's log says why")
	}
	repo.Commit = commit
	return repo, nil
}

func problem(path, message string) error {
	return &glovebox.ValidationError{Problems: []glovebox.Problem{{Path: path, Message: message}}}
}

func tenantOf(user glovebox.Token) string {
	if user.Tenant == "" {
		return glovebox.DefaultTenant
	}
	return user.Tenant
}

// job returns a job that the caller may see; others' are glovebox.ErrNotFound.
func (s *Server) job(r *request) (glovebox.Job, error) {
	id := r.PathValue("id")
	job, err := s.Queue.Get(r.Context(), id)
	if err != nil {
		return glovebox.Job{}, err
	}
	if r.user.Role != glovebox.RoleAdmin && job.Tenant != tenantOf(r.user) {
		return glovebox.Job{}, fmt.Errorf("get job %q: %w", id, glovebox.ErrNotFound)
	}
	return job, nil
}

func (s *Server) submitJob(r *request) error {
	var spec glovebox.JobSpec
	if err := r.json(&spec); err != nil {
		return err
	}
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	job, err := s.submitFor(r.Context(), r.user, tenant, spec)
	if err != nil {
		return err
	}
	r.w.Header().Set("Location", strings.Replace(api.PathJob, "{id}", job.ID, 1))
	return r.w.json(http.StatusCreated, job)
}

// tenant is whose thing is to be made: the user's own, or for admins another by the parameter of that name.
func (r *request) tenant() (string, error) {
	own := tenantOf(r.user)
	asked := r.URL.Query().Get("tenant")
	switch {
	case asked == "" || asked == own:
		return own, nil
	case r.user.Role != glovebox.RoleAdmin:
		return "", fmt.Errorf("submit for another tenant: %w", glovebox.ErrForbidden)
	case !shortName(asked):
		return "", invalid("parameter tenant: want a name of at most 64 bytes")
	}
	return asked, nil
}

func shortName(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '/' || c == 0xfffd })
}

func (s *Server) listJobs(r *request) error {
	q := r.URL.Query()
	limit, err := r.number("limit", queue.MaxPage)
	if err != nil {
		return err
	}
	filter := queue.Filter{
		Tenant: tenantOf(r.user), Queue: q.Get("queue"), Repo: q.Get("repo"), Text: q.Get("q"),
		Limit: int(limit), Cursor: q.Get("cursor"),
	}
	if r.user.Role == glovebox.RoleAdmin {
		filter.Tenant = q.Get("tenant")
	}
	for _, list := range q["state"] {
		for state := range strings.SplitSeq(list, ",") {
			if !knownState(glovebox.State(state)) {
				return invalid("parameter state: no state " + fmt.Sprintf("%.40q", state))
			}
			filter.States = append(filter.States, glovebox.State(state))
		}
	}
	jobs, next, err := s.Queue.List(r.Context(), filter)
	if err != nil {
		return err
	}
	if jobs == nil {
		jobs = []glovebox.Job{}
	}
	return r.w.json(http.StatusOK, api.JobsPage{Jobs: jobs, Next: next})
}

func knownState(state glovebox.State) bool {
	for _, known := range glovebox.JobStates() {
		if state == known {
			return true
		}
	}
	return false
}

func (s *Server) getJob(r *request) error {
	job, err := s.job(r)
	if err != nil {
		return err
	}
	return r.w.json(http.StatusOK, job)
}

func (s *Server) cancelJob(r *request) error {
	var in api.CancelRequest
	if err := r.optionalJSON(&in); err != nil {
		return err
	}
	job, err := s.job(r)
	if err != nil {
		return err
	}
	if job, err = s.Queue.Cancel(r.Context(), job.ID, "user:"+r.user.Name, in.Reason); err != nil {
		return err
	}
	return r.w.json(http.StatusOK, job)
}

func (s *Server) retryJob(r *request) error {
	job, err := s.job(r)
	if err != nil {
		return err
	}
	if job, err = s.Queue.Retry(r.Context(), job.ID, "user:"+r.user.Name); err != nil {
		return err
	}
	return r.w.json(http.StatusOK, job)
}
