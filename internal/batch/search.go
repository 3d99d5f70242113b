package batch

import (
	"context"
	"regexp"
	"slices"
)

// matchesName reports whether the query's conditions on names hold.
func (q *Query) matchesName(name string) bool {
	hit := func(re *regexp.Regexp) bool { return re.MatchString(name) }
	if slices.ContainsFunc(q.notRepos, hit) {
		return false
	}
	for _, re := range q.repos {
		if !hit(re) {
			return false
		}
	}
	return true
}

// search evaluates the rest of the query on a revision: whether it matches, and with which files. Only
// what the query needs is asked for.
func (q *Query) search(ctx context.Context, repos Repos, rev Revision) (paths []string, match bool, err error) {
	s := searched{repos: repos, rev: rev}
	for _, h := range q.having {
		has, err := s.has(ctx, h)
		if err != nil || has == h.not {
			return nil, false, err
		}
	}
	if !q.looksAtFiles() {
		return nil, true, nil
	}
	var found []string
	if len(q.patterns) == 0 {
		found, err = s.files(ctx)
	} else {
		found, err = s.grepAll(ctx, q.patterns)
	}
	if err != nil {
		return nil, false, err
	}
	for _, p := range found {
		if q.matchesPath(p) {
			paths = append(paths, p)
		}
	}
	return paths, len(paths) > 0, nil
}

func (q *Query) matchesPath(p string) bool {
	for _, f := range q.files {
		if !f(p) {
			return false
		}
	}
	return !slices.ContainsFunc(q.notFiles, func(f func(string) bool) bool { return f(p) })
}

// searched is a revision whose files are listed at most once.
type searched struct {
	repos  Repos
	rev    Revision
	all    []string
	listed bool
}

func (s *searched) files(ctx context.Context) ([]string, error) {
	if s.listed {
		return s.all, nil
	}
	all, err := s.repos.Files(ctx, s.rev.Name, s.rev.Commit)
	if err == nil {
		s.all, s.listed = all, true
	}
	return all, err
}

// grepAll lists the files that hold all patterns.
func (s *searched) grepAll(ctx context.Context, patterns []Pattern) ([]string, error) {
	var both []string
	for i, p := range patterns {
		found, err := s.repos.Grep(ctx, s.rev.Name, s.rev.Commit, p)
		if err != nil || len(found) == 0 {
			return nil, err
		}
		if i == 0 {
			both = found
			continue
		}
		in := make(map[string]bool, len(found))
		for _, f := range found {
			in[f] = true
		}
		both = slices.DeleteFunc(slices.Clone(both), func(f string) bool { return !in[f] })
	}
	return both, nil
}

// has reports whether the repository holds a file as h wants it.
func (s *searched) has(ctx context.Context, h having) (bool, error) {
	var paths []string
	var err error
	if h.content != nil {
		paths, err = s.repos.Grep(ctx, s.rev.Name, s.rev.Commit, *h.content)
	} else {
		paths, err = s.files(ctx)
	}
	return slices.ContainsFunc(paths, func(p string) bool { return h.path == nil || h.path.MatchString(p) }), err
}
