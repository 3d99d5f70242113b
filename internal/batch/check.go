package batch

import (
	"fmt"
	"net/mail"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/glob"
	"github.com/glovebox-dev/glovebox/internal/template"
)

// maxName bounds names of repositories, paths and branches, in bytes.
const maxName = 4096

// check holds the spec to what the schema can't say.
func (r *reader) check() {
	s := r.spec
	for i, on := range s.On {
		r.checkOn(fmt.Sprintf("on[%d]", i), on)
	}
	if len(s.On) == 0 && len(s.Steps) > 0 {
		r.warn("steps", "there is no \"on\": the steps have no repository to run in")
	}
	for i, w := range s.Workspaces {
		path := fmt.Sprintf("workspaces[%d]", i)
		if !plain(w.RootAtLocationOf) || strings.Contains(w.RootAtLocationOf, "/") || w.RootAtLocationOf == ".." || w.RootAtLocationOf == "." {
			r.fail(path+".rootAtLocationOf", "want the name of a file, such as package.json, without folders")
		}
		r.checkGlob(path+".in", w.In)
	}
	r.checkSteps()
	r.checkMounts()
	r.checkGroups()
	r.checkImports()
	r.checkChangeset()
}

// checkOn checks that an entry names repositories in one way.
func (r *reader) checkOn(path string, on On) {
	ways := []string{}
	for _, w := range []struct{ name, value string }{
		{"repository", on.Repository}, {"repositoriesMatchingQuery", on.RepositoriesMatchingQuery}, {"repositoriesMatching", on.RepositoriesMatching},
		{"repositoriesFrom", on.RepositoriesFrom}, {"folder", on.Folder},
	} {
		if w.value == "" {
			continue
		}
		ways = append(ways, w.name)
		if !plain(w.value) || strings.HasPrefix(w.value, "-") && w.name != "repositoriesMatchingQuery" {
			r.fail(path+"."+w.name, "want at most %d bytes without control characters, not beginning with \"-\"", maxName)
		}
	}
	if on.CodeHostQuery != nil {
		ways = append(ways, "codeHostQuery")
		if !plain(on.CodeHostQuery.Host) || !plain(on.CodeHostQuery.Query) {
			r.fail(path+".codeHostQuery", "want at most %d bytes without control characters", maxName)
		}
	}
	switch {
	case len(ways) == 0:
		r.fail(path, "want one of repository, repositoriesMatchingQuery, repositoriesMatching, repositoriesFrom, codeHostQuery and folder")
	case len(ways) > 1:
		r.fail(path+"."+ways[1], "want only one of %s: make it an entry of its own", strings.Join(ways, " and "))
	}
	r.checkGlob(path+".repositoriesMatching", on.RepositoriesMatching)
	if on.RepositoriesMatchingQuery != "" {
		if _, err := ParseQuery(r.spec.Version, on.RepositoriesMatchingQuery); err != nil {
			r.fail(path+".repositoriesMatchingQuery", "%s", strings.TrimPrefix(err.Error(), "query: "))
		}
	}
	if on.RepositoriesFrom != "" && plain(on.RepositoriesFrom) {
		r.checkBeside(path+".repositoriesFrom", on.RepositoriesFrom)
	}
	r.checkOnBranches(path, on)
}

func (r *reader) checkOnBranches(path string, on On) {
	if on.Repository == "" && on.Branch != "" {
		r.fail(path+".branch", "goes with repository only")
	}
	if on.Repository == "" && len(on.Branches) > 0 {
		r.fail(path+".branches", "goes with repository only")
	}
	if on.Branch != "" && len(on.Branches) > 0 {
		r.fail(path+".branches", "want only one of branch and branches")
	}
	r.checkBranch(path+".branch", on.Branch)
	seen := map[string]bool{}
	for i, b := range on.Branches {
		at := fmt.Sprintf("%s.branches[%d]", path, i)
		r.checkBranch(at, b)
		if seen[b] {
			r.fail(at, "%q stands here a second time", clip(b))
		}
		seen[b] = true
	}
}

// checkGroups checks where transformChanges sends files.
func (r *reader) checkGroups() {
	if r.spec.TransformChanges == nil {
		return
	}
	seen := map[string]int{}
	for i, g := range r.spec.TransformChanges.Group {
		path := fmt.Sprintf("transformChanges.group[%d]", i)
		if !plain(g.Directory) || filepath.IsAbs(g.Directory) || !filepath.IsLocal(g.Directory) {
			r.fail(path+".directory", "want a folder of the repository: a relative path without \"..\"")
		}
		if !plain(g.Repository) {
			r.fail(path+".repository", "want at most %d bytes without control characters", maxName)
		}
		r.checkBranch(path+".branch", g.Branch)
		if j, ok := seen[g.Branch]; ok {
			r.fail(path+".branch", "%q is the branch of group[%d] too: each group needs a branch of its own", clip(g.Branch), j)
		} else {
			seen[g.Branch] = i
		}
		if t := r.spec.ChangesetTemplate; t != nil && t.Branch == g.Branch {
			r.fail(path+".branch", "%q is the branch of changesetTemplate too: the group needs a branch of its own", clip(g.Branch))
		}
	}
}

func (r *reader) checkImports() {
	for i, m := range r.spec.ImportChangesets {
		path := fmt.Sprintf("importChangesets[%d]", i)
		if !plain(m.Repository) || strings.HasPrefix(m.Repository, "-") {
			r.fail(path+".repository", "want at most %d bytes without control characters, not beginning with \"-\"", maxName)
		}
		seen := map[string]bool{}
		for j, id := range m.ExternalIDs {
			at := fmt.Sprintf("%s.externalIDs[%d]", path, j)
			if len(id) > 100 || !plain(id) {
				r.fail(at, "want a changeset's number at the code host")
			}
			if seen[id] {
				r.fail(at, "%q stands here a second time", clip(id))
			}
			seen[id] = true
		}
	}
}

// checkChangeset checks the changeset template, but for its templates' names.
func (r *reader) checkChangeset() {
	t := r.spec.ChangesetTemplate
	if t == nil {
		if len(r.spec.Steps) > 0 {
			r.fail("steps", "there are steps but no changesetTemplate, which says what to make of their changes")
		}
		return
	}
	const path = "changesetTemplate"
	outputs := []string{}
	for _, s := range r.spec.Steps {
		for name := range s.Outputs {
			outputs = append(outputs, name)
		}
	}
	check := func(field, value string) {
		if value != "" && strings.TrimSpace(value) == "" {
			r.fail(path+"."+field, "is blank")
		}
		r.checkTemplate(path+"."+field, value, template.PlaceChangeset, outputs)
	}
	check("title", t.Title)
	r.checkTemplate(path+".body", t.Body, template.PlaceChangeset, outputs)
	check("branch", t.Branch)
	if !strings.Contains(t.Branch, "${{") {
		r.checkBranch(path+".branch", strings.TrimSpace(t.Branch))
	}
	check("commit.message", t.Commit.Message)
	if a := t.Commit.Author; a != nil {
		check("commit.author.name", a.Name)
		check("commit.author.email", a.Email)
		r.checkAuthor(*a)
	}
	if t.Published == nil {
		return
	}
	for i, rule := range t.Published.Rules {
		if rule.Repository == "" {
			r.fail(r.rules[i], "want a glob over repository names, such as github.com/acme/*")
		}
		r.checkGlob(r.rules[i], rule.Repository)
		if strings.HasSuffix(r.rules[i], "@") {
			r.fail(r.rules[i], "want a branch behind the \"@\"")
		}
		r.checkBranch(r.rules[i], rule.Branch)
	}
}

func (r *reader) checkAuthor(a Author) {
	if p := badAuthor(a); p != nil {
		r.fail("changesetTemplate.commit.author."+p.Path, "%s", p.Message)
	}
}

// badAuthor says what keeps a commit from having an author, nil when nothing does.
func badAuthor(a Author) *glovebox.Problem {
	if strings.TrimSpace(a.Name) == "" || !plain(a.Name) || strings.ContainsAny(a.Name, "<>") {
		return &glovebox.Problem{Path: "name", Message: "want a name on one line without \"<\" and \">\""}
	}
	if strings.Contains(a.Email, "${{") {
		return nil
	}
	if got, err := mail.ParseAddress(a.Email); err != nil || got.Address != strings.TrimSpace(a.Email) || !plain(a.Email) {
		return &glovebox.Problem{Path: "email", Message: fmt.Sprintf("%q is not an email address", clip(a.Email))}
	}
	return nil
}

func (r *reader) checkGlob(path, text string) {
	if _, err := glob.Compile(text); err != nil {
		r.fail(path, "%v", err)
	}
}

func (r *reader) checkBranch(path, name string) {
	if name == "" {
		return
	}
	if why := badBranch(name); why != "" {
		r.fail(path, "%q is no name for a branch: %s", clip(name), why)
	}
}

// badBranch says what keeps git from taking a name for a branch, "" when nothing does.
func badBranch(name string) string {
	switch {
	case len(name) > 200:
		return "it has more than 200 bytes"
	case !plain(name):
		return "it has control characters"
	case strings.ContainsAny(name, " ~^:?*[\\"):
		return "it has a space or one of ~ ^ : ? * [ \\"
	case strings.HasPrefix(name, "-"):
		return "it begins with \"-\""
	case strings.Contains(name, "..") || strings.Contains(name, "@{") || name == "@":
		return "it has \"..\" or \"@{\""
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".") || strings.HasSuffix(part, ".lock") {
			return "a part of it is empty, begins or ends with \".\", or ends with \".lock\""
		}
	}
	return ""
}

// plain reports whether a text is fit for one line and for an argument.
func plain(s string) bool {
	return len(s) <= maxName && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// clip bounds what is quoted from a hostile text in a message.
func clip(s string) string {
	if len(s) <= 60 {
		return s
	}
	return strings.ToValidUTF8(s[:60], "") + "…"
}
