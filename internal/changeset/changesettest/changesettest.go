// Package changesettest is the suite that every changeset.Store must pass.
package changesettest

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// Run runs the suite on fresh stores of newStore. Submit has a job of an id in the queue beside the store.
func Run(t *testing.T, newStore func(t *testing.T) (store changeset.Store, submit func(id string) error)) {
	for name, test := range map[string]func(*fixture){
		"Runs": testRuns, "Pages": testPages, "Undone": testUndone, "Workspaces": testWorkspaces, "Moved": testMoved,
		"Apply": testApply, "Due": testDue, "Concurrent": testConcurrent, "Missing": testMissing,
	} {
		t.Run(name, func(t *testing.T) {
			store, submit := newStore(t)
			test(&fixture{T: t, store: store, submit: submit, now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)})
		})
	}
}

type fixture struct {
	*testing.T
	store  changeset.Store
	submit func(id string) error
	now    time.Time
	n      int
}

var errStop = errors.New("stop")

// create adds a run of a batch change by name.
func (f *fixture) create(tenant, name string) (glovebox.BatchChange, glovebox.BatchRun) {
	f.Helper()
	f.n++
	at := f.now.Add(time.Duration(f.n) * time.Second)
	change, run, err := f.store.CreateRun(f.Context(),
		glovebox.BatchChange{ID: fmt.Sprintf("change-%d", f.n), Tenant: tenant, Name: name, Description: fmt.Sprint(f.n), State: glovebox.BatchChangeDraft, CreatedAt: at, UpdatedAt: at},
		glovebox.BatchRun{ID: fmt.Sprintf("run-%d", f.n), State: glovebox.BatchRunResolving, CreatedAt: at})
	f.check(err)
	return change, run
}

func (f *fixture) check(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) equal(what string, got, want any) {
	f.Helper()
	if !reflect.DeepEqual(got, want) {
		f.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

func testRuns(f *fixture) {
	first, run := f.create("a", "x")
	second, again := f.create("a", "x")
	other, _ := f.create("b", "x")
	f.equal("the same name", second.ID, first.ID)
	f.equal("its description", second.Description, "2")
	f.equal("its latest run", second.LatestRun, again.ID)
	if other.ID == first.ID || run.BatchChange != first.ID || again.BatchChange != first.ID || run.Tenant != "a" || run.Name != "x" {
		f.Errorf("other %+v, runs %+v %+v", other, run, again)
	}
	runs, err := f.store.RunsOf(f.Context(), first.ID, 10)
	f.check(err)
	if len(runs) != 2 || runs[0].ID != again.ID {
		f.Errorf("runs %+v", runs)
	}
	got, err := f.store.UpdateRun(f.Context(), run.ID, func(r *glovebox.BatchRun) error { r.State = glovebox.BatchRunErrored; return nil })
	f.check(err)
	f.equal("the state", got.State, glovebox.BatchRunErrored)
	open, err := f.store.OpenRuns(f.Context())
	f.check(err)
	f.equal("open runs", len(open), 2)
}

func testPages(f *fixture) {
	for i := range 7 {
		f.create("a", fmt.Sprint(i))
		f.create("b", fmt.Sprint(i))
	}
	var names []string
	for cursor := ""; ; {
		page, next, err := f.store.BatchChanges(f.Context(), changeset.Filter{Tenant: "a", Limit: 3, Cursor: cursor})
		f.check(err)
		for _, c := range page {
			names = append(names, c.Tenant+c.Name)
		}
		if cursor = next; next == "" {
			break
		}
	}
	f.equal("pages", names, []string{"a6", "a5", "a4", "a3", "a2", "a1", "a0"})
	named, _, err := f.store.BatchChanges(f.Context(), changeset.Filter{Tenant: "b", Name: "3", State: glovebox.BatchChangeDraft})
	f.check(err)
	f.equal("by name", len(named), 1)
	f.create("c", "Upper_case%")
	f.create("c", "upperXcase")
	for text, want := range map[string]int{"UPPER": 2, " per_C ": 1, "%": 1, `\`: 0, "lower": 0} {
		found, _, err := f.store.BatchChanges(f.Context(), changeset.Filter{Tenant: "c", Text: text})
		f.check(err)
		f.equal("with "+text, len(found), want)
	}
	if _, _, err := f.store.BatchChanges(f.Context(), changeset.Filter{Cursor: "?"}); err == nil {
		f.Error("a wrong cursor was accepted")
	}
}

// A change that fails writes nothing.
func testUndone(f *fixture) {
	change, run := f.create("a", "x")
	_, err := f.store.UpdateRun(f.Context(), run.ID, func(r *glovebox.BatchRun) error { r.Reason = "no"; return errStop })
	f.equal("the error", err, errStop)
	err = f.store.Resolved(f.Context(), run.ID, []changeset.Workspace{workspace("w", run.ID, 1)}, nil, func(*glovebox.BatchRun) error { return errStop })
	f.equal("the error", err, errStop)
	err = f.store.Resolved(f.Context(), run.ID, []changeset.Workspace{workspace("w", run.ID, 1), workspace("w", run.ID, 2)}, nil, func(r *glovebox.BatchRun) error { r.Reason = "no"; return nil })
	if err == nil {
		f.Error("two workspaces of one id were accepted")
	}
	err = f.store.Apply(f.Context(), change.ID, func(of *glovebox.BatchChange, _ []changeset.Changeset) ([]changeset.Changeset, error) {
		of.State = glovebox.BatchChangeOpen
		return []changeset.Changeset{one("c", change.ID, f.now)}, errStop
	})
	f.equal("the error", err, errStop)
	got, err := f.store.Run(f.Context(), run.ID)
	f.check(err)
	if got.Reason != "" || len(got.Workspaces) != 0 {
		f.Errorf("run %+v", got)
	}
	of, err := f.store.BatchChange(f.Context(), change.ID)
	f.check(err)
	if of.State != glovebox.BatchChangeDraft || len(of.Changesets) != 0 {
		f.Errorf("batch change %+v", of)
	}
}

func workspace(id, run string, seq int) changeset.Workspace {
	return changeset.Workspace{BatchWorkspace: glovebox.BatchWorkspace{ID: id, Run: run, Repo: id, State: glovebox.StateQueued, JobID: "job-" + id}, Seq: seq, RetryFrom: -1, Plan: []byte(`{"id":"p"}`)}
}

func testWorkspaces(f *fixture) {
	_, run := f.create("a", "x")
	list := []changeset.Workspace{workspace("w1", run.ID, 1), workspace("w2", run.ID, 2), workspace("w3", run.ID, 3)}
	imported := []changeset.Spec{{Seq: 1, Spec: glovebox.ChangesetSpec{Repo: "r", ExternalID: "7"}}}
	f.check(f.store.Resolved(f.Context(), run.ID, list, imported, func(r *glovebox.BatchRun) error { r.State = glovebox.BatchRunProcessing; return nil }))
	specs := []changeset.Spec{{Workspace: "w2", Seq: 1, Spec: glovebox.ChangesetSpec{Repo: "w2", Branch: "b"}, DiffKey: "k"}}
	values := map[string]any{"v": 1.0}
	for range 2 { // the second replaces the first
		f.check(f.store.Collect(f.Context(), "w2", specs, func(w *changeset.Workspace) error {
			if string(w.Plan) != `{"id":"p"}` {
				f.Errorf("plan %s", w.Plan)
			}
			w.State, w.Submitted, w.Values, w.Changes = glovebox.StateCompleted, true, values, &glovebox.Changes{Added: []string{"a"}}
			return nil
		}))
	}
	got, err := f.store.Specs(f.Context(), run.ID)
	f.check(err)
	f.equal("specs", got, append(imported, specs...))
	of, err := f.store.Run(f.Context(), run.ID)
	f.check(err)
	f.equal("counts", of.Workspaces, map[glovebox.State]int{glovebox.StateQueued: 2, glovebox.StateCompleted: 1})
	f.equal("changesets", of.Changesets, 2)
	for filter, want := range map[changeset.WorkspaceFilter]string{
		{Run: run.ID}:                                  "[w1 w2 w3]",
		{Run: run.ID, After: 1, Limit: 1}:              "[w2]",
		{Run: run.ID, Unsubmitted: true}:               "[w1 w3]",
		{Run: run.ID, State: glovebox.StateCompleted}:  "[w2]",
		{Run: "none"}:                                  "[]",
		{Run: run.ID, State: glovebox.StateFailed}:     "[]",
		{Run: run.ID, Unsubmitted: true, Detail: true}: "[w1 w3]",
	} {
		found, err := f.store.WorkspacesOf(f.Context(), filter)
		f.check(err)
		ids := []string{}
		for _, w := range found {
			ids = append(ids, w.ID)
			if (w.Plan != nil) != filter.Detail || w.Values != nil {
				f.Errorf("%+v gave details %s %v", filter, w.Plan, w.Values)
			}
		}
		f.equal(fmt.Sprint(filter), fmt.Sprint(ids), want)
	}
	w, err := f.store.Workspace(f.Context(), "w2")
	f.check(err)
	f.equal("values", w.Values, values)
}

func testMoved(f *fixture) {
	_, run := f.create("a", "x")
	list := []changeset.Workspace{workspace("w1", run.ID, 1), workspace("w2", run.ID, 2), workspace("w3", run.ID, 3), workspace("w4", run.ID, 4)}
	f.check(f.store.Resolved(f.Context(), run.ID, list, nil, func(*glovebox.BatchRun) error { return nil }))
	f.check(f.submit("job-w1"))
	f.check(f.submit("job-w2"))
	for id, state := range map[string]glovebox.State{"w1": glovebox.StateQueued, "w2": glovebox.StateProcessing, "w3": glovebox.StateQueued} {
		_, err := f.store.UpdateWorkspace(f.Context(), id, func(w *changeset.Workspace) error { w.Submitted, w.State = true, state; return nil })
		f.check(err)
	}
	moved, err := f.store.Moved(f.Context(), 10)
	f.check(err)
	got := map[string]bool{}
	for _, m := range moved {
		got[m.Workspace.ID] = m.Job != nil
	}
	f.equal("moved", got, map[string]bool{"w2": true, "w3": false})
}

func one(id, change string, now time.Time) changeset.Changeset {
	return changeset.Changeset{Changeset: glovebox.Changeset{ID: id, BatchChange: change, Tenant: "a", Repo: "repo-" + id, Branch: "b", State: glovebox.ChangesetScheduled, NextAt: &now}, Key: "branch:b", Lane: "l"}
}

func (f *fixture) apply(change string, list ...changeset.Changeset) error {
	return f.store.Apply(f.Context(), change, func(*glovebox.BatchChange, []changeset.Changeset) ([]changeset.Changeset, error) { return list, nil })
}

func testApply(f *fixture) {
	change, _ := f.create("a", "x")
	f.check(f.apply(change.ID, one("c1", change.ID, f.now), one("c2", change.ID, f.now)))
	c := one("c2", change.ID, f.now)
	c.State, c.Effect = glovebox.ChangesetOpen, &changeset.Effect{Kind: "push", At: f.now, Wanted: glovebox.ChangesetSpec{Repo: "r"}}
	f.check(f.apply(change.ID, c))
	list, err := f.store.ChangesetsOf(f.Context(), change.ID)
	f.check(err)
	if len(list) != 2 || list[0].State != glovebox.ChangesetScheduled || list[1].State != glovebox.ChangesetOpen {
		f.Errorf("changesets %+v", list)
	}
	f.equal("as written", list[1], c)
	twin := one("c3", change.ID, f.now)
	twin.Repo = "repo-c1"
	if f.apply(change.ID, twin) == nil {
		f.Error("two changesets of one branch were accepted")
	}
	of, err := f.store.BatchChange(f.Context(), change.ID)
	f.check(err)
	f.equal("counts", of.Changesets, map[glovebox.ChangesetState]int{glovebox.ChangesetScheduled: 1, glovebox.ChangesetOpen: 1})
}

func testDue(f *fixture) {
	change, _ := f.create("a", "x")
	var list []changeset.Changeset
	for i, after := range []time.Duration{0, -time.Minute, time.Minute, time.Hour, 2 * time.Hour} {
		c := one(fmt.Sprint(i), change.ID, f.now.Add(after))
		c.Lane, c.ExternalID, c.Head = []string{"l", "l", "l", "m", "m"}[i], fmt.Sprint(i), fmt.Sprint("head-", i)
		at := f.now.Add(-after)
		c.PublishedAt = &at
		list = append(list, c)
	}
	rest := one("rest", change.ID, f.now)
	rest.NextAt = nil
	f.check(f.apply(change.ID, append(list, rest)...))
	lanes, next, err := f.store.DueLanes(f.Context(), f.now)
	f.check(err)
	f.equal("lanes", lanes, []string{"l"})
	f.equal("next", next, f.now.Add(time.Minute))
	due, err := f.store.Due(f.Context(), "l", f.now, 10)
	f.check(err)
	if len(due) != 2 || due[0].ID != "1" {
		f.Errorf("due %+v", due)
	}
	if n, err := f.store.Wake(f.Context(), "repo-3", changeset.Mention{ID: "3"}, f.now); n != 1 || err != nil {
		f.Errorf("woke %d, %v", n, err)
	}
	for _, c := range [][4]string{{"repo-3", "4"}, {"repo-2"}, {"repo-rest", "", "b"}, {"repo-2", "3", "c", "d"}, {"repo-rest", "", "", "head-rest"}} {
		if n, err := f.store.Wake(f.Context(), c[0], changeset.Mention{ID: c[1], Branch: c[2], Commit: c[3]}, f.now); n != 0 || err != nil {
			f.Errorf("%v woke %d, %v", c, n, err)
		}
	}
	for repo, meant := range map[string]changeset.Mention{"repo-2": {Commit: "head-2"}, "repo-4": {Branch: "b"}} {
		if n, err := f.store.Wake(f.Context(), repo, meant, f.now); n != 1 || err != nil {
			f.Errorf("%s: woke %d, %v", repo, n, err)
		}
	}
	lanes, _, err = f.store.DueLanes(f.Context(), f.now)
	f.check(err)
	f.equal("lanes", lanes, []string{"l", "m"})
	n, first, err := f.store.PublishedSince(f.Context(), f.now.Add(-2*time.Minute))
	f.check(err)
	f.equal("published", n, 3)
	f.equal("the first", first, f.now.Add(-time.Minute))
}

// No update gets lost among others.
func testConcurrent(f *fixture) {
	change, _ := f.create("a", "x")
	f.check(f.apply(change.ID, one("c", change.ID, f.now)))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, err := f.store.UpdateChangeset(f.Context(), "c", func(c *changeset.Changeset) error { c.Tries++; return nil })
			if err != nil {
				f.Error(err)
			}
		})
	}
	wg.Wait()
	c, err := f.store.Changeset(f.Context(), "c")
	f.check(err)
	f.equal("updates", c.Tries, 20)
}

func testMissing(f *fixture) {
	ctx := f.Context()
	_, err1 := f.store.BatchChange(ctx, "x")
	_, err2 := f.store.Run(ctx, "x")
	_, err3 := f.store.UpdateRun(ctx, "x", func(*glovebox.BatchRun) error { return nil })
	_, err4 := f.store.Workspace(ctx, "x")
	_, err5 := f.store.UpdateWorkspace(ctx, "x", func(*changeset.Workspace) error { return nil })
	_, err6 := f.store.Changeset(ctx, "x")
	_, err7 := f.store.UpdateChangeset(ctx, "x", func(*changeset.Changeset) error { return nil })
	for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, f.apply("x"), f.store.Collect(ctx, "x", nil, func(*changeset.Workspace) error { return nil })} {
		if !errors.Is(err, glovebox.ErrNotFound) {
			f.Errorf("call %d: %v", i+1, err)
		}
	}
}
