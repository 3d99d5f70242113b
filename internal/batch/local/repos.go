package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
	"github.com/glovebox-dev/glovebox/internal/localrepo"
	"github.com/glovebox-dev/glovebox/internal/workspace"
)

// Repos are the repositories of this host: those beneath a folder, known by their relative
// paths, and, where a spec names them so, paths, plain folders and addresses.
type Repos struct {
	opts RepoOptions
	// find looks through the folder, once.
	find func() (map[string]localrepo.Repo, error)

	mu sync.Mutex
	// addresses are where each name that was resolved is fetched from.
	addresses map[string]string
	clones    map[string]localrepo.Repo
}

var _ batch.Repos = (*Repos)(nil)

// RepoOptions say where to look.
type RepoOptions struct {
	// Dir is the folder of local clones; none when empty.
	Dir string
	// Base is the folder that paths in a spec are relative to: that of the spec.
	Base string
	// Snapshots is a folder for what plain folders are recorded in.
	Snapshots string
	// Cache is where repositories that an address names are fetched into to be looked at.
	Cache *workspace.Cache
	// Query asks a code host; nil when none is known.
	Query func(ctx context.Context, host, query string) ([]string, error)
	// Note is told what could not be looked at; it may be nil.
	Note func(text string)
}

// NewRepos makes Repos; nothing is looked at yet.
func NewRepos(opts RepoOptions) *Repos {
	if opts.Note == nil {
		opts.Note = func(string) {}
	}
	r := &Repos{opts: opts, addresses: map[string]string{}, clones: map[string]localrepo.Repo{}}
	r.find = sync.OnceValues(r.search)
	return r
}

// Clone returns the local clone that a workspace's repository is, and whether there is one with a work tree.
func (r *Repos) Clone(name string) (localrepo.Repo, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clone, ok := r.clones[name]
	return clone, ok && !clone.Bare
}

// Names lists the repositories beneath the folder.
func (r *Repos) Names(context.Context) ([]string, error) {
	if r.opts.Dir == "" {
		return nil, errors.New("no folder of local clones to choose from: name it by --repos-dir")
	}
	found, err := r.find()
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// Revision looks a name up beneath the folder, then as a path, then as an address.
func (r *Repos) Revision(ctx context.Context, name, branch string) (batch.Revision, error) {
	clone, ok, err := r.clone(name)
	if err != nil {
		return batch.Revision{}, err
	}
	if !ok {
		return r.remote(ctx, name, branch)
	}
	ref, commit, err := clone.Revision(ctx, branch)
	if err != nil {
		return batch.Revision{}, err
	}
	r.know(name, clone.GitDir, &clone)
	return batch.Revision{Name: name, Branch: ref, Commit: commit}, nil
}

func (r *Repos) clone(name string) (localrepo.Repo, bool, error) {
	if r.opts.Dir != "" {
		found, err := r.find()
		if err != nil {
			return localrepo.Repo{}, false, err
		}
		if clone, ok := found[name]; ok {
			return clone, true, nil
		}
	}
	r.mu.Lock()
	known, ok := r.clones[name]
	r.mu.Unlock()
	if ok {
		return known, true, nil
	}
	if isAddress(name) {
		return localrepo.Repo{}, false, nil
	}
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.opts.Base, path)
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		if r.opts.Dir != "" {
			return localrepo.Repo{}, false, fmt.Errorf("there is no repository %s beneath %s", name, r.opts.Dir)
		}
		return localrepo.Repo{}, false, fmt.Errorf("there is no folder %s; name the folder of your clones by --repos-dir", path)
	}
	clone, err := localrepo.Open(path)
	return clone, err == nil, err
}

// isAddress reports whether a name is a git address rather than a path: it has a scheme, or is in the form of scp.
func isAddress(name string) bool {
	if strings.Contains(name, "://") {
		return true
	}
	host, _, ok := strings.Cut(name, ":")
	return ok && !strings.Contains(host, "/")
}

func (r *Repos) remote(ctx context.Context, name, branch string) (batch.Revision, error) {
	resolved, err := workspace.Resolve(ctx, name, strings.TrimPrefix(branch, "refs/heads/"))
	if err != nil {
		return batch.Revision{}, err
	}
	r.know(name, resolved.URL, nil)
	ref := resolved.Ref
	if ref == "" {
		ref = branch
	}
	return batch.Revision{Name: name, Branch: ref, Commit: resolved.Commit}, nil
}

func (r *Repos) know(name, address string, clone *localrepo.Repo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addresses[name] = address
	if clone != nil {
		r.clones[name] = *clone
	}
}

// address says where a workspace is fetched from. A workspace that was taken over from an earlier run was not resolved yet.
func (r *Repos) address(ctx context.Context, ws batch.Workspace) (string, error) {
	r.mu.Lock()
	address := r.addresses[ws.Repo]
	r.mu.Unlock()
	if address != "" {
		return address, nil
	}
	if ws.Folder {
		_, err := r.Folder(ctx, ws.Repo)
		if err != nil {
			return "", err
		}
	} else if clone, ok, err := r.clone(ws.Repo); err != nil {
		return "", err
	} else if ok {
		r.know(ws.Repo, clone.GitDir, &clone)
	} else {
		r.know(ws.Repo, ws.Repo, nil)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addresses[ws.Repo], nil
}

// Files lists the files of a commit.
func (r *Repos) Files(ctx context.Context, name, commit string) ([]string, error) {
	if clone, ok, err := r.clone(name); err == nil && ok {
		return clone.Files(ctx, commit)
	}
	r.mu.Lock()
	address := r.addresses[name]
	r.mu.Unlock()
	if address == "" {
		return nil, fmt.Errorf("list files of %s: %w", name, glovebox.ErrNotFound)
	}
	return r.opts.Cache.Paths(ctx, address, commit)
}

// Grep finds files by their text. Only local clones can be searched.
func (r *Repos) Grep(ctx context.Context, name, commit string, p batch.Pattern) ([]string, error) {
	clone, ok, err := r.clone(name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("search %s: only local clones can be searched: %w", name, glovebox.ErrUnsupported)
	}
	return clone.Grep(ctx, commit, localrepo.Pattern{Text: p.Text, Regexp: p.Regexp, IgnoreCase: p.IgnoreCase})
}

// Query asks a code host.
func (r *Repos) Query(ctx context.Context, host, query string) ([]string, error) {
	if r.opts.Query == nil {
		return nil, fmt.Errorf("ask %s: no code host is known here: %w", host, glovebox.ErrUnsupported)
	}
	return r.opts.Query(ctx, host, query)
}

// maxList bounds a file of names.
const maxList = 4 << 20

// ReadList reads a file of names beside the spec.
func (r *Repos) ReadList(_ context.Context, file string) ([]byte, error) {
	root, err := os.OpenRoot(r.opts.Base)
	if err != nil {
		return nil, fmt.Errorf("read list: %w", err)
	}
	defer root.Close()
	f, err := root.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read list: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxList+1))
	if err == nil && len(text) > maxList {
		err = fmt.Errorf("%s is larger than %s: %w", file, glovebox.Size(maxList), glovebox.ErrTooLarge)
	}
	return text, err
}

// Folder records a plain folder as a repository of one commit.
func (r *Repos) Folder(ctx context.Context, path string) (batch.Revision, error) {
	dir := path
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(r.opts.Base, path)
	}
	gitDir, commit, err := localrepo.Snapshot(ctx, dir, r.opts.Snapshots)
	if err != nil {
		return batch.Revision{}, err
	}
	clone, err := localrepo.Open(gitDir)
	if err != nil {
		return batch.Revision{}, err
	}
	r.know(path, gitDir, &clone)
	return batch.Revision{Name: path, Commit: commit}, nil
}

func (r *Repos) search() (map[string]localrepo.Repo, error) {
	list, notes, err := localrepo.Find(context.Background(), r.opts.Dir)
	for _, n := range notes {
		r.opts.Note(n)
	}
	found := make(map[string]localrepo.Repo, len(list))
	for _, repo := range list {
		found[repo.Name] = repo
	}
	return found, err
}
