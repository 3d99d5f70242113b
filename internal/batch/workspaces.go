package batch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/glovebox-dev/glovebox/internal/glob"
)

// Workspace is one place to run the steps: a repository at a commit, or a folder of it.
type Workspace struct {
	// ID is the same for the same repository, branch and path, whatever the commit.
	ID   string `json:"id"`
	Repo string `json:"repo"`
	// Branch is a full ref.
	Branch string `json:"branch,omitempty"`
	Commit string `json:"commit,omitempty"`
	// Path is the folder that steps begin in, "" for the repository's root.
	Path string `json:"path,omitempty"`
	// Only is set when Path is all that the workspace is to hold.
	Only bool `json:"only,omitempty"`
	// Folder is set for a local folder that is no repository.
	Folder bool `json:"folder,omitempty"`
	// SearchResultPaths are what queries found in the repository, all of it.
	SearchResultPaths []string `json:"search_result_paths,omitempty"`
}

// Name is the workspace for people: the repository, and the path if there is one.
func (w Workspace) Name() string {
	if w.Path == "" {
		return w.Repo
	}
	return w.Repo + "/" + w.Path
}

func (c *chosen) workspace(dir string, only bool) Workspace {
	sum := sha256.Sum256([]byte(c.Name + "\x00" + c.Branch + "\x00" + dir))
	return Workspace{
		ID: hex.EncodeToString(sum[:10]), Repo: c.Name, Branch: c.Branch, Commit: c.Commit, Path: dir,
		Only: only && dir != "", Folder: c.folder, SearchResultPaths: c.paths,
	}
}

func compareWorkspaces(a, b Workspace) int {
	return cmp.Or(strings.Compare(a.Repo, b.Repo), strings.Compare(a.Branch, b.Branch), strings.Compare(a.Path, b.Path))
}

// rule is a WorkspaceRule with its glob; nil matches all.
type rule struct {
	WorkspaceRule
	in *glob.Glob
}

func compileRules(given []WorkspaceRule) ([]rule, error) {
	rules := make([]rule, len(given))
	var faults []error
	for i, w := range given {
		rules[i].WorkspaceRule = w
		if w.In == "" {
			continue
		}
		in, err := glob.Compile(w.In)
		if err != nil {
			faults = append(faults, fmt.Errorf("workspaces[%d].in: %w", i, err))
		}
		rules[i].in = in
	}
	return rules, errors.Join(faults...)
}

// maxRoots bounds the workspaces of one repository, so that none takes the places of all others.
const maxRoots = 2_000

// place makes a repository's workspaces: one for each folder that holds the file of the rule that
// matches it, or one for all of it when none does.
func (r *resolver) place(ctx context.Context, rules []rule, c *chosen) error {
	var match []rule
	for _, rule := range rules {
		if rule.in == nil || rule.in.Match(c.Name) {
			match = append(match, rule)
		}
	}
	switch {
	case len(match) == 0:
		r.add(c.workspace("", false))
		return nil
	case len(match) > 1:
		return r.fail(ctx, c.Name, fmt.Errorf("two rules of workspaces match the repository: rootAtLocationOf %s in %q, and %s in %q; want one",
			match[0].RootAtLocationOf, match[0].In, match[1].RootAtLocationOf, match[1].In))
	}
	files, err := r.repos.Files(ctx, c.Name, c.Commit)
	if err != nil {
		return r.fail(ctx, c.Name, fmt.Errorf("list files: %w", err))
	}
	dirs, skipped := roots(files, match[0].RootAtLocationOf)
	if skipped > 0 {
		r.note("%s: left out %d folders whose paths hold control characters or are not UTF-8", c.Name, skipped)
	}
	switch {
	case len(dirs) == 0:
		r.note("%s: holds no %s, so no workspace", c.Name, match[0].RootAtLocationOf)
	case len(dirs) > maxRoots:
		return r.fail(ctx, c.Name, fmt.Errorf("%d folders hold %s; want at most %d", len(dirs), match[0].RootAtLocationOf, maxRoots))
	}
	for _, dir := range dirs {
		r.add(c.workspace(dir, match[0].OnlyFetchWorkspace))
	}
	return nil
}

func (r *resolver) add(w Workspace) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Workspaces = append(r.out.Workspaces, w)
}

// roots lists the folders that hold a file of that very name, "" for the root.
func roots(files []string, name string) (dirs []string, skipped int) {
	for _, f := range files {
		if path.Base(f) != name {
			continue
		}
		if !goodPath(f) {
			skipped++
			continue
		}
		dir := path.Dir(f)
		if dir == "." {
			dir = ""
		}
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs), skipped
}

// bound makes failures of the repositories with the most workspaces until no more than MaxWorkspaces are left.
func bound(all []Workspace, failures []Failure) ([]Workspace, []Failure) {
	count := map[string]int{}
	for _, w := range all {
		count[w.Repo]++
	}
	names := make([]string, 0, len(count))
	for n := range count {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(count[b]-count[a], strings.Compare(a, b)) })
	total := len(all)
	gone := map[string]bool{}
	for _, n := range names {
		if total <= MaxWorkspaces {
			break
		}
		total -= count[n]
		gone[n] = true
		failures = append(failures, Failure{Name: n, Err: fmt.Errorf("left out with its %d workspaces: there are more than %d together", count[n], MaxWorkspaces)})
	}
	return slices.DeleteFunc(all, func(w Workspace) bool { return gone[w.Repo] }), failures
}
