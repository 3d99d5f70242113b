package changeset_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

// hello is an executor that always adds a file.
func hello(glovebox.Job) outcome { return outcome{diff: adds("hello.txt", "hello")} }

// applied has a run of all repositories that was applied.
func (f *fixture) applied(in glovebox.BatchRunInput) (batchChange string) {
	f.Helper()
	return f.apply(f.ended(f.create("", in).ID).ID).ID
}

// A host that hangs, answers 429 or nonsense holds up nobody else, and its own changesets come once it is well again.
func TestHostInTrouble(t *testing.T) {
	until := time.Now().Add(300 * time.Millisecond)
	for name, trouble := range map[string]func(ctx context.Context) error{
		"429":  func(context.Context) error { return &codehost.RateLimitError{Host: "other", Until: until} },
		"slow": func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
		"nonsense": func(context.Context) error {
			return &codehost.Error{Op: "x", Host: "other", Message: "the answer is \x1b[31m not what its API gives", Ambiguous: true, Err: errLine}
		},
		"500": func(context.Context) error { return &codehost.Error{Op: "x", Host: "other", Status: 500, Err: errLine} },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(o *changeset.Options) {
				o.StepTime, o.MaxTries = 50*time.Millisecond, 1_000_000
				o.Backoff = func(int) time.Duration { return 5 * time.Millisecond }
			})
			f.repo("ill/a", "https://other.test/ill/a", "")
			f.repo("ill/b", "https://other.test/ill/b", "")
			f.repo("well/c", "https://code.test/well/c", "")
			f.repo("plain/d", "https://plain.test/d", "")
			f.other.setTrouble(func(ctx context.Context, _, _ string) error { return trouble(ctx) })
			defer f.execute(hello)()
			change := f.applied(spec("hello", "*/*", "true", "Say hello"))
			f.states(change, map[string]glovebox.ChangesetState{"well/c": glovebox.ChangesetOpen, "plain/d": glovebox.ChangesetOpen})
			f.until("an error in words", func() bool { return f.changesets(change)["ill/a"].Error != "" })
			if text := f.changesets(change)["ill/a"].Error; strings.ContainsAny(text, "\x1b\n") {
				t.Errorf("error %q", text)
			}
			if name == "429" {
				calls := f.other.count("repository")
				if calls > 2 {
					t.Errorf("a host that asked to be left alone was called %d times", calls)
				}
				if hosts := f.b.CodeHosts(); hosts[1].PausedUntil == nil && time.Now().Before(until) {
					t.Errorf("code hosts %+v", hosts)
				}
			}
			f.other.setTrouble(nil)
			f.states(change, map[string]glovebox.ChangesetState{"ill/a": glovebox.ChangesetOpen, "ill/b": glovebox.ChangesetOpen})
			for branch, n := range f.other.opened {
				if n != 1 {
					t.Errorf("%s was opened %d times", branch, n)
				}
			}
		})
	}
}

// What waits for its next try is tried at once when it is applied again.
func TestAppliedAgainIsTriedAtOnce(t *testing.T) {
	f := newFixture(t, func(o *changeset.Options) { o.Backoff = func(int) time.Duration { return time.Hour } })
	f.three()
	f.host.setTrouble(func(context.Context, string, string) error {
		return &codehost.Error{Op: "x", Host: "code", Status: 500, Err: errLine}
	})
	defer f.execute(hello)()
	run := f.ended(f.create("", spec("hello", "acme/*", "true", "Say hello")).ID)
	change := f.apply(run.ID)
	f.until("all wait", func() bool {
		for _, c := range f.changesets(change.ID) {
			if c.Error == "" || c.NextAt == nil || time.Until(*c.NextAt) < time.Minute {
				return false
			}
		}
		return true
	})
	f.host.setTrouble(nil)
	f.apply(run.ID)
	f.states(change.ID, all(glovebox.ChangesetOpen))
}

// The answer to an opening gets lost: it is looked for, not opened again.
func TestLostAnswer(t *testing.T) {
	f := newFixture(t)
	f.three()
	lost := 0
	f.git.trouble = func(codehost.PushOptions) error {
		if lost++; lost <= 2 {
			return errLine
		}
		return nil
	}
	defer f.execute(hello)()
	change := f.applied(spec("hello", "acme/*", "true", "Say hello"))
	f.states(change, all(glovebox.ChangesetOpen))
}

func TestForeignCommits(t *testing.T) {
	f := newFixture(t)
	f.three()
	f.git.branches["https://code.test/acme/a batch/hello"] = "theirs"
	defer f.execute(hello)()
	run := f.ended(f.create("", spec("hello", "acme/*", "true", "Say hello")).ID)
	change := f.apply(run.ID)
	f.states(change.ID, map[string]glovebox.ChangesetState{"acme/a": glovebox.ChangesetFailed, "acme/b": glovebox.ChangesetOpen, "acme/c": glovebox.ChangesetOpen})
	c := f.changesets(change.ID)["acme/a"]
	if !strings.Contains(c.Error, "not ours") || !strings.Contains(c.Error, "then apply again") || c.NextAt != nil {
		t.Errorf("changeset %+v", c)
	}
	if head, _ := f.git.head("https://code.test/acme/a", "batch/hello"); head != "theirs" {
		t.Errorf("their branch is at %s", head)
	}
	// Once they are gone, applying again publishes it.
	f.git.mu.Lock()
	delete(f.git.branches, "https://code.test/acme/a batch/hello")
	f.git.mu.Unlock()
	f.apply(run.ID)
	f.states(change.ID, all(glovebox.ChangesetOpen))
}

// Undecided changesets wait for a user; drafts become ready; "false" takes nothing back.
func TestPublishedInItsForms(t *testing.T) {
	f := newFixture(t)
	f.three()
	defer f.execute(hello)()
	change := f.applied(spec("hello", "acme/*", "", "Say hello"))
	f.states(change, all(glovebox.ChangesetUnpublished))
	one := f.changesets(change)["acme/a"]
	if _, err := f.b.Publish(t.Context(), change, []string{one.ID}, glovebox.PublishedDraft); err != nil {
		t.Fatal(err)
	}
	f.states(change, map[string]glovebox.ChangesetState{"acme/a": glovebox.ChangesetDraft, "acme/b": glovebox.ChangesetUnpublished})
	if _, err := f.b.Publish(t.Context(), change, []string{"nobody's"}, glovebox.PublishedYes); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("publish an unknown one: %v", err)
	}
	if _, err := f.b.Publish(t.Context(), change, nil, glovebox.PublishedYes); err != nil {
		t.Fatal(err)
	}
	f.states(change, all(glovebox.ChangesetOpen))
	// The decision stays when the spec is run again undecided; the spec's own word replaces it.
	f.applied(spec("hello", "acme/*", "", "Say hello twice"))
	f.until("the update", func() bool { r, _ := f.host.request("acme/b", "batch/hello"); return r.Title == "Say hello twice" })
	run := f.ended(f.create("", spec("hello", "acme/*", "false", "Say hello never")).ID)
	if got := f.preview(run.ID); !strings.Contains(got, "acme/a: [keep] (published is false: it stays as it was published)") {
		t.Errorf("preview %s", got)
	}
	f.apply(run.ID)
	f.restart()
	f.states(change, all(glovebox.ChangesetOpen))
	if r, _ := f.host.request("acme/a", "batch/hello"); r.Title != "Say hello twice" {
		t.Errorf("title %q", r.Title)
	}
	if _, err := f.b.Publish(t.Context(), change, []string{one.ID}, glovebox.PublishedYes); !errors.Is(err, glovebox.ErrConflict) {
		t.Errorf("publish against the spec: %v", err)
	}
}

// What failed in a run keeps its changesets, is done again by a retry, and the others' results stay.
func TestFailedWorkspaces(t *testing.T) {
	f := newFixture(t)
	f.three()
	broken := false
	ran := map[string]int{}
	defer f.execute(func(job glovebox.Job) outcome {
		ran[job.Repo.Name]++
		if broken && job.Repo.Name == "acme/b" {
			return outcome{state: glovebox.StateFailed}
		}
		return hello(job)
	})()
	change := f.applied(spec("hello", "acme/*", "true", "Say hello"))
	f.states(change, all(glovebox.ChangesetOpen))
	broken = true
	run := f.ended(f.create("", spec("hello", "acme/*", "true", "Say hello")).ID)
	if run.State != glovebox.BatchRunFailed || run.Workspaces[glovebox.StateFailed] != 1 || run.Changesets != 2 {
		t.Fatalf("run %+v", run)
	}
	want := "acme/a: [nothing]\nacme/c: [nothing]\nacme/b: [keep] (a workspace of its repository is failed in the run)\n"
	if got := f.preview(run.ID); got != want {
		t.Errorf("preview\n%swant\n%s", got, want)
	}
	f.apply(run.ID)
	broken = false
	if _, err := f.b.Retry(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	run = f.ended(run.ID)
	if run.State != glovebox.BatchRunCompleted || run.Changesets != 3 || ran["acme/a"] != 2 || ran["acme/b"] != 3 {
		t.Errorf("after the retry: %+v, ran %v", run, ran)
	}
	if _, err := f.b.Retry(t.Context(), run.ID, nil); !errors.Is(err, glovebox.ErrConflict) {
		t.Errorf("a retry of nothing: %v", err)
	}
	if f.host.count("close") != 0 {
		t.Error("a request was closed")
	}
}

func TestFailFastAndCancel(t *testing.T) {
	f := newFixture(t)
	f.three()
	defer f.execute(func(glovebox.Job) outcome { return outcome{state: glovebox.StateFailed} })()
	in := spec("hello", "acme/*", "true", "Say hello")
	in.FailFast = true
	run := f.ended(f.create("", in).ID)
	if run.State != glovebox.BatchRunFailed || run.Workspaces[glovebox.StateFailed] < 1 {
		t.Errorf("fail-fast run %+v", run)
	}
}

func TestCancel(t *testing.T) {
	f := newFixture(t)
	f.three()
	run := f.create("", spec("hello", "acme/*", "true", "Say hello"))
	f.until("the jobs", func() bool {
		r, err := f.store.Run(t.Context(), run.ID)
		return err == nil && r.Workspaces[glovebox.StateQueued] == 3
	})
	if _, err := f.b.Cancel(t.Context(), run.ID, "user:ada"); err != nil {
		t.Fatal(err)
	}
	run = f.ended(run.ID)
	if run.State != glovebox.BatchRunCanceled || run.Reason != "canceled by ada" || run.Workspaces[glovebox.StateCanceled] != 3 {
		t.Errorf("run %+v", run)
	}
	if _, err := f.b.Apply(t.Context(), run.ID, "user:ada"); !errors.Is(err, glovebox.ErrConflict) {
		t.Errorf("apply a canceled run: %v", err)
	}
	defer f.execute(hello)()
	if _, err := f.b.Retry(t.Context(), run.ID, nil); err != nil {
		t.Fatal(err)
	}
	if run = f.ended(run.ID); run.State != glovebox.BatchRunCompleted || run.Changesets != 3 {
		t.Errorf("after the retry: %+v", run)
	}
}

// Repositories that can't be had are problems of the run; the others go on. Other tenants' are as if they were not.
func TestUnknownRepositories(t *testing.T) {
	f := newFixture(t)
	f.repo("mine", "https://code.test/acme/mine", "a")
	f.repo("theirs", "https://code.test/acme/theirs", "b")
	defer f.execute(hello)()
	in := glovebox.BatchRunInput{Spec: `name: hello
on:
  - repository: mine
  - repository: theirs
  - repository: https://code.test/acme/theirs
  - repository: https://evil.test/x.git
  - {repository: mine, branch: missing}
  - codeHostQuery: {host: code, query: acme}
  - repositoriesFrom: list.txt
  - folder: /etc
steps: [{run: "true", image: host}]
changesetTemplate: {title: t, branch: b, commit: {message: m}}
`, Files: []glovebox.File{{Path: "list.txt", Content: "mine@other\nnot-there\n"}}}
	run := f.ended(f.create("a", in).ID)
	if run.State != glovebox.BatchRunFailed || run.Workspaces[glovebox.StateCompleted] != 2 {
		t.Errorf("run %s %q %v", run.State, run.Reason, run.Workspaces)
	}
	var problems []string
	for _, p := range run.Problems {
		problems = append(problems, p.Path+" "+p.Message)
	}
	text := strings.Join(problems, "\n")
	for _, want := range []string{"theirs not at the git gateway", "https://evil.test/x.git not at", "not-there not at", `no branch "missing"`, "/etc a local folder"} {
		if !strings.Contains(text, want) {
			t.Errorf("no problem %q in\n%s", want, text)
		}
	}
	if notes := strings.Join(run.Notes, "\n"); !strings.Contains(notes, "1 of 2 repositories found are not at the git gateway") || strings.Contains(notes, "theirs") {
		t.Errorf("notes %q", notes)
	}
}

// Requests that others made are looked at and never changed; what people do at the host is seen, on a poll or its word.
func TestImportsAndWebhooks(t *testing.T) {
	f := newFixture(t)
	f.three()
	f.git.branches["https://code.test/acme/a theirs"] = "x"
	request, err := f.host.Open(t.Context(), "acme/a", codehost.Change{Title: "Their \x1b title", Branch: "theirs", Base: "main"})
	if err != nil {
		t.Fatal(err)
	}
	in := glovebox.BatchRunInput{Spec: "name: watch\nimportChangesets: [{repository: acme/a, externalIDs: [" + request.ID + ", 99]}]\n"}
	run := f.ended(f.create("", in).ID)
	if got := f.preview(run.ID); got != "acme/a: [import]\nacme/a: [import]\n" {
		t.Errorf("preview %s", got)
	}
	change := f.apply(run.ID)
	by := func(id string) changeset.Changeset {
		list, err := f.store.ChangesetsOf(context.Background(), change.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if c.ExternalID == id {
				return c
			}
		}
		return changeset.Changeset{}
	}
	f.until("the import", func() bool {
		return by(request.ID).State == glovebox.ChangesetOpen && by("99").State == glovebox.ChangesetFailed
	})
	if c := by(request.ID); c.Title != "Their  title" && c.Title != "Their   title" || c.Branch != "theirs" {
		t.Errorf("imported %+v", c.Changeset)
	}
	f.host.set("acme/a", "theirs", func(r *codehost.Request) { r.Checks, r.Review = codehost.ChecksPassed, codehost.ReviewApproved })
	for _, d := range []changeset.Delivery{{Host: "other", Repository: "acme/a", Mention: changeset.Mention{ID: request.ID}}, {Host: "code", Repository: "acme/b", Mention: changeset.Mention{ID: request.ID}}, {Host: "code", Repository: "acme/a"}} {
		if n, err := f.b.Deliver(t.Context(), d); n != 0 || err != nil {
			t.Errorf("%+v woke %d, %v", d, n, err)
		}
	}
	if n, err := f.b.Deliver(t.Context(), changeset.Delivery{Host: "code", Repository: "ACME/a", Mention: changeset.Mention{ID: request.ID}}); n != 1 || err != nil {
		t.Errorf("woke %d, %v", n, err)
	}
	f.until("checks", func() bool { c := by(request.ID); return c.Checks == "passed" && c.Review == "approved" })
	if _, err := f.b.Close(t.Context(), change.ID, false); err != nil {
		t.Fatal(err)
	}
	if f.host.count("close") != 0 || f.host.count("update") != 0 {
		t.Error("an imported request was changed")
	}
}

// Closed by somebody at the host: it stays closed, whatever the run wants.
func TestClosedAtTheHost(t *testing.T) {
	f := newFixture(t)
	f.three()
	defer f.execute(hello)()
	change := f.applied(spec("hello", "acme/*", "true", "Say hello"))
	f.states(change, all(glovebox.ChangesetOpen))
	f.host.set("acme/a", "batch/hello", func(r *codehost.Request) { r.State = codehost.StateClosed })
	f.applied(spec("hello", "acme/*", "true", "Say hello again"))
	f.states(change, map[string]glovebox.ChangesetState{"acme/a": glovebox.ChangesetClosed, "acme/b": glovebox.ChangesetOpen})
	f.until("the others", func() bool { r, _ := f.host.request("acme/b", "batch/hello"); return r.Title == "Say hello again" })
	if f.host.count("reopen") != 0 || f.git.count("https://code.test/acme/a", "batch/hello") != 1 {
		t.Error("a request that somebody closed was touched")
	}
}

func TestRolloutRate(t *testing.T) {
	f := newFixture(t, func(o *changeset.Options) { o.Rollout = changeset.Rollout{Rate: 2, Per: time.Hour} })
	f.three()
	defer f.execute(hello)()
	change := f.applied(spec("hello", "acme/*", "true", "Say hello"))
	count := func() map[glovebox.ChangesetState]int {
		c, err := f.store.BatchChange(context.Background(), change)
		if err != nil {
			t.Fatal(err)
		}
		return c.Changesets
	}
	f.until("two of three", func() bool {
		c := count()
		return c[glovebox.ChangesetOpen] == 2 && c[glovebox.ChangesetScheduled] == 1
	})
	f.restart() // the window is in the rows
	if c := count(); c[glovebox.ChangesetOpen] != 2 {
		t.Errorf("after a restart: %v", c)
	}
	// The next hour.
	f.stop()
	f.opt.Now = func() time.Time { return time.Now().Add(61 * time.Minute) }
	f.start()
	f.states(change, all(glovebox.ChangesetOpen))
}
