package server

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

const batchSpec = `version: 2
name: hello
on: [{repositoriesMatching: "local/*"}]
steps: [{run: "echo hello > hello.txt", image: host, env: [TOKEN]}]
changesetTemplate:
  title: Say hello
  branch: batch/hello
  commit: {message: Say hello}
`

// files makes a repository with a file, and the diff that adds another.
func repoAndDiff(t *testing.T) (dir, diff string) {
	t.Helper()
	dir, _ = gitRepo(t)
	if err := os.WriteFile(filepath.Join(dir, "hello.txt"), []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	gitIn(t, dir, "add", "-N", "hello.txt")
	diff = gitIn(t, dir, "diff", "--binary") + "\n"
	gitIn(t, dir, "reset", "-q")
	return dir, diff
}

// batchRun has a run of three repositories whose workspaces all came to a diff.
func (f *fixture) batchRun(user *api.Client) glovebox.BatchRun {
	f.Helper()
	admin, executor := f.user(glovebox.RoleAdmin, ""), f.executor()
	diffs := map[string]string{}
	for _, name := range []string{"local/a", "local/b", "local/c"} {
		dir, diff := repoAndDiff(f.T)
		diffs[name] = diff
		if _, err := admin.AddRepo(f.Context(), api.AddRepository{Name: name, URL: dir}); err != nil {
			f.Fatal(err)
		}
	}
	run, err := user.CreateBatchRun(f.Context(), glovebox.BatchRunInput{Spec: batchSpec, Env: map[string]string{"TOKEN": "hidden"}})
	if err != nil {
		f.Fatal(err)
	}
	for range 3 {
		lease := f.claim(executor)
		diff := diffs[lease.Job.Repo.Name]
		if err := executor.PutArtifact(f.Context(), lease.LeaseRef, "diff", int64(len(diff)), strings.NewReader(diff)); err != nil {
			f.Fatal(err)
		}
		result := glovebox.Result{State: glovebox.StateCompleted, Commit: lease.Job.Repo.Commit, Steps: []glovebox.StepResult{{Key: "step-1", State: glovebox.StateCompleted}},
			Values: map[string]any{"n": 1.0}, Diff: &glovebox.Diff{Files: 1, Insertions: 1, Size: int64(len(diff)), SHA256: sumOf(diff)}}
		if err := executor.Complete(f.Context(), lease.LeaseRef, result); err != nil {
			f.Fatal(err)
		}
	}
	return f.runEnded(user, run.ID)
}

func (f *fixture) runEnded(user *api.Client, id string) glovebox.BatchRun {
	f.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 4000 {
		run, err := user.BatchRun(f.Context(), id)
		if err != nil {
			f.Fatal(err)
		}
		if run.State.Final() {
			return run
		}
		<-tick.C
	}
	f.Fatal("the run does not end")
	return glovebox.BatchRun{}
}

func TestBatchChangeByTheAPI(t *testing.T) {
	f := newFixture(t)
	user := f.user(glovebox.RoleOperator, "")
	run := f.batchRun(user)
	if run.State != glovebox.BatchRunCompleted || run.Changesets != 3 || run.Spec != batchSpec || run.Env != nil {
		t.Fatalf("run %+v", run)
	}
	page, err := user.BatchWorkspaces(t.Context(), run.ID, "", 0)
	if err != nil || len(page.Workspaces) != 3 || page.Next != 0 {
		t.Fatalf("workspaces %+v, %v", page, err)
	}
	w, err := user.BatchWorkspace(t.Context(), page.Workspaces[0].ID)
	if err != nil || w.Values["n"] != 1.0 || w.Branches[0] != "batch/hello" || page.Workspaces[0].Values != nil {
		t.Errorf("workspace %+v, %v", w, err)
	}
	r, err := user.BatchWorkspaceDiff(t.Context(), w.ID)
	if err != nil {
		t.Fatal(err)
	}
	diff, err := io.ReadAll(r)
	r.Close()
	if err != nil || !strings.Contains(string(diff), "+hello") {
		t.Errorf("diff %q, %v", diff, err)
	}
	entries, err := user.PreviewBatchRun(t.Context(), run.ID)
	if err != nil || len(entries) != 3 || entries[0].Actions[0] != glovebox.ActionNothing || len(entries[0].Reasons) == 0 {
		t.Errorf("preview %+v, %v", entries, err)
	}
	change, err := user.ApplyBatchRun(t.Context(), run.ID)
	if err != nil || change.State != glovebox.BatchChangeOpen || change.AppliedRun != run.ID || change.Changesets[glovebox.ChangesetUnpublished] != 3 {
		t.Fatalf("applied %+v, %v", change, err)
	}
	if _, err := user.CancelBatchRun(t.Context(), run.ID); !errors.Is(err, glovebox.ErrConflict) {
		t.Errorf("cancel a run that is over: %v", err)
	}
	if _, err := user.PublishChangesets(t.Context(), change.ID, api.PublishChangesets{Published: "perhaps"}); err == nil {
		t.Error("published perhaps")
	}
	list, err := user.Changesets(t.Context(), change.ID)
	if err != nil || len(list) != 3 {
		t.Fatalf("changesets %+v, %v", list, err)
	}
	if change, err = user.CloseBatchChange(t.Context(), change.ID, api.CloseBatchChange{}); err != nil || change.State != glovebox.BatchChangeClosed || change.Changesets[glovebox.ChangesetClosed] != 3 {
		t.Errorf("closed %+v, %v", change, err)
	}
	all, err := user.BatchChanges(t.Context(), api.BatchChangesQuery{Name: "hello"})
	if err != nil || len(all.BatchChanges) != 1 {
		t.Errorf("batch changes %+v, %v", all, err)
	}
	runs, err := user.BatchRuns(t.Context(), change.ID)
	if err != nil || len(runs) != 1 || runs[0].Spec != "" {
		t.Errorf("runs %+v, %v", runs, err)
	}
	hosts, err := user.CodeHosts(t.Context())
	if raw, _ := json.Marshal(hosts); err != nil || len(hosts) != 1 || hosts[0].Webhook != "/api/v1/webhooks/code" || bytes.Contains(raw, []byte("secret")) {
		t.Errorf("code hosts %+v, %v", hosts, err)
	}
}

func TestBatchChangesOfOtherTenants(t *testing.T) {
	f := newFixture(t)
	mine := f.user(glovebox.RoleOperator, "a")
	run := f.batchRun(mine)
	page, err := mine.BatchWorkspaces(t.Context(), run.ID, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	secret := f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleOperator, Tenant: "b"})
	tried := 0
	for _, r := range routes {
		id := ""
		switch {
		case strings.HasPrefix(r.path, api.PathBatchChange):
			id = run.BatchChange
		case strings.HasPrefix(r.path, api.PathBatchRun):
			id = run.ID
		case strings.HasPrefix(r.path, api.PathBatchWorkspace):
			id = page.Workspaces[0].ID
		default:
			continue
		}
		tried++
		path := strings.Replace(r.path, "{id}", id, 1)
		var body io.Reader
		if r.path == api.PathBatchPublish {
			body = strings.NewReader(`{"published":"true"}`)
		}
		if status, text := f.raw(r.method, path, secret, body); status != 404 {
			t.Errorf("%s %s: %d %s", r.method, path, status, text)
		}
	}
	if tried != 13 {
		t.Errorf("%d routes were tried", tried)
	}
	theirs := f.client(secret)
	if list, err := theirs.BatchChanges(t.Context(), api.BatchChangesQuery{Tenant: "a"}); err != nil || len(list.BatchChanges) != 0 {
		t.Errorf("another tenant's list: %+v, %v", list, err)
	}
	if status, _ := f.raw("POST", api.PathBatchChanges+"?tenant=a", secret, strings.NewReader(`{"spec":"name: x"}`)); status != 403 {
		t.Errorf("a run for another tenant: %d", status)
	}
	// The same name is another batch change there.
	if other, err := theirs.CreateBatchRun(t.Context(), glovebox.BatchRunInput{Spec: "name: hello\n"}); err != nil || other.BatchChange == run.BatchChange {
		t.Errorf("%+v, %v", other, err)
	}
}

func TestBatchSpecIsRefused(t *testing.T) {
	f := newFixture(t)
	secret := f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleOperator})
	for body, want := range map[string]int{
		`{"spec":"name: x\nstepz: []\n"}`:                                  422,
		`{"spec":""}`:                                                      422,
		`{"spec":"name: x\n","files":[{"path":"../x"}]}`:                   422,
		`{"spec":"name: x\n","env":{"A-B":"x"}}`:                           422,
		`{"spec":"name: x\n","step_cache":"no"}`:                           422,
		`{"spec":"name: x\n","unknown":1}`:                                 400,
		`{"spec":"name: x\n","spec":"name: y\n"}`:                          400,
		fmt.Sprintf(`{"spec":"name: x\n#%s"}`, strings.Repeat("x", 1<<20)): 422,
	} {
		if status, text := f.raw("POST", api.PathBatchChanges, secret, strings.NewReader(body)); status != want || len(problemsOf(t, text)) == 0 {
			t.Errorf("%.100s: %d %.300s", body, status, text)
		}
	}
}

func TestWebhook(t *testing.T) {
	f := newFixture(t)
	post := func(name, body, secret string) int {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/api/v1/webhooks/"+name, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Gitea-Event", "pull_request")
		req.Header.Set("X-Gitea-Signature", hex.EncodeToString(mac.Sum(nil)))
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	const event = `{"repository":{"full_name":"acme/a"},"pull_request":{"number":1,"head":{"ref":"x"}}}`
	for _, c := range []struct {
		name, body, secret string
		want               int
	}{{"code", event, "hook", 204}, {"code", event, "wrong", 401}, {"other", event, "hook", 404}, {"code", "{", "hook", 400}, {"code", `{"a":1}`, "hook", 204}} {
		if got := post(c.name, c.body, c.secret); got != c.want {
			t.Errorf("%s %q with %q: %d, want %d", c.name, c.body, c.secret, got, c.want)
		}
	}
}

func TestStepCache(t *testing.T) {
	f := newFixture(t)
	mine, theirs := f.user(glovebox.RoleOperator, ""), f.user(glovebox.RoleOperator, "b")
	key := strings.Repeat("ab", 32)
	get := func(r io.ReadCloser, err error) string {
		t.Helper()
		if errors.Is(err, glovebox.ErrNotFound) {
			return "none"
		}
		if err != nil {
			return err.Error()
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			return err.Error()
		}
		return string(b)
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %.100q, want %q", what, got, want)
		}
	}
	put := func(c *api.Client, key, text string, refresh bool) {
		t.Helper()
		if err := c.PutStepCache(t.Context(), key, int64(len(text)), strings.NewReader(text), refresh); err != nil {
			t.Fatal(err)
		}
	}
	want("nothing", get(mine.StepCache(t.Context(), key, false)), "none")
	put(mine, key, "meta\nbytes", false)
	put(mine, key, "other\nbytes", false)
	want("an entry stays", get(mine.StepCache(t.Context(), key, false)), "meta\nbytes")
	want("its meta part", get(mine.StepCache(t.Context(), key, true)), "meta\n")
	want("another tenant's", get(theirs.StepCache(t.Context(), key, false)), "none")
	put(mine, key, "new", true)
	want("refreshed", get(mine.StepCache(t.Context(), key, false)), "new")
	want("without a meta part", get(mine.StepCache(t.Context(), key, true)), "none")
	for _, bad := range []string{"ab", strings.Repeat("AB", 32), strings.Repeat("zz", 32), ".." + strings.Repeat("ab", 31)} {
		if err := mine.PutStepCache(t.Context(), bad, 1, strings.NewReader("x"), false); err == nil {
			t.Errorf("key %q was accepted", bad)
		}
	}
	// A job's token opens its tenant's, through its own attempt, while that lasts.
	_, executor, lease := f.held()
	want("by an attempt", get(executor.AttemptStepCache(t.Context(), lease.LeaseRef, key, false)), "new")
	second := strings.Repeat("cd", 32)
	if err := executor.PutAttemptStepCache(t.Context(), lease.LeaseRef, second, 3, strings.NewReader("two"), false); err != nil {
		t.Fatal(err)
	}
	want("from an attempt", get(mine.StepCache(t.Context(), second, false)), "two")
	if err := executor.Complete(t.Context(), lease.LeaseRef, glovebox.Result{State: glovebox.StateFailed}); err != nil {
		t.Fatal(err)
	}
	if err := executor.PutAttemptStepCache(t.Context(), lease.LeaseRef, key, 1, strings.NewReader("x"), true); !errors.Is(err, glovebox.ErrLeaseLost) {
		t.Errorf("after the attempt's end: %v", err)
	}
	// The bound (1 MiB here) lets go of the oldest; an entry has a bound of its own.
	large := strings.Repeat("x", 600<<10)
	for i := range 3 {
		put(mine, fmt.Sprintf("%064x", i), large, false)
	}
	want("the oldest", get(mine.StepCache(t.Context(), key, false)), "none")
	want("the newest", get(mine.StepCache(t.Context(), fmt.Sprintf("%064x", 2), false)), large)
	if err := mine.PutStepCache(t.Context(), key, api.MaxStepCacheEntry+1, io.LimitReader(endless{}, api.MaxStepCacheEntry+1), false); !errors.Is(err, glovebox.ErrTooLarge) {
		t.Errorf("over the bound: %v", err)
	}
}
