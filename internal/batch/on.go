package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Bounds of a file of names.
const (
	maxListBytes = 1 << 20
	maxListNames = MaxWorkspaces
)

// filter is a compiled glob or query of an entry.
type filter struct {
	glob  *regexp.Regexp
	query *Query
}

// compileOn reads all globs and queries, so that their mistakes are known before anything is looked at.
func compileOn(spec *Spec) ([]filter, error) {
	filters := make([]filter, len(spec.On))
	var faults []error
	for i, on := range spec.On {
		var err error
		switch {
		case on.RepositoriesMatching != "":
			filters[i].glob, err = compilePaths(on.RepositoriesMatching)
		case on.RepositoriesMatchingQuery != "":
			filters[i].query, err = ParseQuery(spec.Version, on.RepositoriesMatchingQuery)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("on[%d]: %w", i, err))
		}
	}
	return filters, errors.Join(faults...)
}

// choose lists what the entries ask for. An entry that can't be answered is a failure.
func (r *resolver) choose(ctx context.Context, spec *Spec, filters []filter) ([]selection, error) {
	var all []selection
	for i, on := range spec.On {
		more, err := r.chooseOne(ctx, on, filters[i])
		if err != nil {
			if err := r.fail(ctx, fmt.Sprintf("on[%d]", i), err); err != nil {
				return nil, err
			}
			continue
		}
		if len(more) == 0 {
			r.note("on[%d]: no repository matches", i)
		}
		if filters[i].query != nil {
			for _, note := range filters[i].query.Notes {
				r.note("on[%d]: %s", i, note)
			}
		}
		all = append(all, more...)
		if len(all) > MaxWorkspaces {
			return nil, fmt.Errorf("resolve repositories: the spec asks for more than %d", MaxWorkspaces)
		}
	}
	return all, nil
}

func (r *resolver) chooseOne(ctx context.Context, on On, f filter) ([]selection, error) {
	switch {
	case on.Folder != "":
		return []selection{{name: on.Folder, folder: true}}, nil
	case on.Repository != "":
		branches := on.Branches
		if len(branches) == 0 {
			branches = []string{on.Branch}
		}
		var all []selection
		for _, b := range branches {
			all = append(all, selection{name: on.Repository, branch: b})
		}
		return all, nil
	case f.glob != nil:
		return r.named(func(name string) bool { return f.glob.MatchString(name) }, nil)
	case f.query != nil:
		return r.named(f.query.matchesName, f.query)
	case on.RepositoriesFrom != "":
		text, err := r.repos.ReadList(ctx, on.RepositoriesFrom)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", on.RepositoriesFrom, err)
		}
		return r.listed(on.RepositoriesFrom, text)
	case on.CodeHostQuery != nil:
		names, err := r.repos.Query(ctx, on.CodeHostQuery.Host, on.CodeHostQuery.Query)
		if err != nil {
			return nil, fmt.Errorf("ask code host %s: %w", on.CodeHostQuery.Host, err)
		}
		var all []selection
		for _, n := range names {
			all = append(all, selection{name: n})
		}
		return all, nil
	}
	return nil, errors.New("the entry names no repositories")
}

// named lists the known repositories that match.
func (r *resolver) named(match func(string) bool, q *Query) ([]selection, error) {
	names, err := r.names()
	if err != nil {
		return nil, fmt.Errorf("list repositories: %w", err)
	}
	var all []selection
	for _, n := range names {
		if match(n) {
			all = append(all, selection{name: n, query: q})
		}
	}
	return all, nil
}

// listed reads a file of names: one a line, with an optional "@BRANCH"; "#" begins a comment line.
func (r *resolver) listed(file string, text []byte) ([]selection, error) {
	if len(text) > maxListBytes {
		return nil, fmt.Errorf("read %s: larger than %d bytes", file, maxListBytes)
	}
	var all []selection
	number := 0
	for line := range bytes.Lines(text) {
		number++
		entry := strings.TrimSpace(strings.TrimPrefix(string(line), "\ufeff"))
		if entry == "" || strings.HasPrefix(entry, "#") {
			continue
		}
		name, branch := cutBranch(entry)
		if !plain(entry) || strings.ContainsAny(entry, " \t") || name == "" {
			r.mu.Lock()
			r.out.Failures = append(r.out.Failures, Failure{Name: fmt.Sprintf("%s:%d", file, number), Err: fmt.Errorf("want a name or URL, and perhaps @BRANCH, not %q", clip(strings.ToValidUTF8(entry, "\ufffd")))})
			r.mu.Unlock()
			continue
		}
		if len(all) == maxListNames {
			return nil, fmt.Errorf("read %s: more than %d names", file, maxListNames)
		}
		all = append(all, selection{name: name, branch: branch})
	}
	return all, nil
}

// cutBranch cuts "@BRANCH" off a name or URL. The "@" of a user before a host is not one.
func cutBranch(entry string) (name, branch string) {
	start := 0
	if i := strings.Index(entry, "://"); i >= 0 {
		if start = i + len("://"); strings.IndexByte(entry[start:], '/') < 0 {
			return entry, ""
		}
		start += strings.IndexByte(entry[start:], '/')
	} else if at := strings.IndexByte(entry, '@'); at >= 0 {
		// USER@HOST:PATH
		if colon := strings.IndexByte(entry[at:], ':'); colon >= 0 && !strings.Contains(entry[:at], "/") {
			start = at + colon
		}
	}
	if i := strings.LastIndexByte(entry[start:], '@'); i >= 0 {
		return entry[:start+i], entry[start+i+1:]
	}
	return entry, ""
}
