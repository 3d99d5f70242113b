package batch

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
)

func someResult(t testing.TB) (Workspace, WorkspaceResult) {
	c := changed(t, map[string]string{"a/x": "1\n", "README": "1\n"}, map[string]string{"a/x": "2\n", "README": "2\n3\n", "b/y": "1\n"})
	ws := Workspace{Repo: "github.com/acme/x", Branch: "refs/heads/main", Commit: strings.Repeat("1", 40), Path: "a"}
	return ws, WorkspaceResult{Diff: c.diff, Values: map[string]any{"n": "7", "esc": "a\x1b[31mb"}, Changes: glovebox.Changes{Modified: []string{"a/x"}}}
}

func someTemplate() *ChangesetTemplate {
	return &ChangesetTemplate{
		Title: " ${{ batch_change.name }} ${{ outputs.n }}\n", Body: "of ${{ repository.branch }}: ${{ join steps.modified_files \",\" }} ${{ batch_change_link }} ${{ outputs.esc }}\r\nend\n",
		Branch: "fix/${{ replace steps.path \"/\" \"-\" }}", Commit: CommitTemplate{Message: "Fix ${{ repository.name }}\n\nbody"},
	}
}

func TestChangesets(t *testing.T) {
	ws, result := someResult(t)
	spec := &Spec{Name: "fix", ChangesetTemplate: someTemplate()}
	got, err := Changesets(t.Context(), spec, ws, result)
	if err != nil || len(got) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	c := got[0]
	if c.Title != "fix 7" || c.Body != "of main: a/x ${{ batch_change_link }} a[31mb\nend" || c.Branch != "fix/a" || c.Message != "Fix github.com/acme/x\n\nbody" {
		t.Errorf("texts of %+v", c)
	}
	if c.AuthorName != DefaultAuthorName || c.AuthorEmail != DefaultAuthorEmail || c.Repo != ws.Repo || c.Workspace != "a" || c.BaseRef != ws.Branch || c.BaseCommit != ws.Commit || c.Published != glovebox.PublishedUndecided || c.Fork {
		t.Errorf("got %+v", c)
	}
	if c.DiffStat == nil || c.DiffStat.Files != 3 || c.DiffStat.Insertions != 4 || c.DiffStat.Deletions != 2 || c.DiffStat.Size != int64(len(result.Diff)) || string(c.Diff) != string(result.Diff) {
		t.Errorf("stat %+v", c.DiffStat)
	}
	result.Link = "https://glovebox.example/b/1"
	fork := true
	spec.ChangesetTemplate.Fork, spec.ChangesetTemplate.Commit.Author = &fork, &Author{Name: "Ada ${{ outputs.n }}", Email: "ada@example.com"}
	got, err = Changesets(t.Context(), spec, ws, result)
	if err != nil || !got[0].Fork || got[0].AuthorName != "Ada 7" || !strings.Contains(got[0].Body, result.Link) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := Changesets(t.Context(), spec, ws, WorkspaceResult{}); err != nil || got != nil {
		t.Errorf("of an empty diff: %+v, %v", got, err)
	}
}

func TestChangesetsOfGroups(t *testing.T) {
	ws, result := someResult(t)
	spec := &Spec{Name: "fix", ChangesetTemplate: someTemplate()}
	spec.ChangesetTemplate.Published = &Published{Rules: []PublishedRule{{Repository: "*", Published: "false"}, {Repository: "github.com/acme/*", Branch: "only-b", Published: "draft"}, {Repository: "gitlab.com/*", Published: "true"}}}
	for _, c := range []struct {
		groups []Group
		want   []string
	}{
		{nil, []string{"fix/a:3:false"}},
		{[]Group{{Directory: "b", Branch: "only-b"}, {Directory: "none", Branch: "n"}}, []string{"fix/a:2:false", "only-b:1:draft"}},
		{[]Group{{Directory: ".", Branch: "all"}}, []string{"all:3:false"}},
		{[]Group{{Directory: "b", Branch: "only-b", Repository: "github.com/acme/other"}}, []string{"fix/a:3:false"}},
		{[]Group{{Directory: "b", Branch: "only-b", Repository: ws.Repo}}, []string{"fix/a:2:false", "only-b:1:draft"}},
	} {
		spec.TransformChanges = &TransformChanges{Group: c.groups}
		specs, err := Changesets(t.Context(), spec, ws, result)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range specs {
			got = append(got, fmt.Sprintf("%s:%d:%s", s.Branch, s.DiffStat.Files, s.Published))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("groups %+v: got %q, want %q", c.groups, got, c.want)
		}
	}
}

func TestChangesetsRefuse(t *testing.T) {
	ws, result := someResult(t)
	result.Values["long"] = strings.Repeat("x", 2000)
	for want, edit := range map[string]func(*ChangesetTemplate){
		"title: comes out empty":               func(c *ChangesetTemplate) { c.Title = " \n" },
		"title: comes out as more":             func(c *ChangesetTemplate) { c.Title = "a\nb" },
		"title: comes out as 2000 bytes":       func(c *ChangesetTemplate) { c.Title = "${{ outputs.long }}" },
		"body: comes out as":                   func(c *ChangesetTemplate) { c.Body = strings.Repeat("x", maxBody+1) },
		"message: comes out empty":             func(c *ChangesetTemplate) { c.Commit.Message = "\x1b" },
		"author":                               func(c *ChangesetTemplate) { c.Commit.Author = &Author{Name: "a", Email: "a@b> <c"} },
		"title: evaluate":                      func(c *ChangesetTemplate) { c.Title = "${{ outputs.none }}" },
		"body: ":                               func(c *ChangesetTemplate) { c.Body = "${{ if }}" },
		`branch "--force"`:                     func(c *ChangesetTemplate) { c.Branch = "--force" },
		`branch "../x"`:                        func(c *ChangesetTemplate) { c.Branch = "../${{ \"x\" }}" },
		`branch "a\x1b[31mb"`:                  func(c *ChangesetTemplate) { c.Branch = "${{ outputs.esc }}" },
		`branch "refs/heads/x"`:                func(c *ChangesetTemplate) { c.Branch = "refs/heads/x" },
		"branch: comes out as 2000 bytes":      func(c *ChangesetTemplate) { c.Branch = "${{ outputs.long }}" },
		"2 changesets have the branch b":       func(c *ChangesetTemplate) { c.Branch = "b" },
		"can't be both branches b and b/c":     func(c *ChangesetTemplate) { c.Branch = "b/c" },
		"published: \"[\"":                     func(c *ChangesetTemplate) { c.Published = &Published{Rules: []PublishedRule{{Repository: "["}}} },
		"commit.author.name: comes out as 300": func(c *ChangesetTemplate) { c.Commit.Author = &Author{Name: strings.Repeat("x", 300), Email: "a@b"} },
	} {
		spec := &Spec{Name: "fix", ChangesetTemplate: someTemplate(), TransformChanges: &TransformChanges{Group: []Group{{Directory: "b", Branch: "b"}}}}
		edit(spec.ChangesetTemplate)
		if got, err := Changesets(t.Context(), spec, ws, result); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %+v, %v", want, got, err)
		}
	}
	if _, err := Changesets(t.Context(), &Spec{}, ws, result); err == nil {
		t.Error("a spec without a template is accepted")
	}
	result.Diff = []byte("From: x\n")
	if _, err := Changesets(t.Context(), &Spec{ChangesetTemplate: someTemplate()}, ws, result); err == nil {
		t.Error("what is no diff is accepted")
	}
}

func TestPublished(t *testing.T) {
	rules := func(r ...PublishedRule) *Published { return &Published{Rules: r} }
	for _, c := range []struct {
		published *Published
		want      glovebox.Published
	}{
		{nil, ""},
		{&Published{}, ""},
		{&Published{All: "draft"}, "draft"},
		{rules(PublishedRule{Repository: "*", Published: "true"}, PublishedRule{Repository: "github.com/acme/*", Published: "false"}), "false"},
		{rules(PublishedRule{Repository: "github.com/acme/*", Published: "false"}, PublishedRule{Repository: "*", Published: "true"}), "true"},
		{rules(PublishedRule{Repository: "acme/x", Published: "true"}), ""},
		{rules(PublishedRule{Repository: "*", Branch: "other", Published: "true"}), ""},
		{rules(PublishedRule{Repository: "*", Branch: "fix/{a}", Published: "true"}), "true"},
		{rules(PublishedRule{Repository: "*", Branch: "fix/*", Published: "draft"}), "draft"},
	} {
		if got, err := c.published.For("github.com/acme/x", "fix/{a}"); err != nil || got != c.want {
			t.Errorf("%+v: got %q, %v, want %q", c.published, got, err, c.want)
		}
	}
}

func TestImportedAndDuplicates(t *testing.T) {
	got := Imported(&Spec{ImportChangesets: []ImportChangesets{{Repository: "a", ExternalIDs: []string{"1", "2", "1"}}, {Repository: "b", ExternalIDs: []string{"1"}}, {Repository: "a", ExternalIDs: []string{"2"}}}})
	want := []glovebox.ChangesetSpec{{Repo: "a", ExternalID: "1"}, {Repo: "a", ExternalID: "2"}, {Repo: "b", ExternalID: "1"}}
	if !slices.EqualFunc(got, want, func(a, b glovebox.ChangesetSpec) bool { return a.Repo == b.Repo && a.ExternalID == b.ExternalID }) {
		t.Errorf("got %+v", got)
	}
	if err := Duplicates(append(got, got...)); err != nil {
		t.Errorf("imported ones have no branch: %v", err)
	}
	err := Duplicates([]glovebox.ChangesetSpec{{Repo: "a", Branch: "x"}, {Repo: "b", Branch: "x"}, {Repo: "a", Branch: "y"}, {Repo: "b", Branch: "x"}, {Repo: "b", Branch: "x"}})
	if err == nil || !strings.Contains(err.Error(), "b: 3 changesets have the branch x") || strings.Contains(err.Error(), "a:") {
		t.Errorf("got %v", err)
	}
}
