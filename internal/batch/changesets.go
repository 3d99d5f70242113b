package batch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/patch"
	"github.com/glovebox-dev/glovebox/internal/template"
)

// Bounds of a changeset's texts. Code hosts have the like, and say so only when it is published.
const (
	maxTitle   = 1 << 10
	maxBody    = 64 << 10
	maxMessage = 64 << 10
	maxAuthor  = 255
)

// The author of commits for which a spec names none.
const (
	DefaultAuthorName  = "Glovebox"
	DefaultAuthorEmail = "batch-changes@glovebox.invalid"
)

// WorkspaceResult is what a workspace's job came to.
type WorkspaceResult struct {
	// Diff is the patch, for git apply --index; empty when nothing was changed.
	Diff []byte
	// Values and Changes are the result's.
	Values  map[string]any
	Changes glovebox.Changes
	// Link is the batch change's address. When it is empty, batch_change_link stays in the texts as it is.
	Link string
}

// Changesets makes the changeset specs of a workspace: one for the template's branch, and one for each
// group that has files; none of an empty diff.
func Changesets(ctx context.Context, spec *Spec, ws Workspace, result WorkspaceResult) ([]glovebox.ChangesetSpec, error) {
	if len(result.Diff) == 0 {
		return nil, nil
	}
	if spec.ChangesetTemplate == nil {
		return nil, errors.New("make changesets: the spec has no changesetTemplate")
	}
	base, err := changeset(ctx, spec, ws, result)
	if err != nil {
		return nil, fmt.Errorf("make changesets: %w", err)
	}
	groups := groupsFor(spec, ws.Repo)
	rest, parts, err := Split(result.Diff, groups)
	if err != nil {
		return nil, fmt.Errorf("make changesets: %w", err)
	}
	var out []glovebox.ChangesetSpec
	for i, diff := range append([][]byte{rest}, parts...) {
		if len(diff) == 0 {
			continue
		}
		one := base
		if one.Diff = diff; i > 0 {
			one.Branch = groups[i-1].Branch
		}
		if err := complete(&one, spec.ChangesetTemplate.Published); err != nil {
			return nil, fmt.Errorf("make changesets: %w", err)
		}
		out = append(out, one)
	}
	return out, Duplicates(out)
}

// groupsFor are the groups that hold for a repository.
func groupsFor(spec *Spec, repo string) []Group {
	if spec.TransformChanges == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(spec.TransformChanges.Group), func(g Group) bool { return g.Repository != "" && g.Repository != repo })
}

// complete checks the branch and fills in what depends on branch and diff.
func complete(c *glovebox.ChangesetSpec, published *Published) error {
	if err := CheckBranch(c.Branch); err != nil {
		return err
	}
	stat, _, err := patch.Stat(bytes.NewReader(c.Diff))
	if err != nil {
		return err
	}
	c.DiffStat = &stat
	c.Published, err = published.For(c.Repo, c.Branch)
	return err
}

// changeset renders the template: all but diff and what depends on it.
func changeset(ctx context.Context, spec *Spec, ws Workspace, result WorkspaceResult) (glovebox.ChangesetSpec, error) {
	t := spec.ChangesetTemplate
	c := glovebox.ChangesetSpec{Repo: ws.Repo, Workspace: ws.Path, BaseRef: ws.Branch, BaseCommit: ws.Commit, Fork: t.Fork != nil && *t.Fork}
	author := Author{Name: DefaultAuthorName, Email: DefaultAuthorEmail}
	if t.Commit.Author != nil {
		author = *t.Commit.Author
	}
	scope := template.Scope{
		Place: template.PlaceChangeset,
		Template: glovebox.Template{
			Repository:  glovebox.TemplateRepository{Name: ws.Repo, Branch: ws.Branch, SearchResultPaths: ws.SearchResultPaths},
			BatchChange: glovebox.TemplateBatchChange{Name: spec.Name, Description: spec.Description},
			Path:        ws.Path,
		},
		Steps: result.Changes, Outputs: result.Values, Link: result.Link,
	}
	for _, field := range []struct {
		name, text string
		to         *string
		max        int
		line       bool // one line, and not empty
	}{
		{"title", t.Title, &c.Title, maxTitle, true},
		{"body", t.Body, &c.Body, maxBody, false},
		{"branch", t.Branch, &c.Branch, maxTitle, true},
		{"commit.message", t.Commit.Message, &c.Message, maxMessage, false},
		{"commit.author.name", author.Name, &c.AuthorName, maxAuthor, true},
		{"commit.author.email", author.Email, &c.AuthorEmail, maxAuthor, true},
	} {
		text, err := rendered(ctx, field.text, scope)
		if field.to != &c.Branch { // a branch with control characters is refused, not mended
			text = cleaned(text)
		}
		switch {
		case err != nil:
			return c, fmt.Errorf("changesetTemplate.%s: %w", field.name, err)
		case len(text) > field.max:
			return c, fmt.Errorf("changesetTemplate.%s: comes out as %d bytes, more than %d", field.name, len(text), field.max)
		case field.line && text == "":
			return c, fmt.Errorf("changesetTemplate.%s: comes out empty", field.name)
		case field.line && strings.ContainsAny(text, "\n\t"):
			return c, fmt.Errorf("changesetTemplate.%s: comes out as more than one line, or with tabs: %q", field.name, clip(text))
		}
		*field.to = text
	}
	if c.Message == "" {
		return c, errors.New("changesetTemplate.commit.message: comes out empty")
	}
	if strings.ContainsAny(c.AuthorName+c.AuthorEmail, "<>") || strings.Contains(c.AuthorEmail, " ") || !strings.Contains(c.AuthorEmail, "@") {
		return c, fmt.Errorf("changesetTemplate.commit.author: %q and %q are no name and email address", c.AuthorName, c.AuthorEmail)
	}
	return c, nil
}

// rendered evaluates and trims a text.
func rendered(ctx context.Context, text string, scope template.Scope) (string, error) {
	t, err := template.Parse(text)
	if err != nil {
		return "", err
	}
	out, err := t.Render(ctx, scope)
	return strings.TrimSpace(out), err
}

// cleaned makes a text fit for code hosts and terminals, for it may hold what a step has printed: of control
// characters only line ends and tabs are left.
func cleaned(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\r\n", "\n")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
	return strings.TrimSpace(text)
}

// Imported are the changesets that exist already and that the spec takes in, each once.
func Imported(spec *Spec) []glovebox.ChangesetSpec {
	var out []glovebox.ChangesetSpec
	seen := map[[2]string]bool{}
	for _, i := range spec.ImportChangesets {
		for _, id := range i.ExternalIDs {
			if key := [2]string{i.Repository, id}; !seen[key] {
				seen[key] = true
				out = append(out, glovebox.ChangesetSpec{Repo: i.Repository, ExternalID: id})
			}
		}
	}
	return out
}

// maxListed bounds a list in an error.
const maxListed = 20

// Duplicates returns an error that lists the branches which more than one changeset of a repository has,
// and those that can't be there at once because one is a folder of the other.
func Duplicates(specs []glovebox.ChangesetSpec) error {
	type key struct{ repo, branch string }
	count := map[key]int{}
	for _, s := range specs {
		if s.ExternalID == "" {
			count[key{s.Repo, s.Branch}]++
		}
	}
	var faults []string
	for k, n := range count {
		if n > 1 {
			faults = append(faults, fmt.Sprintf("%s: %d changesets have the branch %s", k.repo, n, k.branch))
		}
		for above := k.branch; strings.Contains(above, "/"); {
			above = above[:strings.LastIndexByte(above, '/')]
			if count[key{k.repo, above}] > 0 {
				faults = append(faults, fmt.Sprintf("%s: there can't be both branches %s and %s", k.repo, above, k.branch))
			}
		}
	}
	if len(faults) == 0 {
		return nil
	}
	slices.SortFunc(faults, cmp.Compare)
	if n := len(faults) - maxListed; n > 0 {
		faults = append(faults[:maxListed], fmt.Sprintf("and %d more", n))
	}
	return errors.New("each changeset of a repository needs a branch of its own; let the branch depend on steps.path or repository.branch:\n  " + strings.Join(faults, "\n  "))
}
