package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

func TestBodiesOverTheLimit(t *testing.T) {
	f := newFixture(t)
	_, executor, lease := f.held()
	secrets := map[access]string{
		operator: f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleOperator}), machine: f.secret(glovebox.Token{Kind: glovebox.TokenExecutor}),
		admin: f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleAdmin}), attempt: lease.Token,
	}
	for _, r := range routes {
		if r.body <= 0 || r.path == api.PathJobRetry || r.path == api.PathBatchRunCancel || r.path == api.PathBatchRunApply || strings.HasSuffix(r.path, "drain") {
			continue // no body is read
		}
		path := strings.NewReplacer("{id}", lease.JobID, "{attempt}", "1", "{name}", "code").Replace(r.path)
		// Without a length, so that the server has to count.
		body := io.MultiReader(strings.NewReader(`{"x":"`), io.LimitReader(endless{}, r.body))
		status, text := f.raw(r.method, path, secrets[r.access], body)
		if status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s %s: %d %.200s", r.method, path, status, text)
		}
	}
	if err := executor.PutArtifact(t.Context(), lease.LeaseRef, "diff", 2<<20, io.LimitReader(endless{}, 2<<20)); !errors.Is(err, glovebox.ErrTooLarge) {
		t.Errorf("artifact over its limit: %v", err)
	}
	for i := range 3 { // 1 MiB each, 2 MiB together
		err := executor.PutArtifact(t.Context(), lease.LeaseRef, fmt.Sprintf("outputs/%d", i), 1<<20-100, io.LimitReader(endless{}, 1<<20-100))
		if tooLarge := errors.Is(err, glovebox.ErrTooLarge); tooLarge != (i == 2) {
			t.Errorf("artifact %d: %v", i, err)
		}
	}
	if status, _ := f.raw("PUT", "/api/v1/attempts/"+lease.JobID+"/1/artifacts/diff", lease.Token, io.MultiReader(strings.NewReader("x"))); status != http.StatusLengthRequired {
		t.Errorf("artifact without its length: %d", status)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

func TestStrictJSON(t *testing.T) {
	f := newFixture(t)
	secret := f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleOperator})
	for body, want := range map[string]string{
		`{"steps":[{"run":"true","imgae":"host"}]}`:                           "steps[0].imgae",
		`{"steps":[{"run":"true"}],"id":"x"}`:                                 "id",
		`{"steps":[{"run":"true"}],"State":"completed"}`:                      "State",
		`{"Steps":[{"run":"true"}]}`:                                          "Steps",
		`{"steps":[{"run":"true","run":"false"}]}`:                            "steps[0].run",
		`{"steps":[{"run":"true"}],"limits":{"memroy":"1G"}}`:                 "limits.memroy",
		`{"steps":[{"run":7}]}`:                                               "run",
		`{"steps":`:                                                           "",
		`{"steps":[{"run":"true"}]} {}`:                                       "",
		strings.Repeat("[", 100_000):                                          "",
		`{"steps":` + strings.Repeat(`[`, 50) + strings.Repeat(`]`, 50) + `}`: "",
		"{\"steps\":[{\"run\":\"\xff\"}]}":                                    "",
		"":                                                                    "",
	} {
		status, text := f.raw("POST", "/api/v1/jobs", secret, strings.NewReader(body))
		if status != 400 {
			t.Errorf("%.60q: %d %.200s", body, status, text)
			continue
		}
		if want == "" {
			continue
		}
		if p := problemsOf(t, text); len(p) != 1 || !strings.HasSuffix(p[0].Path, want) {
			t.Errorf("%.60q: %+v", body, p)
		}
	}
}

func TestJobsThatAreRefused(t *testing.T) {
	f := newFixture(t)
	admin := f.user(glovebox.RoleAdmin, "")
	dir, _ := gitRepo(t)
	if _, err := admin.AddRepo(t.Context(), api.AddRepository{Name: "r", URL: dir}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*glovebox.JobSpec)
		path   string
	}{
		"secrets":        {func(s *glovebox.JobSpec) { s.Steps[0].Secrets = []string{"TOKEN"} }, "steps[0].secrets"},
		"unknown repo":   {func(s *glovebox.JobSpec) { s.Repo = &glovebox.Repo{Name: "nosuch"} }, "repo.name"},
		"unknown rev":    {func(s *glovebox.JobSpec) { s.Repo = &glovebox.Repo{Name: "r", Rev: "nosuch"} }, "repo.rev"},
		"unknown commit": {func(s *glovebox.JobSpec) { s.Repo = &glovebox.Repo{Name: "r", Rev: strings.Repeat("1", 40)} }, "repo.rev"},
		"rev as option":  {func(s *glovebox.JobSpec) { s.Repo = &glovebox.Repo{Name: "r", Rev: "--upload-pack=x"} }, "repo.rev"},
		"repo as option": {func(s *glovebox.JobSpec) { s.Repo = &glovebox.Repo{Name: "-r"} }, "repo.name"},
		"file outside":   {func(s *glovebox.JobSpec) { s.Files = []glovebox.File{{Path: "../x"}} }, "files[0].path"},
		"no steps":       {func(s *glovebox.JobSpec) { s.Steps = nil }, "steps"},
	} {
		spec := trueJob()
		c.change(&spec)
		_, err := admin.SubmitJob(t.Context(), spec)
		v, ok := errors.AsType[*glovebox.ValidationError](err)
		if !ok || !strings.HasPrefix(v.Problems[0].Path, c.path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, in := range []api.AddRepository{
		{Name: "../x", URL: dir}, {Name: "-x", URL: dir}, {Name: "a//b", URL: dir}, {Name: "x.git", URL: dir}, {Name: "ok", URL: "ext::sh -c true"},
		{Name: "ok", URL: "-u"}, {Name: "ok", URL: "relative"}, {Name: "ok", URL: t.TempDir()}, {Name: "a\nb", URL: dir},
	} {
		if _, err := admin.AddRepo(t.Context(), in); err == nil {
			t.Errorf("repository %+v was added", in)
		}
	}
}

func TestArtifactNamesAndSums(t *testing.T) {
	f := newFixture(t)
	_, executor, lease := f.held()
	base := "/api/v1/attempts/" + lease.JobID + "/1/artifacts/"
	for _, name := range []string{"evil", "outputs/", "outputs", "outputs/../diff", "outputs/%2e%2e/x", "outputs/..%2f..%2fx", "%2fetc%2fpasswd",
		"outputs/a%00b", "outputs/a//b", "outputs/%2Fetc", "outputs/.", "outputs/%ff", "diff/x", "outputs/" + strings.Repeat("a", 5000)} {
		if status, text := f.raw("PUT", base+name, lease.Token, strings.NewReader("x")); status < 300 {
			t.Errorf("%.60q: %d %s", name, status, text)
		}
	}
	if list, err := f.blobs.List(t.Context(), "jobs"); err != nil || len(list) != 0 {
		t.Errorf("something was stored: %v, %v", list, err)
	}
	if err := executor.PutArtifact(t.Context(), lease.LeaseRef, "diff", 3, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	for name, result := range map[string]glovebox.Result{
		"other sum":      {State: glovebox.StateCompleted, Diff: &glovebox.Diff{Size: 3, SHA256: sumOf("abd")}},
		"other size":     {State: glovebox.StateCompleted, Diff: &glovebox.Diff{Size: 4, SHA256: sumOf("abc")}},
		"missing output": {State: glovebox.StateCompleted, Outputs: []glovebox.Output{{Name: "x", Size: 3, SHA256: sumOf("abc")}}},
		"bad name":       {State: glovebox.StateCompleted, Outputs: []glovebox.Output{{Name: "../../diff", Size: 3, SHA256: sumOf("abc")}}},
		"not a state":    {State: "sleeping"},
	} {
		err := executor.Complete(t.Context(), lease.LeaseRef, result)
		if refusal, ok := errors.AsType[*api.Error](err); !ok || refusal.Status < 400 || refusal.Status >= 500 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := executor.Complete(t.Context(), lease.LeaseRef, glovebox.Result{State: glovebox.StateCompleted, Diff: &glovebox.Diff{Size: 3, SHA256: sumOf("abc")}}); err != nil {
		t.Error(err)
	}
}

// What a step writes can't play with the terminal or the browser of who reads the log.
func TestLogIsSafeToLookAt(t *testing.T) {
	f := newFixture(t)
	_, executor, lease := f.held()
	evil := "a\x1b]52;c;ZXZpbA==\x07b\x1b[2Jc<script>\u009b31m"
	if _, err := executor.AppendLog(t.Context(), lease.LeaseRef, 0, logLine(t, evil)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"not json\n", "{}\n", `{"stream":"stdout","text":"no newline"}`} {
		_, err := executor.AppendLog(t.Context(), lease.LeaseRef, int64(len(logLine(t, evil))), []byte(bad))
		if refusal, ok := errors.AsType[*api.Error](err); !ok || refusal.Status != 400 {
			t.Errorf("%q: %v", bad, err)
		}
	}
	req, _ := http.NewRequest("GET", f.url+"/api/v1/jobs/"+lease.JobID+"/log", nil)
	req.Header.Set("Authorization", "Bearer "+f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleViewer}))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if strings.ContainsAny(string(body), "\x1b\x07\u009b") || !strings.Contains(string(body), "abc<script>") {
		t.Errorf("text is %q", body)
	}
	h := resp.Header
	if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("headers: %v", h)
	}
}

func FuzzDecodeStrict(f *testing.F) {
	f.Add([]byte(`{"steps":[{"run":"true","env":{"A":"b"}}],"limits":{"memory":"2G"}}`))
	f.Add([]byte(`{"steps":[{"run":"true","x":[{}]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var strict, loose glovebox.JobSpec
		if decodeStrict(raw, &strict) == nil && json.Unmarshal(raw, &loose) != nil {
			t.Errorf("accepted what encoding/json refuses: %q", raw)
		}
	})
}
