// Package codehosttest is the contract that each code host's client passes: against a real host, or
// against recordings of one (Recorded). It must not know which client it tests.
package codehosttest

import (
	"errors"
	"slices"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

// Scene is where one part of the suite plays.
type Scene struct {
	Host codehost.Host
	// Repo is an organisation's repository with the default branch "main" and the branches "change" and
	// "change-2", one commit each before it. Archived is another one. Org is their organisation.
	Repo, Archived, Org string
	// Act does what people and machines do at the host: "merge", "approve", "request changes",
	// "ask review", "check pending", "check passed", "check failed".
	Act func(t *testing.T, id, what string)
	// PushFork pushes the branch "change" to a fork. Nil: the host's forks are not tested.
	PushFork func(t *testing.T, fork codehost.Repository)
}

// Run runs the suite. scene makes the scene of each part.
func Run(t *testing.T, scene func(t *testing.T, part string) Scene) {
	parts := []struct {
		name string
		run  func(*testing.T, Scene)
	}{
		{"repository", repository}, {"search", search}, {"open", open}, {"draft", draft}, {"close", closeReopen},
		{"merged", merged}, {"checks", checks}, {"reviews", reviews}, {"list", list}, {"refused", refused}, {"fork", fork},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { p.run(t, scene(t, p.name)) })
	}
}

func change() codehost.Change {
	return codehost.Change{Title: "Use the new logger", Body: "One line.\n\nAnother: <b>ü</b>.", Branch: "change", Base: "main"}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func opened(t *testing.T, s Scene, c codehost.Change) codehost.Request {
	t.Helper()
	return must(s.Host.Open(t.Context(), s.Repo, c))(t)
}

func wantState(t *testing.T, r codehost.Request, want codehost.State) {
	t.Helper()
	if r.State != want {
		t.Fatalf("state %q, want %q: %+v", r.State, want, r)
	}
}

func repository(t *testing.T, s Scene) {
	r := must(s.Host.Repository(t.Context(), s.Repo))(t)
	if r.Name != s.Repo || r.DefaultBranch != "main" || r.Archived || !r.Push || r.CloneURL == "" || r.WebURL == "" {
		t.Errorf("repository: %+v", r)
	}
	if r := must(s.Host.Repository(t.Context(), s.Archived))(t); !r.Archived || r.Push {
		t.Errorf("archived repository: %+v", r)
	}
	if _, err := s.Host.Repository(t.Context(), s.Org+"/missing"); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("missing repository: %v", err)
	}
	for _, name := range []string{"", "app", "../app", s.Org + "/..", s.Org + "/a b", s.Org + "/app?x=y", "-x/app", s.Org + "/%2e%2e", s.Org + "/app\n"} {
		if _, err := s.Host.Repository(t.Context(), name); err == nil || errors.Is(err, glovebox.ErrNotFound) {
			t.Errorf("name %q was sent: %v", name, err)
		}
	}
}

func names(repos []codehost.Repository) []string {
	var all []string
	for _, r := range repos {
		all = append(all, r.Name)
	}
	slices.Sort(all)
	return all
}

func search(t *testing.T, s Scene) {
	want := []string{s.Repo, s.Archived}
	slices.Sort(want)
	if got := names(must(s.Host.Search(t.Context(), "org:"+s.Org))(t)); !slices.Equal(got, want) {
		t.Errorf("org:%s found %v, want %v", s.Org, got, want)
	}
	if got := names(must(s.Host.Search(t.Context(), "org:"+s.Org+" app"))(t)); !slices.Equal(got, []string{s.Repo}) {
		t.Errorf("org:%s app found %v, want %s", s.Org, got, s.Repo)
	}
	if _, err := s.Host.Search(t.Context(), ""); err == nil {
		t.Error("an empty query was sent")
	}
}

func open(t *testing.T, s Scene) {
	c := change()
	r := opened(t, s, c)
	wantState(t, r, codehost.StateOpen)
	if r.ID == "" || r.URL == "" || r.Title != c.Title || r.Body != c.Body || r.HeadRef != c.Branch || r.BaseRef != c.Base || len(r.Head) != 40 || r.UpdatedAt.IsZero() {
		t.Errorf("opened: %+v", r)
	}
	if r.Checks != codehost.ChecksNone || r.Review != codehost.ReviewNone {
		t.Errorf("checks %q, review %q, want none", r.Checks, r.Review)
	}
	if again := opened(t, s, c); again.ID != r.ID {
		t.Errorf("opened twice: %s and %s", r.ID, again.ID)
	}
}

func draft(t *testing.T, s Scene) {
	c := change()
	c.Draft = true
	r := opened(t, s, c)
	wantState(t, r, codehost.StateDraft)
	if r.Title != c.Title {
		t.Errorf("title %q holds more than ours", r.Title)
	}
	c.Draft, c.Title, c.Body = false, "Use the newest logger", "Shorter."
	r = must(s.Host.Update(t.Context(), s.Repo, r.ID, c))(t)
	wantState(t, r, codehost.StateOpen)
	if r.Title != c.Title || r.Body != c.Body {
		t.Errorf("updated: %+v", r)
	}
	c.Draft = true
	wantState(t, must(s.Host.Update(t.Context(), s.Repo, r.ID, c))(t), codehost.StateDraft)
}

func closeReopen(t *testing.T, s Scene) {
	r := opened(t, s, change())
	for range 2 {
		wantState(t, must(s.Host.Close(t.Context(), s.Repo, r.ID))(t), codehost.StateClosed)
	}
	r = must(s.Host.Reopen(t.Context(), s.Repo, r.ID))(t)
	wantState(t, r, codehost.StateOpen)
	// A closed one is not the one to return: another is opened.
	must(s.Host.Close(t.Context(), s.Repo, r.ID))(t)
	second := opened(t, s, change())
	if second.ID == r.ID || second.State != codehost.StateOpen {
		t.Errorf("after a closed one: %+v", second)
	}
	if again := opened(t, s, change()); again.ID != second.ID {
		t.Errorf("opened twice beside a closed one: %s and %s", second.ID, again.ID)
	}
}

func merged(t *testing.T, s Scene) {
	r := opened(t, s, change())
	s.Act(t, r.ID, "merge")
	wantState(t, must(s.Host.Get(t.Context(), s.Repo, r.ID))(t), codehost.StateMerged)
	wantState(t, must(s.Host.Close(t.Context(), s.Repo, r.ID))(t), codehost.StateMerged)
	if _, err := s.Host.Reopen(t.Context(), s.Repo, r.ID); !errors.Is(err, glovebox.ErrConflict) {
		t.Errorf("reopen a merged one: %v", err)
	}
}

func checks(t *testing.T, s Scene) {
	r := opened(t, s, change())
	for _, want := range []codehost.Checks{codehost.ChecksPending, codehost.ChecksPassed, codehost.ChecksFailed} {
		s.Act(t, r.ID, "check "+string(want))
		if got := must(s.Host.Get(t.Context(), s.Repo, r.ID))(t); got.Checks != want {
			t.Errorf("checks %q, want %q", got.Checks, want)
		}
	}
}

func reviews(t *testing.T, s Scene) {
	r := opened(t, s, change())
	for what, want := range map[string]codehost.Review{"ask review": codehost.ReviewPending} {
		s.Act(t, r.ID, what)
		if got := must(s.Host.Get(t.Context(), s.Repo, r.ID))(t); got.Review != want {
			t.Errorf("%s: review %q, want %q", what, got.Review, want)
		}
	}
	s.Act(t, r.ID, "approve")
	if got := must(s.Host.Get(t.Context(), s.Repo, r.ID))(t); got.Review != codehost.ReviewApproved {
		t.Errorf("approve: review %q", got.Review)
	}
}

func list(t *testing.T, s Scene) {
	first := opened(t, s, change())
	c := change()
	c.Branch = "change-2"
	second := opened(t, s, c)
	must(s.Host.Close(t.Context(), s.Repo, first.ID))(t)
	all := must(s.Host.List(t.Context(), s.Repo, []string{second.ID, "999", first.ID}))(t)
	if len(all) != 2 || all[0].ID != second.ID || all[0].State != codehost.StateOpen || all[1].ID != first.ID || all[1].State != codehost.StateClosed {
		t.Errorf("listed: %+v", all)
	}
	if none := must(s.Host.List(t.Context(), s.Repo, nil))(t); len(none) != 0 {
		t.Errorf("listed nothing: %+v", none)
	}
	if _, err := s.Host.Get(t.Context(), s.Repo, "999"); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("missing request: %v", err)
	}
	for _, id := range []string{"", "0", "-1", "01", "x", "1/merge", "99999999999999999999"} {
		if _, err := s.Host.Get(t.Context(), s.Repo, id); err == nil || errors.Is(err, glovebox.ErrNotFound) {
			t.Errorf("id %q was sent: %v", id, err)
		}
	}
}

func refused(t *testing.T, s Scene) {
	c := change()
	c.Branch = "not-pushed"
	if r, err := s.Host.Open(t.Context(), s.Repo, c); err == nil {
		t.Errorf("a branch that is not there: %+v", r)
	}
	for _, bad := range []codehost.Change{
		{Title: "", Branch: "change", Base: "main"},
		{Title: "two\nlines", Branch: "change", Base: "main"},
		{Title: "t", Branch: "--upload-pack=x", Base: "main"},
		{Title: "t", Branch: "a..b", Base: "main"},
		{Title: "t", Branch: "main", Base: "main"},
		{Title: "t", Branch: "change", Base: ""},
		{Title: "t", Branch: "change", Base: "main", HeadRepo: "../x"},
	} {
		if r, err := s.Host.Open(t.Context(), s.Repo, bad); err == nil {
			t.Errorf("%+v was opened: %+v", bad, r)
		}
	}
}

func fork(t *testing.T, s Scene) {
	if s.PushFork == nil {
		t.Skip("this scene has no forks")
	}
	f := must(s.Host.Fork(t.Context(), s.Repo))(t)
	if f.Name == s.Repo || f.Name == "" {
		t.Fatalf("fork: %+v", f)
	}
	if again := must(s.Host.Fork(t.Context(), s.Repo))(t); again.Name != f.Name {
		t.Errorf("forked twice: %s and %s", f.Name, again.Name)
	}
	s.PushFork(t, f)
	c := change()
	c.HeadRepo = f.Name
	r := opened(t, s, c)
	wantState(t, r, codehost.StateOpen)
	if again := opened(t, s, c); again.ID != r.ID {
		t.Errorf("opened twice from the fork: %s and %s", r.ID, again.ID)
	}
}
