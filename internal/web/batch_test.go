package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// has fails the test unless a page holds all of texts.
func (p page) has(t *testing.T, texts ...string) {
	t.Helper()
	if p.StatusCode != http.StatusOK {
		t.Errorf("status %d, want 200", p.StatusCode)
	}
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
}

func TestBatchPagesShowWhatThereIs(t *testing.T) {
	l := newLab(t)
	s := l.batch("default", "use-any", 40)
	l.batch("default", "other", 2)
	b := l.login(l.token("ada", glovebox.RoleOperator, "default"))
	list := b.get("/batch-changes")
	list.has(t, ">use-any</a>", ">other</a>", "40 of 40", `class="b-merged"`, `href="/batch-changes/use-any/runs/`+s.run.ID+`"`, `data-nav="/batch-changes"`)
	if p := b.get("/batch-changes?q=ANY"); !strings.Contains(p.body, ">use-any</a>") || strings.Contains(p.body, ">other</a>") {
		t.Error("the search finds the wrong ones")
	}
	if p := b.get("/batch-changes?state=closed"); !strings.Contains(p.body, "No batch change matches") {
		t.Error("the filter by state shows open ones")
	}
	b.get(s.path()).has(t, "Owners review their own repository", `href="https://code.example/github.com/acme/docs-site-0/pull/103" rel="noopener noreferrer"`,
		"changes requested", "commits of others are there", "Publish as draft", "run failed", s.run.ID)
	if p := b.get(s.path() + "?state=merged"); strings.Count(p.body, `name="id"`) != strings.Count(p.body, `<td class="c-state"><span class="state merged">`) || !strings.Contains(p.body, `name="id"`) {
		t.Error("the filter by state shows other changesets")
	}
	b.get(s.runPath()).has(t, "archived, left out", `<i class="t-a">changesetTemplate</i>`, "step 1: exit code 2", "services/worker", "no changes", "cached",
		s.runPath("workspaces", s.rich.ID), `href="/jobs/`+s.rich.JobID+`"`)
	b.get(s.runPath()+"?q=billing").has(t, "billing-0")
	if p := b.get(s.runPath() + "?q=billing&state=failed"); strings.Contains(p.body, "checkout-0") {
		t.Error("the filter of workspaces shows others")
	}
	b.get(s.runPath("workspaces", s.rich.ID)).has(t, `<i class="t-k">func</i> <i class="t-f">decode</i>`, "binary", "old/name.txt → new/name.txt", "not cached: script changed", `title="taken from the step cache`,
		"&#34;nested&#34;: {", `data-job="`+s.rich.JobID+`"`, `href="/jobs/`+s.rich.JobID+`/diff"`)
	b.get(s.runPath("workspaces", s.rich.ID)+"?part=summary").has(t, `id="job-head"`, `id="job-results"`)
	b.get(s.runPath("workspaces", s.workspaces[10].ID)).has(t, "No step of the spec is for this workspace")
	b.get(s.runPath("workspaces", s.workspaces[3].ID)).has(t, "no longer stored")
	if p := b.get(s.runPath("spec")); p.body != s.run.Spec || !strings.Contains(p.Header.Get("Content-Disposition"), "use-any.batch.yaml") {
		t.Errorf("the spec comes as %q", p.Header.Get("Content-Disposition"))
	}
}

func TestBatchPagesAreAbsentWithoutBatches(t *testing.T) {
	l := newLab(t, func(d *deps) { d.Batches = nil })
	b := l.login(l.token("ada", glovebox.RoleOperator, "default"))
	if p := b.get("/batch-changes"); p.StatusCode != http.StatusNotFound {
		t.Errorf("status %d, want 404", p.StatusCode)
	}
	if strings.Contains(b.get("/").body, "Batch changes") {
		t.Error("the navigation leads to pages that are not there")
	}
}

// batchPaths are the addresses of a batch change: those that are read, and forms.
func batchPaths(s batchSample) (get, post []string) {
	get = []string{s.path(), s.path("events"), s.runPath(), s.runPath("spec"), s.runPath("preview"), s.runPath("workspaces", s.rich.ID),
		"/batch-changes/NEW?name=" + s.change.Name + "&run=" + s.run.ID}
	return get, []string{s.path("changesets"), s.path("close"), s.runPath("cancel"), s.runPath("retry"), s.runPath("apply")}
}

func TestBatchTenantsAreApart(t *testing.T) {
	l := newLab(t)
	red, blue := l.batch("red", "secret", 3), l.batch("blue", "plain", 3)
	bob := l.login(l.token("bob", glovebox.RoleOperator, "blue"))
	get, post := batchPaths(red)
	// A run, a workspace of another batch change of the visitor's own does not open a door.
	get = append(get, blue.path("runs", red.run.ID), blue.path("runs", red.run.ID, "preview"), blue.runPath("workspaces", red.rich.ID), red.path()+"?tenant=red",
		"/batch-changes/NEW?name=plain&run="+red.run.ID, "/jobs/"+red.rich.JobID+"/diff/files/0")
	post = append(post, blue.path("runs", red.run.ID, "cancel"), blue.path("runs", red.run.ID, "apply"), blue.path("runs", red.run.ID, "retry"), red.runPath("apply")+"?tenant=red")
	for _, path := range get {
		if p := bob.get(path); p.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s of another tenant: status %d, want 404", path, p.StatusCode)
		}
	}
	for _, path := range post {
		if p := bob.post(path, url.Values{"csrf": {bob.csrf()}, "do": {"failed"}, "id": {red.workspaces[0].ID}}); p.StatusCode != http.StatusNotFound {
			t.Errorf("POST %s of another tenant: status %d, want 404", path, p.StatusCode)
		}
	}
	reds, err := l.changes.ChangesetsOf(t.Context(), red.change.ID)
	check(t, err)
	if p := bob.post(blue.path("changesets"), url.Values{"csrf": {bob.csrf()}, "do": {"publish"}, "id": {reds[0].ID}}); p.StatusCode != http.StatusNotFound {
		t.Errorf("publish another tenant's changeset: status %d, want 404", p.StatusCode)
	}
	for _, path := range []string{"/batch-changes", "/batch-changes?tenant=red", "/batch-changes?q=secret"} {
		if p := bob.get(path); strings.Contains(p.body, red.run.ID) || strings.Contains(p.body, ">secret<") {
			t.Errorf("GET %s shows another tenant's batch change", path)
		}
	}
	admin := l.login(l.token("root", glovebox.RoleAdmin, ""))
	admin.get("/batch-changes").has(t, `href="/batch-changes/secret?tenant=red"`)
	admin.get(red.path()+"?tenant=red").has(t, `runs/`+red.run.ID+`?tenant=red"`, `action="/batch-changes/secret/close?tenant=red"`)
	admin.get(red.runPath()+"?tenant=red").has(t, `workspaces/`+red.rich.ID+`?tenant=red"`)
}

func TestBatchRoles(t *testing.T) {
	l := newLab(t)
	s := l.batch("default", "use-any", 14)
	viewer, operator, stranger := l.login(l.token("vic", glovebox.RoleViewer, "default")), l.login(l.token("opal", glovebox.RoleOperator, "default")), l.browser()
	get, post := batchPaths(s)
	for _, path := range append(get, "/batch-changes", "/events/batch-changes") {
		if p := stranger.get(path); p.StatusCode != http.StatusSeeOther {
			t.Errorf("a stranger's GET %s: status %d, want 303", path, p.StatusCode)
		}
	}
	for _, path := range append(post, "/batch-changes") {
		if p := stranger.post(path, nil); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("a stranger's POST %s: status %d, want 401", path, p.StatusCode)
		}
		if p := viewer.post(path, url.Values{"csrf": {viewer.csrf()}}); p.StatusCode != http.StatusForbidden {
			t.Errorf("a viewer's POST %s: status %d, want 403", path, p.StatusCode)
		}
		if p := operator.post(path, nil); p.StatusCode != http.StatusForbidden {
			t.Errorf("POST %s without a form token: status %d, want 403", path, p.StatusCode)
		}
	}
	for _, path := range []string{s.path(), s.runPath(), s.runPath("preview"), s.runPath("workspaces", s.rich.ID)} {
		if body := viewer.get(path).body; strings.Count(body, `method="post"`) != 1 {
			t.Errorf("%s offers a viewer forms besides the one to log out", path)
		}
	}
}

var seenField = regexp.MustCompile(`name="seen" value="([^"]+)"`)

func TestApplyHoldsToWhatWasSeen(t *testing.T) {
	l := newLab(t)
	s := l.batch("default", "use-any", 14)
	_, err := l.repos.Add(t.Context(), glovebox.Repository{Name: "github.com/acme/api-0", URL: "https://code.example/api.git", CreatedAt: time.Now()})
	check(t, err)
	b := l.login(l.token("opal", glovebox.RoleOperator, "default"))
	preview := b.get(s.runPath("preview"))
	preview.has(t, "blocked", "Applying is blocked", `class="blocked"`)
	if seenField.MatchString(preview.body) {
		t.Error("a blocked preview can be applied")
	}
	for _, w := range s.workspaces[1:] {
		_, err := l.repos.Add(t.Context(), glovebox.Repository{Name: w.Repo, URL: "https://code.example/x.git", CreatedAt: time.Now()})
		check(t, err)
	}
	preview = b.get(s.runPath("preview"))
	preview.has(t, `id="apply"`)
	seen := seenField.FindStringSubmatch(preview.body)[1]

	// Somebody else decides about a changeset meanwhile.
	list, err := l.changes.ChangesetsOf(t.Context(), s.change.ID)
	check(t, err)
	_, err = l.batches.UpdateChangeset(t.Context(), list[0].ID, func(c *changeset.Changeset) error {
		c.State = glovebox.ChangesetMerged
		return nil
	})
	check(t, err)
	stale := b.post(s.runPath("apply"), url.Values{"csrf": {b.csrf()}, "seen": {seen}})
	if stale.StatusCode != http.StatusConflict || !strings.Contains(stale.body, "no longer held") || !strings.Contains(stale.body, `<span class="tag warn">changed</span>`) {
		t.Errorf("apply what no longer holds: status %d", stale.StatusCode)
	}
	if strings.Count(stale.body, `<span class="tag warn">changed</span>`) != 2 { // once in the words above the table
		t.Errorf("%d rows are marked", strings.Count(stale.body, `<span class="tag warn">changed</span>`)-1)
	}
	seen = seenField.FindStringSubmatch(stale.body)[1]
	if p := b.post(s.runPath("apply"), url.Values{"csrf": {b.csrf()}, "seen": {seen}}); p.StatusCode != http.StatusSeeOther || p.Header.Get("Location") != s.path() {
		t.Errorf("apply: status %d to %q\n%s", p.StatusCode, p.Header.Get("Location"), p.body)
	}
	if p := b.post(s.runPath("apply"), url.Values{"csrf": {b.csrf()}}); p.StatusCode != http.StatusBadRequest {
		t.Errorf("apply without having seen anything: status %d, want 400", p.StatusCode)
	}
}

func TestBatchActions(t *testing.T) {
	l := newLab(t)
	s := l.batch("default", "use-any", 28)
	b := l.login(l.token("opal", glovebox.RoleOperator, "default"))
	csrf := b.csrf()
	post := func(want int, path string, form url.Values) {
		t.Helper()
		form.Set("csrf", csrf)
		if p := b.post(path, form); p.StatusCode != want {
			t.Errorf("POST %s %v: status %d, want %d\n%s", path, form, p.StatusCode, want, p.body)
		}
	}
	list, err := l.changes.ChangesetsOf(t.Context(), s.change.ID)
	check(t, err)
	of := func(state glovebox.ChangesetState) glovebox.Changeset {
		return list[slices.IndexFunc(list, func(c glovebox.Changeset) bool { return c.State == state })]
	}
	now := func(id string) glovebox.Changeset {
		c, err := l.batches.Changeset(t.Context(), id)
		check(t, err)
		return c.Changeset
	}
	unpublished, failed, merged := of(glovebox.ChangesetUnpublished), of(glovebox.ChangesetFailed), of(glovebox.ChangesetMerged)
	post(400, s.path("changesets"), url.Values{"do": {"publish"}})
	post(303, s.path("changesets"), url.Values{"do": {"draft"}, "id": {unpublished.ID}})
	if c := now(unpublished.ID); c.Publish != glovebox.PublishedDraft {
		t.Errorf("published as draft, it is %+v", c)
	}
	post(409, s.path("changesets"), url.Values{"do": {"retry"}, "id": {merged.ID}})
	post(303, s.path("changesets"), url.Values{"do": {"retry"}, "id": {failed.ID}})
	if c := now(failed.ID); c.Error != "" || c.Publish != glovebox.PublishedDraft {
		t.Errorf("retried, it is %+v", c)
	}
	post(404, s.runPath("retry"), url.Values{"id": {"none"}})
	post(303, s.runPath("retry"), url.Values{"id": {s.workspaces[5].ID}})
	if w, err := l.changes.Workspace(t.Context(), s.workspaces[5].ID); err != nil || w.State != glovebox.StateQueued {
		t.Errorf("retried, the workspace is %s, %v", w.State, err)
	}
	post(409, s.runPath("retry"), url.Values{"do": {"failed"}})
	post(303, s.runPath("cancel"), url.Values{})
	if run, err := l.changes.RunOf(t.Context(), s.run.ID); err != nil || !run.CancelRequested {
		t.Errorf("canceled, the run is %+v, %v", run, err)
	}
	post(303, s.path("close"), url.Values{"requests": {"keep"}})
	if change, err := l.changes.BatchChange(t.Context(), s.change.ID); err != nil || change.State != glovebox.BatchChangeClosed {
		t.Errorf("closed, it is %s, %v", change.State, err)
	}
	open := of(glovebox.ChangesetOpen)
	if now(open.ID).Closing {
		t.Error("a request that was to be kept is to be closed")
	}
	post(303, s.path("close"), url.Values{"requests": {"close"}})
	if !now(open.ID).Closing {
		t.Error("a request that was to be closed is kept")
	}
}

func TestSpecFormSaysWhereTheFaultIs(t *testing.T) {
	l := newLab(t)
	b := l.login(l.token("opal", glovebox.RoleOperator, "default"))
	example := regexp.MustCompile(`(?s)<textarea[^>]*>\n(.*)</textarea>`).FindStringSubmatch(b.get("/batch-changes/NEW").body)[1]
	unescape := strings.NewReplacer("&#34;", `"`, "&gt;", ">", "&#43;", "+")
	p := b.post("/batch-changes", url.Values{"csrf": {b.csrf()}, "spec": {"name: x\r\nsteps:\r\n  - rum: <b>make\r\n"}})
	if p.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(p.body, `data-line="3" data-column="5"`) || !strings.Contains(p.body, `<tr class="fault"><td class="no" data-n="3">`) || !strings.Contains(p.body, "&lt;b&gt;make") {
		t.Errorf("status %d: %s", p.StatusCode, p.body)
	}
	p = b.post("/batch-changes", url.Values{"csrf": {b.csrf()}, "spec": {strings.ReplaceAll(unescape.Replace(example), "\n", "\r\n")}, "refresh": {"1"}, "fail_fast": {"1"}})
	if p.StatusCode != http.StatusSeeOther {
		t.Fatalf("submit the example: status %d\n%s", p.StatusCode, p.body)
	}
	id := p.Header.Get("Location")[strings.LastIndex(p.Header.Get("Location"), "/")+1:]
	run, err := l.changes.BatchRun(t.Context(), id)
	check(t, err)
	if strings.Contains(run.Spec, "\r") || run.StepCache != glovebox.StepCacheRefresh || !run.FailFast || run.CreatedBy != "opal" {
		t.Errorf("the run is %+v", run)
	}
	b.get("/batch-changes/NEW?name="+run.Name+"&run="+id).has(t, "Run hello-world again", "name: hello-world")
}

func TestMoreLinesOfADiff(t *testing.T) {
	l := newLab(t)
	job := l.submit("default", steps("huge", "a"))
	a := l.attempt(l.claim())
	lines := 5000
	a.put(glovebox.DiffArtifact, "diff --git a/first b/first\nnew file mode 100644\n--- /dev/null\n+++ b/first\n@@ -0,0 +1 @@\n+one\n"+hugeDiff("big.go", lines)+
		"diff --git a/last b/last\nnew file mode 100644\n--- /dev/null\n+++ b/last\n@@ -0,0 +1 @@\n+the end\n")
	result := sampleResult()
	a.complete(result)
	b := l.login(l.token("ada", glovebox.RoleViewer, "default"))
	p := b.get("/jobs/" + job.ID)
	p.has(t, "the end", `+5000</span>`, `/diff/files/1?from=1500"`, "3,500 left")
	if strings.Contains(p.body, "value1500 ") || !strings.Contains(p.body, "value1499") {
		t.Error("other lines are shown than the first 1500")
	}
	p = b.get("/jobs/" + job.ID + "/diff/files/1?from=1500")
	p.has(t, "value1500", `data-n="1501"`, "value3499", `from=3500"`)
	if strings.Contains(p.body, "value3500") {
		t.Error("more than asked for")
	}
	if p = b.get("/jobs/" + job.ID + "/diff/files/1?from=3500"); strings.Contains(p.body, "data-more") || !strings.Contains(p.body, "value4999") {
		t.Error("the last lines lead to more")
	}
	for _, path := range []string{"3", "-1", "x", "99999999999999999999"} {
		if p := b.get("/jobs/" + job.ID + "/diff/files/" + path); p.StatusCode != http.StatusNotFound {
			t.Errorf("file %s: status %d, want 404", path, p.StatusCode)
		}
	}
}
