package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/glovebox-dev/glovebox/internal/git"
)

// Resolved is a repository and commit that a local run named by a path or URL and a revision.
type Resolved struct {
	// URL is what Options.URL takes, Commit the full name.
	URL, Commit string
	// Ref is the full name of the branch that was found in a remote repository, as far as it told one.
	Ref string
	// Notes are remarks for the user, such as that uncommitted changes are left out.
	Notes []string
}

// Resolve finds the commit of a revision, HEAD when empty, in a repository named by a
// path or an address. It changes nothing and fetches nothing.
func Resolve(ctx context.Context, repo, rev string) (Resolved, error) {
	if rev != "" {
		if err := git.CheckRev(rev); err != nil {
			return Resolved{}, err
		}
	}
	if info, err := os.Stat(repo); err == nil && info.IsDir() {
		return resolvePath(ctx, repo, rev)
	}
	address, err := git.ParseURL(repo)
	if err != nil {
		return Resolved{}, fmt.Errorf("%w (and there is no folder of that name)", err)
	}
	if address.Scheme == "file" {
		return Resolved{}, fmt.Errorf("resolve repository: there is no folder %s", address.Remote)
	}
	ref, commit, err := resolveRemote(ctx, address, rev)
	return Resolved{URL: repo, Commit: commit, Ref: ref}, err
}

func resolvePath(ctx context.Context, path, rev string) (Resolved, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Resolved{}, fmt.Errorf("resolve repository: %w", err)
	}
	opts := git.Options{Dir: path}
	out, err := git.Output(ctx, opts, "rev-parse", "--path-format=absolute", "--git-common-dir")
	if err != nil {
		return Resolved{}, fmt.Errorf("%s is not a git repository: %w", path, err)
	}
	gitDir := strings.TrimSuffix(string(out), "\n")
	if rev == "" {
		rev = "HEAD"
	}
	out, err = git.Output(ctx, opts, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	if err != nil {
		return Resolved{}, fmt.Errorf("%s has no commit %s: %w", path, rev, err)
	}
	r := Resolved{URL: gitDir, Commit: strings.TrimSpace(string(out))}
	if dirty, err := dirty(ctx, opts); err != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("can't tell whether %s has uncommitted changes; the job sees commit %s only", path, short(r.Commit)))
	} else if dirty {
		r.Notes = append(r.Notes, fmt.Sprintf("%s has uncommitted changes, which the job does not see: it works on commit %s; commit them first if you want them included", path, short(r.Commit)))
	}
	return r, nil
}

// dirty reports uncommitted changes. The repository's own filters are switched off: a
// foreign checkout must not run anything by being looked at.
func dirty(ctx context.Context, opts git.Options) (bool, error) {
	out, err := git.Output(ctx, opts, "rev-parse", "--is-inside-work-tree")
	if err != nil || strings.TrimSpace(string(out)) != "true" {
		return false, err
	}
	names, err := git.Output(ctx, opts, "config", "-z", "--name-only", "--get-regexp", `^filter\.`)
	var failed *git.CommandError
	if err != nil && (!errors.As(err, &failed) || failed.Stderr != "") {
		return false, err
	}
	for name := range strings.SplitSeq(string(names), "\x00") {
		if strings.ContainsAny(name, "=\n") {
			return false, fmt.Errorf("filter %q", name)
		}
		if strings.HasSuffix(name, ".required") {
			opts.Config = append(opts.Config, name+"=false")
		} else if name != "" {
			opts.Config = append(opts.Config, name+"=")
		}
	}
	out, err = git.Output(ctx, opts, "status", "--porcelain", "--no-renames", "--ignore-submodules=all")
	return len(out) > 0, err
}

func resolveRemote(ctx context.Context, address git.URL, rev string) (ref, commit string, err error) {
	if git.IsObjectName(rev) {
		return "", rev, nil
	}
	opts := git.Options{Transports: []string{address.Scheme}, Username: address.Username, Password: address.Password, AuthURL: address.Remote}
	wanted := []string{"HEAD"}
	if rev != "" && rev != "HEAD" {
		wanted = []string{"refs/tags/" + rev + "^{}", "refs/tags/" + rev, "refs/heads/" + rev, rev}
	}
	args := append([]string{"ls-remote", "-q", "--symref", "--", address.Remote}, wanted...)
	out, err := git.Output(ctx, opts, args...)
	if err != nil {
		return "", "", fmt.Errorf("resolve %s: %w", git.Redact(address.Remote), err)
	}
	refs, head := map[string]string{}, ""
	for line := range strings.SplitSeq(string(out), "\n") {
		object, name, ok := strings.Cut(line, "\t")
		if target, symbolic := strings.CutPrefix(object, "ref: "); symbolic && name == "HEAD" && git.CheckRev(target) == nil {
			head = target
		} else if ok && git.IsObjectName(object) {
			refs[name] = object
		}
	}
	for _, name := range wanted {
		if object := refs[name]; object != "" {
			if name != "HEAD" {
				head = name
			}
			return strings.TrimSuffix(head, "^{}"), object, nil
		}
	}
	return "", "", fmt.Errorf("%s has no branch or tag %q; for a commit give its full name", git.Redact(address.Remote), rev)
}

func short(commit string) string { return commit[:min(10, len(commit))] }
