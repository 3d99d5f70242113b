package changeset_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
	"github.com/glovebox-dev/glovebox/internal/codehost"
	"github.com/glovebox-dev/glovebox/internal/gitgateway"
)

// origins are real repositories that stand for those of the code host.
type origins struct {
	*gitgateway.Gateway
	dir string
}

// at is the repository as the gateway is to fetch it.
func (o origins) at(repo glovebox.Repository) glovebox.Repository {
	repo.URL = filepath.Join(o.dir, filepath.Base(repo.URL))
	return repo
}

func (o origins) Branch(ctx context.Context, repo glovebox.Repository, branch string) (string, string, error) {
	return o.Gateway.Branch(ctx, o.at(repo), branch)
}

func (o origins) GitDir(ctx context.Context, repo glovebox.Repository, commit string) (string, error) {
	return o.Gateway.GitDir(ctx, o.at(repo), commit)
}

func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// With real git: three repositories at the gateway, two of which hold what the query looks for; branches are pushed to
// their origins, moved by a second run, and left alone where somebody else has pushed.
func TestRealRepositories(t *testing.T) {
	dir := t.TempDir()
	gateway, err := gitgateway.New(gitgateway.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(o *changeset.Options) {
		o.Mirrors = origins{gateway, dir}
		o.Push = func(ctx context.Context, p codehost.PushOptions) (string, error) {
			if p.Token != "secret" {
				t.Errorf("pushed with token %q", p.Token)
			}
			p.Transports, p.Token, p.Username = []string{"file"}, "", ""
			return codehost.Push(ctx, p)
		}
	})
	f.three()
	f.host.branches = func(repo, branch string) (string, bool) {
		cmd := exec.Command("git", "--git-dir="+filepath.Join(dir, filepath.Base(repo)), "rev-parse", "--verify", "--quiet", "refs/heads/"+branch)
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err == nil
	}
	for _, name := range []string{"a", "b", "c"} {
		work := t.TempDir()
		git(t, work, "init", "-q", "-b", "trunk")
		text := "old(api)\n"
		if name == "c" {
			text = "nothing\n"
		}
		if err := os.WriteFile(filepath.Join(work, "main.txt"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		git(t, work, "add", ".")
		git(t, work, "commit", "-q", "-m", "one")
		git(t, dir, "clone", "-q", "--bare", work, filepath.Join(dir, name))
		f.host.mu.Lock()
		f.host.clones["acme/"+name] = filepath.Join(dir, name)
		f.host.mu.Unlock()
	}
	to := "new"
	defer f.execute(func(job glovebox.Job) outcome {
		work := t.TempDir()
		git(t, work, "clone", "-q", filepath.Join(dir, filepath.Base(job.Repo.Name)), "w")
		work = filepath.Join(work, "w")
		git(t, work, "checkout", "-q", job.Repo.Commit)
		if err := os.WriteFile(filepath.Join(work, "main.txt"), []byte(to+"(api)\n"), 0o644); err != nil {
			t.Error(err)
		}
		return outcome{diff: git(t, work, "diff", "--binary", "--full-index") + "\n"}
	})()
	in := glovebox.BatchRunInput{Spec: `version: 2
name: rename
on: [{repositoriesMatchingQuery: "repo:^acme/ old(api)"}]
steps: [{run: "sed -i s/old/new/ main.txt", image: host}]
changesetTemplate:
  title: Rename in ${{ repository.name }}
  branch: batch/rename
  commit: {message: "Rename\n\nAll of it", author: {name: Ada, email: ada@example.org}}
  published: true
`}
	run := f.ended(f.create("", in).ID)
	if run.State != glovebox.BatchRunCompleted || run.Workspaces[glovebox.StateCompleted] != 2 {
		t.Fatalf("run %+v", run)
	}
	change := f.apply(run.ID)
	f.states(change.ID, map[string]glovebox.ChangesetState{"acme/a": glovebox.ChangesetOpen, "acme/b": glovebox.ChangesetOpen})
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if got := git(t, a, "show", "batch/rename:main.txt"); got != "new(api)" {
		t.Errorf("pushed %q", got)
	}
	if got := git(t, a, "log", "--format=%an %ae %s", "trunk..batch/rename"); got != "Ada ada@example.org Rename" {
		t.Errorf("commits %q", got)
	}
	if r, _ := f.host.request("acme/a", "batch/rename"); r.Title != "Rename in acme/a" || r.BaseRef != "trunk" {
		t.Errorf("request %+v", r)
	}
	// Somebody adds a commit to b's branch.
	work := t.TempDir()
	git(t, work, "clone", "-q", "-b", "batch/rename", b, "w")
	git(t, filepath.Join(work, "w"), "commit", "-q", "--allow-empty", "-m", "theirs")
	git(t, filepath.Join(work, "w"), "push", "-q", "origin", "HEAD")
	theirs := git(t, b, "rev-parse", "batch/rename")
	to = "newer"
	run = f.ended(f.create("", in).ID)
	f.apply(run.ID)
	f.states(change.ID, map[string]glovebox.ChangesetState{"acme/b": glovebox.ChangesetFailed})
	f.until("the push", func() bool { return git(t, a, "show", "batch/rename:main.txt") == "newer(api)" })
	if got := git(t, a, "rev-list", "--count", "trunk..batch/rename"); got != "1" {
		t.Errorf("%s commits on the branch, want 1", got)
	}
	if got := git(t, b, "rev-parse", "batch/rename"); got != theirs {
		t.Errorf("somebody's commit was overwritten by %s", got)
	}
	if text := f.changesets(change.ID)["acme/b"].Error; !strings.Contains(text, theirs) {
		t.Errorf("error %q", text)
	}
}
