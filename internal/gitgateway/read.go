package gitgateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// Branch returns the full name of a branch at the repository's origin ("refs/heads/main") and its commit, which is
// in the mirror when it returns. The default branch is meant when branch is empty. What is not
// there is glovebox.ErrNotFound; so is the default branch of an empty repository.
func (g *Gateway) Branch(ctx context.Context, repo glovebox.Repository, branch string) (ref, commit string, err error) {
	m, err := g.mirror(repo)
	if err != nil {
		return "", "", err
	}
	ref = ""
	if branch != "" {
		if err := git.CheckRev(branch); err != nil {
			return "", "", err
		}
		ref = "refs/heads/" + strings.TrimPrefix(branch, "refs/heads/")
	}
	if ref, commit, err = m.branch(ctx, ref); err == nil {
		err = m.ensure(ctx, commit)
	}
	if err != nil {
		return "", "", fmt.Errorf("find branch %q of %s: %w", branch, repo.Name, err)
	}
	return ref, commit, nil
}

// branch asks the origin for a branch, or for the default one when ref is empty.
func (m *mirror) branch(ctx context.Context, ref string) (string, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	name := ref
	if name == "" {
		name = "HEAD"
	}
	args := append([]string{"ls-remote", "--symref"}, m.uploadPack()...)
	out, err := git.Output(ctx, m.remote(), append(args, "--", m.url.Remote, name)...)
	if err != nil {
		return "", "", err
	}
	commit := ""
	for line := range strings.Lines(string(out)) {
		value, of, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		target, symbolic := strings.CutPrefix(value, "ref: ")
		switch {
		case of != name:
		case symbolic && strings.HasPrefix(target, "refs/heads/") && git.CheckRev(target) == nil:
			ref = target
		case !symbolic && git.IsObjectName(value):
			commit = value
		}
	}
	if ref == "" || commit == "" {
		return "", "", fmt.Errorf("no such branch: %w", glovebox.ErrNotFound)
	}
	return ref, commit, nil
}

// GitDir returns the bare repository that holds the commit, for reading it and for making commits on top of it:
// objects may be added, refs and config may not be touched. It stays until the repository is removed.
func (g *Gateway) GitDir(ctx context.Context, repo glovebox.Repository, commit string) (string, error) {
	if err := g.Ensure(ctx, repo, commit); err != nil {
		return "", err
	}
	return g.directory(repo), nil
}
