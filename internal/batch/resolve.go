package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Bounds of what a spec resolves to.
const (
	MaxWorkspaces = 10_000
	// maxResultPaths and maxResultBytes bound the search results of one repository: they travel with each of its jobs.
	maxResultPaths = 20_000
	maxResultBytes = 1 << 20
	maxNotes       = 200
)

// ResolveOptions are how to resolve.
type ResolveOptions struct {
	// Parallel is how many repositories are looked at at once; 8 when zero.
	Parallel int
}

// Resolution is what a spec comes to, in the order of name, branch and path.
type Resolution struct {
	Workspaces []Workspace `json:"workspaces"`
	// Failures are the repositories, or entries of the spec, that came to nothing; the others are not touched by them.
	Failures []Failure `json:"failures,omitempty"`
	Notes    []string  `json:"notes,omitempty"`
}

// Failure is why a repository or an entry of "on" is left out.
type Failure struct {
	Name string
	Err  error
}

// MarshalJSON writes the error as text.
func (f Failure) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"name": f.Name, "error": f.Err.Error()})
}

// UnmarshalJSON reads what MarshalJSON wrote; what errors.Is knew of the error is lost.
func (f *Failure) UnmarshalJSON(text []byte) error {
	var v struct{ Name, Error string }
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	f.Name, f.Err = v.Name, errors.New(v.Error)
	return nil
}

// selection is one branch of one repository that an entry of "on" asks for.
type selection struct {
	// name is as it was asked for; branch "" is the default branch.
	name, branch string
	folder       bool
	// query, if set, has the last word on whether the repository is wanted.
	query *Query
}

// chosen is a repository's branch with the paths that queries found in it.
type chosen struct {
	Revision
	folder bool
	paths  []string
}

// resolver collects what goroutines find.
type resolver struct {
	repos Repos
	limit int
	names func() ([]string, error)
	mu    sync.Mutex
	out   Resolution
	found map[[2]string]*chosen
}

// Resolve finds the workspaces that a spec asks for. An error is one of the spec as a whole, or the
// context's; what goes wrong with one repository is a Failure.
func Resolve(ctx context.Context, spec *Spec, repos Repos, opts ResolveOptions) (Resolution, error) {
	if len(spec.Steps) == 0 {
		return Resolution{}, nil
	}
	r := &resolver{repos: repos, limit: opts.Parallel, found: map[[2]string]*chosen{}}
	if r.limit <= 0 {
		r.limit = 8
	}
	r.names = sync.OnceValues(func() ([]string, error) { return repos.Names(ctx) })
	filters, err := compileOn(spec)
	if err != nil {
		return Resolution{}, err
	}
	rules, err := compileRules(spec.Workspaces)
	if err != nil {
		return Resolution{}, err
	}
	wanted, err := r.choose(ctx, spec, filters)
	if err != nil {
		return Resolution{}, err
	}
	if err := each(ctx, r.limit, wanted, r.look); err != nil {
		return Resolution{}, err
	}
	all := make([]*chosen, 0, len(r.found))
	for _, c := range r.found {
		slices.Sort(c.paths)
		c.paths = slices.Compact(c.paths)
		all = append(all, c)
	}
	if err := each(ctx, r.limit, all, func(ctx context.Context, c *chosen) error { return r.place(ctx, rules, c) }); err != nil {
		return Resolution{}, err
	}
	r.finish()
	return r.out, nil
}

// each calls do for all items, some at once. The first error, which only the context may cause, ends it.
func each[T any](ctx context.Context, limit int, items []T, do func(context.Context, T) error) error {
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	for _, item := range items {
		if within.Err() != nil {
			break
		}
		group.Go(func() error { return do(within, item) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// fail notes a failure, or returns the context's error when that is the cause.
func (r *resolver) fail(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !plain(name) {
		name = strconv.Quote(clip(strings.ToValidUTF8(name, "\ufffd")))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Failures = append(r.out.Failures, Failure{Name: name, Err: err})
	return nil
}

func (r *resolver) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Notes = append(r.out.Notes, fmt.Sprintf(format, args...))
}

// look finds a selection's revision and, for a query, its matches.
func (r *resolver) look(ctx context.Context, s selection) error {
	rev, err := r.revision(ctx, s)
	if err != nil && s.branch != "" {
		err = fmt.Errorf("branch %q: %w", clip(s.branch), err)
	}
	if err != nil {
		return r.fail(ctx, s.name, err)
	}
	var paths []string
	if s.query != nil {
		var match bool
		paths, match, err = s.query.search(ctx, r.repos, rev)
		switch {
		case err != nil:
			return r.fail(ctx, s.name, fmt.Errorf("search: %w", err))
		case !match:
			return nil
		}
		if paths, err = r.keepPaths(rev.Name, paths); err != nil {
			return r.fail(ctx, s.name, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]string{rev.Name, rev.Branch}
	c, ok := r.found[key]
	if !ok {
		c = &chosen{Revision: rev, folder: s.folder}
		r.found[key] = c
	}
	c.paths = append(c.paths, paths...)
	return nil
}

// revision asks for the revision and checks what comes.
func (r *resolver) revision(ctx context.Context, s selection) (Revision, error) {
	if s.name == "" || len(s.name) > 4096 || !plain(s.name) || strings.HasPrefix(s.name, "-") {
		return Revision{}, errors.New("the name is empty, too long, an option, or holds control characters")
	}
	if s.folder {
		rev, err := r.repos.Folder(ctx, s.name)
		if err != nil {
			return Revision{}, err
		}
		if rev.Name == "" || !plain(rev.Name) {
			return Revision{}, errors.New("the folder has no name that can be shown")
		}
		return rev, nil
	}
	if s.branch != "" {
		if why := badBranch(strings.TrimPrefix(s.branch, "refs/heads/")); why != "" {
			return Revision{}, errors.New(why)
		}
	}
	rev, err := r.repos.Revision(ctx, s.name, s.branch)
	if err != nil {
		return Revision{}, err
	}
	if rev.Name == "" || len(rev.Name) > 4096 || !plain(rev.Name) || strings.HasPrefix(rev.Name, "-") || !objectName(rev.Commit) || !plain(rev.Branch) || len(rev.Branch) > 512 {
		return Revision{}, errors.New("the repository's name, branch or commit is not in order")
	}
	return rev, nil
}

// objectName reports whether s is a full object name.
func objectName(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// keepPaths drops paths that steps could not be told of.
func (r *resolver) keepPaths(name string, paths []string) ([]string, error) {
	kept, size := paths[:0:0], 0
	for _, p := range paths {
		if goodPath(p) {
			kept = append(kept, p)
			size += len(p)
		}
	}
	if n := len(paths) - len(kept); n > 0 {
		r.note("%s: left out %d search results with control characters or not in UTF-8", name, n)
	}
	if len(kept) > maxResultPaths || size > maxResultBytes {
		return nil, fmt.Errorf("the query finds %d files, more than %d or too many to name; narrow it", len(kept), maxResultPaths)
	}
	return kept, nil
}

// goodPath reports whether a path from a repository can be named to steps and be shown.
func goodPath(p string) bool {
	if p == "" || len(p) > 4096 || p[0] == '/' || !plain(p) {
		return false
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." || len(part) > 255 || strings.EqualFold(part, ".git") {
			return false
		}
	}
	return true
}

// finish bounds the whole and puts it in order.
func (r *resolver) finish() {
	out := &r.out
	out.Workspaces, out.Failures = bound(out.Workspaces, out.Failures)
	slices.SortFunc(out.Workspaces, compareWorkspaces)
	slices.SortStableFunc(out.Failures, func(a, b Failure) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Err.Error(), b.Err.Error())
	})
	out.Failures = slices.CompactFunc(out.Failures, func(a, b Failure) bool { return a.Name == b.Name && a.Err.Error() == b.Err.Error() })
	slices.Sort(out.Notes)
	out.Notes = slices.Compact(out.Notes)
	if n := len(out.Notes) - maxNotes; n > 0 {
		out.Notes = append(out.Notes[:maxNotes], fmt.Sprintf("and %d more notes", n))
	}
}
