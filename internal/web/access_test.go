package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
)

func TestStrangersSeeTheLoginOnly(t *testing.T) {
	l := newLab(t)
	job := l.submit("default", steps("secret", "a"))
	b := l.browser()
	for _, path := range []string{"/", "/jobs/" + job.ID, "/jobs/new", "/executors", "/jobs/" + job.ID + "/log", "/events"} {
		p := b.get(path)
		if p.StatusCode != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"), "/login?next=") {
			t.Errorf("GET %s: status %d to %q, want 303 to the log-in page", path, p.StatusCode, p.Header.Get("Location"))
		}
	}
	for _, path := range []string{"/jobs", "/jobs/" + job.ID + "/cancel", "/executors/drain"} {
		if p := b.post(path, nil); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("POST %s: status %d, want 401", path, p.StatusCode)
		}
	}
	if p := b.post("/login", url.Values{"token": {"gbu_wrong"}}); p.StatusCode != http.StatusUnauthorized || len(p.Cookies()) != 0 {
		t.Errorf("log in with a wrong token: status %d, cookies %v", p.StatusCode, p.Cookies())
	}
}

func TestExecutorTokensDoNotLogIn(t *testing.T) {
	l := newLab(t)
	token, err := l.tokens.Create(t.Context(), glovebox.Token{Name: "box", Kind: glovebox.TokenExecutor, Executor: "box"})
	check(t, err)
	if p := l.browser().post("/login", url.Values{"token": {token.Secret}}); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", p.StatusCode)
	}
}

func TestSessionCookie(t *testing.T) {
	l := newLab(t)
	token := l.token("ada", glovebox.RoleViewer, "default")
	p := l.browser().post("/login", url.Values{"token": {token.Secret}, "next": {"//evil.example/"}})
	if p.Header.Get("Location") != "/" {
		t.Errorf("log in leads to %q, want /", p.Header.Get("Location"))
	}
	cookies := p.Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Secure {
		t.Fatalf("cookie is %+v", cookies)
	}
	if strings.Contains(cookies[0].Value, token.Secret) {
		t.Error("the cookie holds the token")
	}
}

func TestRevokedTokenEndsItsSessions(t *testing.T) {
	l := newLab(t)
	token := l.token("ada", glovebox.RoleViewer, "default")
	b := l.login(token)
	if p := b.get("/"); p.StatusCode != http.StatusOK {
		t.Fatalf("status %d before revocation", p.StatusCode)
	}
	check(t, l.tokens.Revoke(t.Context(), token.ID))
	if p := b.get("/"); p.StatusCode != http.StatusSeeOther {
		t.Errorf("status %d after revocation, want 303", p.StatusCode)
	}
}

func TestLogout(t *testing.T) {
	l := newLab(t)
	b := l.login(l.token("ada", glovebox.RoleViewer, "default"))
	if p := b.post("/logout", nil); p.StatusCode != http.StatusForbidden {
		t.Errorf("logout without a form token: status %d, want 403", p.StatusCode)
	}
	b.post("/logout", url.Values{"csrf": {b.csrf()}})
	if p := b.get("/"); p.StatusCode != http.StatusSeeOther {
		t.Errorf("status %d after logout, want 303", p.StatusCode)
	}
}

func TestTenantsAreApart(t *testing.T) {
	l := newLab(t)
	job := l.submit("red", steps("red-job", "a"))
	viewer, admin := l.login(l.token("bob", glovebox.RoleOperator, "blue")), l.login(l.token("root", glovebox.RoleAdmin, ""))
	for _, path := range []string{"", "/events", "/lines?from=1&to=2", "/search?q=x", "/log", "/diff", "/output?name=x", "?part=summary"} {
		if p := viewer.get("/jobs/" + job.ID + path); p.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s of another tenant: status %d, want 404", path, p.StatusCode)
		}
	}
	for _, path := range []string{"/cancel", "/retry"} {
		if p := viewer.post("/jobs/"+job.ID+path, url.Values{"csrf": {viewer.csrf()}}); p.StatusCode != http.StatusNotFound {
			t.Errorf("POST %s of another tenant: status %d, want 404", path, p.StatusCode)
		}
	}
	for _, path := range []string{"/", "/?tenant=red", "/?q=red-job"} {
		if p := viewer.get(path); strings.Contains(p.body, job.ID) {
			t.Errorf("GET %s shows another tenant's job", path)
		}
	}
	if p := admin.get("/?tenant=red"); !strings.Contains(p.body, job.ID) {
		t.Error("an admin doesn't see the job")
	}
	if p := admin.get("/?tenant=blue"); strings.Contains(p.body, job.ID) {
		t.Error("the filter by tenant shows all")
	}
}

func TestRoles(t *testing.T) {
	l := newLab(t)
	job := l.submit("default", steps("job", "a"))
	check(t, beat(l, "box-1"))
	viewer, operator := l.login(l.token("vic", glovebox.RoleViewer, "default")), l.login(l.token("opal", glovebox.RoleOperator, "default"))
	admin := l.login(l.token("root", glovebox.RoleAdmin, ""))
	type try struct {
		who    *browser
		name   string
		path   string
		form   url.Values
		status int
	}
	drain := url.Values{"name": {"box-1"}, "drain": {"1"}}
	for _, c := range []try{
		{viewer, "viewer", "/jobs", url.Values{"job": {"steps: []"}}, 403},
		{viewer, "viewer", "/jobs/" + job.ID + "/cancel", nil, 403},
		{viewer, "viewer", "/executors/drain", drain, 403},
		{operator, "operator", "/executors/drain", drain, 403},
		{operator, "operator", "/jobs", url.Values{"job": {"steps: []"}}, 422},
		{operator, "operator", "/jobs/" + job.ID + "/cancel", nil, 303},
		{operator, "operator", "/jobs/" + job.ID + "/retry", nil, 303},
		{operator, "operator", "/jobs/" + job.ID + "/retry", nil, 409},
		{admin, "admin", "/executors/drain", drain, 303},
		{admin, "admin", "/executors/drain", url.Values{"name": {"nobody"}, "drain": {"1"}}, 404},
	} {
		form := url.Values{"csrf": {c.who.csrf()}}
		for k, v := range c.form {
			form[k] = v
		}
		if p := c.who.post(c.path, form); p.StatusCode != c.status {
			t.Errorf("%s POST %s: status %d, want %d", c.name, c.path, p.StatusCode, c.status)
		}
	}
	if p := viewer.get("/jobs/new"); p.StatusCode != http.StatusForbidden {
		t.Errorf("viewer GET /jobs/new: status %d, want 403", p.StatusCode)
	}
	executor, err := l.executors.List(t.Context())
	check(t, err)
	if len(executor) != 1 || !executor[0].DrainAsked {
		t.Errorf("executors are %+v, want one asked to drain", executor)
	}
}

// beat makes an executor known.
func beat(l *lab, name string) error {
	_, err := l.executors.Beat(l.t.Context(), glovebox.Beat{Executor: name, Version: "1.2.3", Slots: 4, Runtimes: []string{"gvisor", "docker"}, Labels: map[string]string{"zone": "a", "arch": "amd64"}}, 1)
	return err
}

func TestForgedForms(t *testing.T) {
	l := newLab(t)
	job := l.submit("default", steps("job", "a"))
	b, other := l.login(l.token("opal", glovebox.RoleOperator, "default")), l.login(l.token("mal", glovebox.RoleOperator, "default"))
	for name, form := range map[string]url.Values{"none": nil, "wrong": {"csrf": {"x"}}, "of another session": {"csrf": {other.csrf()}}} {
		if p := b.post("/jobs/"+job.ID+"/cancel", form); p.StatusCode != http.StatusForbidden {
			t.Errorf("form token %s: status %d, want 403", name, p.StatusCode)
		}
	}
	for header, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", b.base+"/jobs/"+job.ID+"/cancel", strings.NewReader(url.Values{"csrf": {b.csrf()}}.Encode()))
		check(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set(header, value)
		if p := b.do(req); p.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s: status %d, want 403", header, value, p.StatusCode)
		}
	}
	if job, err := l.queue.Get(t.Context(), job.ID); err != nil || job.State != glovebox.StateQueued {
		t.Errorf("job is %s, %v: a forged form changed it", job.State, err)
	}
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	l := newLab(t)
	job := l.submit("default", steps("job", "a"))
	b := l.login(l.token("ada", glovebox.RoleAdmin, ""))
	for _, path := range []string{"/", "/login", "/jobs/" + job.ID, "/jobs/new", "/executors", "/nowhere", "/jobs/none", "/jobs/" + job.ID + "/log"} {
		h := b.get(path).Header
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %q", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q is lax", path, csp)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, h.Get(name), want)
			}
		}
	}
}

func TestPagesHoldNoInlineCode(t *testing.T) {
	l := newLab(t)
	job := l.submit("default", steps("job", "a"))
	b := l.login(l.token("ada", glovebox.RoleAdmin, ""))
	for _, path := range []string{"/", "/jobs/" + job.ID, "/jobs/new", "/executors"} {
		body := b.get(path).body
		for _, bad := range []string{" style=", "<style", " onclick", "javascript:"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
	}
}
