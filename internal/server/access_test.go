package server

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

// Every route against every kind of credential: who may not enter gets 401 or 403, who may gets neither.
func TestAccessOfEveryRoute(t *testing.T) {
	f := newFixture(t)
	_, _, lease := f.held()
	secrets := map[string]string{
		"nobody": "", "wrong": api.UserTokenPrefix + strings.Repeat("x", 43), "job": lease.Token,
		"viewer":   f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleViewer}),
		"operator": f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleOperator}),
		"admin":    f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleAdmin}),
		"executor": f.secret(glovebox.Token{Kind: glovebox.TokenExecutor, Executor: "e2"}),
	}
	users := map[access]string{viewer: "viewer operator admin", operator: "operator admin", admin: "admin", machine: "executor", attempt: "job"}
	for _, r := range routes {
		if r.access == anybody || r.access == inBody {
			continue
		}
		path := strings.NewReplacer("{id}", "no-such-job", "{attempt}", "1", "{name...}", "diff", "{name}", "x").Replace(r.path)
		for who, secret := range secrets {
			status, body := f.raw(r.method, path, secret, strings.NewReader("{"))
			refused := status == 401 || status == 403
			if r.access == attempt && who == "job" {
				refused = false // a live token of another job is forbidden by the handler; tested below
			}
			if may := strings.Contains(" "+users[r.access]+" ", " "+who+" "); may == refused {
				t.Errorf("%s as %s: %d %s", r.method+" "+path, who, status, body)
			}
			if (who == "nobody" || who == "wrong") && status != 401 {
				t.Errorf("%s as %s: %d, want 401", r.method+" "+path, who, status)
			}
		}
	}
}

func TestTenantsDoNotSeeEachOther(t *testing.T) {
	f := newFixture(t)
	mine, theirs, admin := f.user(glovebox.RoleOperator, "a"), f.user(glovebox.RoleOperator, "b"), f.user(glovebox.RoleAdmin, "c")
	job := f.submit(mine, trueJob())
	secret := f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleOperator, Tenant: "b"})
	for _, r := range routes {
		if !strings.HasPrefix(r.path, api.PathJob) {
			continue
		}
		path := strings.NewReplacer("{id}", job.ID, "{name...}", "x").Replace(r.path)
		if status, body := f.raw(r.method, path, secret, nil); status != 404 {
			t.Errorf("%s %s: %d %s", r.method, path, status, body)
		}
	}
	if page, err := theirs.Jobs(t.Context(), api.JobsQuery{Tenant: "a"}); err != nil || len(page.Jobs) != 0 {
		t.Errorf("another tenant lists %v, %v", page.Jobs, err)
	}
	if page, err := admin.Jobs(t.Context(), api.JobsQuery{Tenant: "a"}); err != nil || len(page.Jobs) != 1 {
		t.Errorf("an admin lists %v, %v", page.Jobs, err)
	}
	if _, err := admin.Job(t.Context(), job.ID); err != nil {
		t.Errorf("an admin: %v", err)
	}
	if status, _ := f.raw("POST", "/api/v1/jobs?tenant=a", secret, strings.NewReader(`{"steps":[{"run":"true"}]}`)); status != 403 {
		t.Errorf("submit for another tenant: %d", status)
	}
	// Another tenant's repository is unknown.
	dir, _ := gitRepo(t)
	if _, err := admin.AddRepo(t.Context(), api.AddRepository{Name: "private", URL: dir, Tenant: "a"}); err != nil {
		t.Fatal(err)
	}
	spec := trueJob()
	spec.Repo = &glovebox.Repo{Name: "private"}
	f.submit(mine, spec)
	if _, err := theirs.SubmitJob(t.Context(), spec); !strings.Contains(errText(err), "no repository") {
		t.Errorf("job on another tenant's repository: %v", err)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A job's token opens its own attempt only; its use elsewhere is noted on its job's timeline.
func TestForeignJobToken(t *testing.T) {
	f := newFixture(t)
	user, executor, lease := f.held()
	other := f.submit(user, trueJob())
	otherLease := f.claim(executor)
	stolen := otherLease.LeaseRef
	stolen.Token = lease.Token
	line := logLine(t, "evil")
	if _, err := executor.AppendLog(t.Context(), stolen, 0, line); !errors.Is(err, glovebox.ErrForbidden) {
		t.Errorf("log: %v", err)
	}
	if err := executor.PutArtifact(t.Context(), stolen, "diff", 1, strings.NewReader("x")); !errors.Is(err, glovebox.ErrForbidden) {
		t.Errorf("artifact: %v", err)
	}
	if err := executor.Complete(t.Context(), stolen, glovebox.Result{State: glovebox.StateCompleted}); !errors.Is(err, glovebox.ErrForbidden) {
		t.Errorf("result: %v", err)
	}
	if status, _ := f.raw("GET", "/api/v1/jobs", lease.Token, nil); status != 403 {
		t.Errorf("users' API: %d", status)
	}
	if job, err := user.Job(t.Context(), other.ID); err != nil || job.State != glovebox.StateProcessing {
		t.Errorf("the other job is %s, %v", job.State, err)
	}
	job, err := user.Job(t.Context(), lease.JobID)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, e := range job.Timeline {
		if e.Kind == glovebox.EventRefused {
			refused++
		}
	}
	if refused != 4 {
		t.Errorf("%d refusals on the timeline of the token's job, want 4: %+v", refused, job.Timeline)
	}
	// Misuse can't fill a timeline.
	for range 30 {
		f.raw("GET", "/api/v1/jobs", lease.Token, nil)
	}
	if job, err = user.Job(t.Context(), lease.JobID); err != nil || len(job.Timeline) > 20 {
		t.Errorf("%d events on the timeline, %v", len(job.Timeline), err)
	}
	// A token that is nobody's, on a live attempt and on none.
	stolen.Token = api.JobTokenPrefix + strings.Repeat("x", 43)
	if _, err := executor.AppendLog(t.Context(), stolen, 0, line); !errors.Is(err, glovebox.ErrLeaseLost) {
		t.Errorf("an unknown token: %v", err)
	}
}

func TestReplayAfterCompletion(t *testing.T) {
	f := newFixture(t)
	user, executor, lease := f.held()
	if err := executor.Complete(t.Context(), lease.LeaseRef, glovebox.Result{State: glovebox.StateFailed}); err != nil {
		t.Fatal(err)
	}
	if _, err := executor.AppendLog(t.Context(), lease.LeaseRef, 0, logLine(t, "late")); !errors.Is(err, glovebox.ErrLeaseLost) {
		t.Errorf("log: %v", err)
	}
	if err := executor.PutArtifact(t.Context(), lease.LeaseRef, "diff", 1, strings.NewReader("x")); !errors.Is(err, glovebox.ErrLeaseLost) {
		t.Errorf("artifact: %v", err)
	}
	if err := executor.Complete(t.Context(), lease.LeaseRef, glovebox.Result{State: glovebox.StateCompleted}); !errors.Is(err, glovebox.ErrLeaseLost) {
		t.Errorf("another result: %v", err)
	}
	if reply, err := executor.Heartbeat(t.Context(), glovebox.Beat{Executor: "e1", Leases: []glovebox.LeaseRef{lease.LeaseRef}}); err != nil || reply.Leases[0].Verdict != glovebox.LeaseGone {
		t.Errorf("heartbeat: %+v, %v", reply, err)
	}
	// After a retry the old attempt's token opens nothing of the new one.
	if _, err := user.RetryJob(t.Context(), lease.JobID); err != nil {
		t.Fatal(err)
	}
	again := f.claim(executor)
	old := again.LeaseRef
	old.Token = lease.Token
	for _, ref := range []glovebox.LeaseRef{old, lease.LeaseRef} {
		if _, err := executor.AppendLog(t.Context(), ref, 0, logLine(t, "late")); !errors.Is(err, glovebox.ErrLeaseLost) {
			t.Errorf("attempt %d with the old token: %v", ref.Attempt, err)
		}
	}
	if _, err := executor.AppendLog(t.Context(), glovebox.LeaseRef{JobID: again.JobID, Attempt: 1, Token: again.Token}, 0, logLine(t, "late")); !errors.Is(err, glovebox.ErrLeaseLost) {
		t.Errorf("the new token on the old attempt: %v", err)
	}
}

func TestExecutorTokenIsForItsName(t *testing.T) {
	f := newFixture(t)
	executor := f.executor()
	if _, err := executor.Claim(t.Context(), glovebox.Offer{Executor: "e2", Max: 1}); !errors.Is(err, glovebox.ErrForbidden) {
		t.Errorf("claim as another: %v", err)
	}
	if _, err := executor.Heartbeat(t.Context(), glovebox.Beat{Executor: "e2"}); !errors.Is(err, glovebox.ErrForbidden) {
		t.Errorf("heartbeat as another: %v", err)
	}
}

func TestGitGatewayAccess(t *testing.T) {
	f := newFixture(t)
	admin, executor := f.user(glovebox.RoleAdmin, ""), f.executor()
	for _, name := range []string{"mine", "other"} {
		dir, _ := gitRepo(t)
		if _, err := admin.AddRepo(t.Context(), api.AddRepository{Name: name, URL: dir}); err != nil {
			t.Fatal(err)
		}
	}
	spec := trueJob()
	spec.Repo = &glovebox.Repo{Name: "mine"}
	f.submit(admin, spec)
	lease := f.claim(executor)
	const refs = "/info/refs?service=git-upload-pack"
	adminSecret := f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleAdmin})
	for _, c := range []struct {
		path, secret string
		want         int
	}{
		{"/git/mine" + refs, lease.Token, 200},
		{"/git/mine.git" + refs, lease.Token, 200},
		{"/git/other" + refs, lease.Token, 403},
		{"/git/nosuch" + refs, lease.Token, 403},
		{"/git/mine/info/refs?service=git-receive-pack", lease.Token, 403},
		{"/git/mine/info/refs", lease.Token, 404},
		{"/git/mine/HEAD", lease.Token, 404},
		{"/git/mine/objects/info/packs", lease.Token, 404},
		{"/git/mine" + refs, "", 401},
		{"/git/mine" + refs, adminSecret, 401},
		{"/git/mine" + refs, api.JobTokenPrefix + "x", 401},
	} {
		if status, body := f.raw("GET", c.path, c.secret, nil); status != c.want {
			t.Errorf("%s with %.6s: %d %s, want %d", c.path, c.secret, status, body, c.want)
		}
	}
	withToken := strings.Replace(f.url, "http://", "http://x:"+url.QueryEscape(lease.Token)+"@", 1)
	clone := t.TempDir()
	gitIn(t, clone, "clone", "-q", withToken+"/git/mine", ".")
	if out, err := tryGit(clone, "push", "-q", "origin", "HEAD:refs/heads/evil"); err == nil {
		t.Errorf("a push was accepted: %s", out)
	}
}

func TestWrongCredentialsAreSlowedDown(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.AuthFailures = 3 })
	good := f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleViewer})
	if status, _ := f.raw("GET", "/api/v1/whoami", good, nil); status != http.StatusOK {
		t.Errorf("a right credential: %d", status)
	}
	last := 0
	for range 5 {
		last, _ = f.raw("GET", "/api/v1/whoami", api.UserTokenPrefix+"guess", nil)
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the fifth guess: %d", last)
	}
	// Who was right lately is not shut out by a guesser at the same address.
	if status, _ := f.raw("GET", "/api/v1/whoami", good, nil); status != http.StatusOK {
		t.Errorf("a right credential after the guesses: %d", status)
	}
	if status, _ := f.raw("GET", "/healthz", "", nil); status != http.StatusOK {
		t.Errorf("healthz: %d", status)
	}
}
