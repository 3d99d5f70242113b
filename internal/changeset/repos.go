package changeset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// repos is how the spec of a run sees repositories: those of the git gateway that its tenant may use.
type repos struct {
	b      *Batches
	tenant string
	files  runFiles
	all    func() (map[string]glovebox.Repository, error)

	mu    sync.Mutex
	notes []string
}

var _ batch.Repos = (*repos)(nil)

func (b *Batches) reposOf(ctx context.Context, tenant string, files []glovebox.File) *repos {
	r := &repos{b: b, tenant: tenant, files: files}
	r.all = sync.OnceValues(func() (map[string]glovebox.Repository, error) {
		list, err := b.Repositories.List(ctx)
		if err != nil {
			return nil, err
		}
		known := map[string]glovebox.Repository{}
		for _, repo := range list {
			if repo.Tenant == "" || repo.Tenant == tenant {
				known[repo.Name] = repo
			}
		}
		return known, nil
	})
	return r
}

// Names implements batch.Repos.
func (r *repos) Names(context.Context) ([]string, error) {
	known, err := r.all()
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// find returns the repository of a name, or that with an address: no other address is gone to.
func (r *repos) find(name string) (glovebox.Repository, error) {
	known, err := r.all()
	if err != nil {
		return glovebox.Repository{}, err
	}
	if repo, ok := known[name]; ok {
		return repo, nil
	}
	if wanted, err := git.ParseURL(name); err == nil {
		for _, repo := range known {
			if have, err := git.ParseURL(repo.URL); err == nil && sameRemote(have, wanted) {
				return repo, nil
			}
		}
	}
	return glovebox.Repository{}, fmt.Errorf("not at the git gateway: an admin adds it with \"glovebox repo add\": %w", glovebox.ErrNotFound)
}

func sameRemote(a, b git.URL) bool {
	clean := func(u git.URL) string {
		return strings.TrimSuffix(strings.TrimSuffix(u.Remote, "/"), ".git")
	}
	return a.Scheme == b.Scheme && clean(a) == clean(b)
}

// Revision implements batch.Repos.
func (r *repos) Revision(ctx context.Context, name, branch string) (batch.Revision, error) {
	repo, err := r.find(name)
	if err != nil {
		return batch.Revision{}, err
	}
	ref, commit, err := r.b.Mirrors.Branch(ctx, repo, branch)
	switch {
	case errors.Is(err, glovebox.ErrNotFound) && branch == "":
		return batch.Revision{}, fmt.Errorf("it has no commit on a default branch: %w", glovebox.ErrNotFound)
	case errors.Is(err, glovebox.ErrNotFound):
		return batch.Revision{}, fmt.Errorf("it has no branch %.100q: %w", branch, glovebox.ErrNotFound)
	case err != nil && ctx.Err() == nil:
		r.b.Logger.Warn("read repository for a batch change", "repo", repo.Name, "error", err)
		return batch.Revision{}, errors.New("it can't be read; the server's log says why")
	case err != nil:
		return batch.Revision{}, err
	}
	return batch.Revision{Name: repo.Name, Branch: ref, Commit: commit}, nil
}

// mirror is the bare repository with a commit.
func (r *repos) mirror(ctx context.Context, name, commit string) (git.Options, error) {
	repo, err := r.find(name)
	if err != nil {
		return git.Options{}, err
	}
	dir, err := r.b.Mirrors.GitDir(ctx, repo, commit)
	return git.Options{GitDir: dir}, err
}

// Files implements batch.Repos.
func (r *repos) Files(ctx context.Context, name, commit string) ([]string, error) {
	opts, err := r.mirror(ctx, name, commit)
	if err != nil {
		return nil, err
	}
	return git.Files(ctx, opts, commit)
}

// Grep implements batch.Repos.
func (r *repos) Grep(ctx context.Context, name, commit string, p batch.Pattern) ([]string, error) {
	opts, err := r.mirror(ctx, name, commit)
	if err != nil {
		return nil, err
	}
	if !p.Regexp && !p.IgnoreCase {
		text := []byte(p.Text)
		return git.Grep(ctx, opts, commit, func(content []byte) bool { return bytes.Contains(content, text) })
	}
	expression, err := p.Compile()
	if err != nil {
		return nil, err
	}
	return git.Grep(ctx, opts, commit, expression.Match)
}

// Query implements batch.Repos. What the code host's token sees and the tenant may not use is counted, not named.
func (r *repos) Query(ctx context.Context, host, query string) ([]string, error) {
	h := r.b.host(host)
	if h == nil {
		return nil, fmt.Errorf("the server has no code host %.60q: its operator adds one by --code-host", host)
	}
	found, err := h.Client.Search(ctx, query)
	if err != nil {
		return nil, err
	}
	known, err := r.all()
	if err != nil {
		return nil, err
	}
	byName := map[string]string{}
	for _, repo := range known {
		if at, err := r.b.placeOf(repo); err == nil && at.host == h {
			byName[strings.ToLower(at.name)] = repo.Name
		}
	}
	var names []string
	for _, f := range found {
		if name, ok := byName[strings.ToLower(f.Name)]; ok {
			names = append(names, name)
		}
	}
	if left := len(found) - len(names); left > 0 {
		r.note(fmt.Sprintf("code host %s: %d of %d repositories found are not at the git gateway and were left out", host, left, len(found)))
	}
	return names, nil
}

func (r *repos) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, text)
}

// ReadList implements batch.Repos.
func (r *repos) ReadList(_ context.Context, file string) ([]byte, error) { return r.files.read(file) }

// Folder implements batch.Repos: there are no local folders at a server.
func (r *repos) Folder(context.Context, string) (batch.Revision, error) {
	return batch.Revision{}, errors.New("a local folder is for runs without a server only")
}
