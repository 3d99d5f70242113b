package changeset_test

import (
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

func all(state glovebox.ChangesetState) map[string]glovebox.ChangesetState {
	return map[string]glovebox.ChangesetState{"acme/a": state, "acme/b": state, "acme/c": state}
}

// From a spec to open requests, to updated ones, and to closed ones.
func TestFromSpecToRequests(t *testing.T) {
	f := newFixture(t)
	f.three()
	line := "one"
	defer f.execute(func(glovebox.Job) outcome { return outcome{diff: adds("hello.txt", line)} })()
	run := f.ended(f.create("", spec("hello", "acme/*", "true", "Say hello")).ID)
	if run.State != glovebox.BatchRunCompleted || run.Workspaces[glovebox.StateCompleted] != 3 || run.Changesets != 3 {
		t.Fatalf("run %+v", run)
	}
	want := "acme/a: [publish]\nacme/b: [publish]\nacme/c: [publish]\n"
	if got := f.preview(run.ID); got != want {
		t.Errorf("preview\n%swant\n%s", got, want)
	}
	if f.host.count("open") != 0 {
		t.Error("a preview opened a request")
	}
	change := f.apply(run.ID)
	f.states(change.ID, all(glovebox.ChangesetOpen))
	for _, name := range []string{"acme/a", "acme/b", "acme/c"} {
		if r, ok := f.host.request(name, "batch/hello"); !ok || r.Title != "Say hello" || r.Body != "Body" || r.BaseRef != "main" {
			t.Errorf("request of %s: %+v", name, r)
		}
	}
	// Again: nothing.
	want = "acme/a: [nothing]\nacme/b: [nothing]\nacme/c: [nothing]\n"
	if got := f.preview(run.ID); got != want {
		t.Errorf("second preview\n%swant\n%s", got, want)
	}
	gets, pushes := f.host.count("get"), f.git.moves["https://code.test/acme/a batch/hello"]
	f.apply(run.ID)
	f.restart()
	if f.host.count("get") != gets || f.git.moves["https://code.test/acme/a batch/hello"] != pushes {
		t.Error("applying the same run again did something")
	}

	// Another diff and title, and one repository less.
	line = "two"
	f.host.set("acme/b", "batch/hello", func(r *codehost.Request) { r.State = codehost.StateMerged })
	run = f.ended(f.create("", spec("hello", "acme/[ab]", "true", "Say hello again")).ID)
	want = "acme/a: [push update]\nacme/b: [push update]\nacme/c: [close] (the run does not want it)\n"
	if got := f.preview(run.ID); got != want {
		t.Errorf("third preview\n%swant\n%s", got, want)
	}
	f.apply(run.ID)
	f.states(change.ID, map[string]glovebox.ChangesetState{"acme/a": glovebox.ChangesetOpen, "acme/b": glovebox.ChangesetMerged, "acme/c": glovebox.ChangesetClosed})
	f.until("the update", func() bool {
		r, _ := f.host.request("acme/a", "batch/hello")
		return r.Title == "Say hello again"
	})
	if n := f.git.moves["https://code.test/acme/a batch/hello"]; n != 2 {
		t.Errorf("the branch moved %d times, want 2", n)
	}
	if n := f.git.moves["https://code.test/acme/b batch/hello"]; n != 1 {
		t.Errorf("the branch of a merged request moved %d times, want 1", n)
	}

	// Wanted again: reopened. Closed with all.
	run = f.ended(f.create("", spec("hello", "acme/*", "true", "Say hello again")).ID)
	want = "acme/a: [nothing]\nacme/b: [keep] (it is merged)\nacme/c: [push reopen update]\n"
	if got := f.preview(run.ID); got != want {
		t.Errorf("fourth preview\n%swant\n%s", got, want)
	}
	f.apply(run.ID)
	f.states(change.ID, map[string]glovebox.ChangesetState{"acme/a": glovebox.ChangesetOpen, "acme/b": glovebox.ChangesetMerged, "acme/c": glovebox.ChangesetOpen})
	if _, err := f.b.Close(t.Context(), change.ID, false); err != nil {
		t.Fatal(err)
	}
	f.states(change.ID, map[string]glovebox.ChangesetState{"acme/a": glovebox.ChangesetClosed, "acme/b": glovebox.ChangesetMerged, "acme/c": glovebox.ChangesetClosed})
	for branch, n := range f.host.opened {
		if n != 1 {
			t.Errorf("%s was opened %d times", branch, n)
		}
	}
}
