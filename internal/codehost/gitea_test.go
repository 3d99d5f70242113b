package codehost_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox/internal/codehost"
	"github.com/glovebox-dev/glovebox/internal/codehost/codehosttest"
	"github.com/glovebox-dev/glovebox/internal/codehost/giteatest"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// clone is a local bare repository with "main", "change" and "change-2".
func clone(t *testing.T) string {
	t.Helper()
	work, bare := t.TempDir(), t.TempDir()
	run := func(o git.Options, args ...string) {
		t.Helper()
		if err := git.Run(t.Context(), o, args...); err != nil {
			t.Fatal(err)
		}
	}
	run(git.Options{}, "init", "-q", "--", work)
	o := git.Options{GitDir: filepath.Join(work, ".git"), WorkTree: work, Dir: work, Config: []string{"user.name=Ada", "user.email=ada@example.org"}}
	commit := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		run(o, "add", "-A")
		run(o, "commit", "-q", "-m", name)
	}
	commit("readme", "one\ntwo\n")
	for _, branch := range []string{"change", "change-2"} {
		run(o, "checkout", "-q", "-b", branch, "main")
		commit(branch, branch+"\n")
	}
	run(o, "checkout", "-q", "main")
	run(git.Options{Transports: []string{"file"}}, "clone", "-q", "--bare", "--upload-pack="+git.LocalUploadPack, "--", work, bare)
	return bare
}

func rev(t *testing.T, dir, name string) string {
	t.Helper()
	out, err := git.Output(t.Context(), git.Options{GitDir: dir}, "rev-parse", name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// pushAll pushes branches of a bare repository to an address, as a user would.
func pushAll(t *testing.T, dir, remote, token string, refs ...string) {
	t.Helper()
	o := git.Options{GitDir: dir, Transports: []string{"http"}, Username: "x", Password: token, AuthURL: remote}
	if err := git.Run(t.Context(), o, append([]string{"push", "-q", "--", remote}, refs...)...); err != nil {
		t.Fatal(err)
	}
}

// world is one Gitea with an organisation, its bot and a person who reviews.
type world struct {
	*giteatest.Server
	bot, ada string
	bare     string
	scenes   int
}

func newWorld(t *testing.T) *world {
	w := &world{Server: giteatest.Start(t), bare: clone(t)}
	w.bot, w.ada = w.AddUser(t, "bot"), w.AddUser(t, "ada")
	return w
}

func (w *world) host(t *testing.T) codehost.Host {
	t.Helper()
	h, err := codehost.New(codehost.Config{Kind: codehost.KindGitea, URL: w.URL, Token: w.bot})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// repo makes a repository that bot and ada may write to.
func (w *world) repo(t *testing.T, org, name string) string {
	t.Helper()
	w.API(t, "POST", "/orgs/"+org+"/repos", map[string]any{"name": name, "default_branch": "main"}, nil)
	full := org + "/" + name
	pushAll(t, w.bare, w.URL+"/"+full+".git", w.Token, "refs/heads/main", "refs/heads/change", "refs/heads/change-2")
	for _, user := range []string{"bot", "ada"} {
		w.API(t, "PUT", "/repos/"+full+"/collaborators/"+user, map[string]any{"permission": "write"}, nil)
	}
	return full
}

func (w *world) scene(t *testing.T, part string) codehosttest.Scene {
	w.scenes++
	org := fmt.Sprintf("acme-%d", w.scenes)
	w.API(t, "POST", "/orgs", map[string]any{"username": org}, nil)
	s := codehosttest.Scene{Host: w.host(t), Org: org, Repo: w.repo(t, org, "app"), Archived: w.repo(t, org, "old")}
	w.API(t, "PATCH", "/repos/"+s.Archived, map[string]any{"archived": true}, nil)
	s.Act = func(t *testing.T, id, what string) { w.act(t, s.Repo, id, what) }
	s.PushFork = func(t *testing.T, fork codehost.Repository) {
		pushAll(t, w.bare, fork.CloneURL, w.bot, "refs/heads/change:refs/heads/change")
	}
	return s
}

func (w *world) act(t *testing.T, repo, id, what string) {
	t.Helper()
	pull := "/repos/" + repo + "/pulls/" + id
	switch what {
	case "merge":
		w.APIAs(t, w.ada, "POST", pull+"/merge", map[string]any{"Do": "merge"}, nil)
	case "ask review":
		w.API(t, "POST", pull+"/requested_reviewers", map[string]any{"reviewers": []string{"ada"}}, nil)
	case "approve":
		w.APIAs(t, w.ada, "POST", pull+"/reviews", map[string]any{"event": "APPROVED", "body": "good"}, nil)
	case "request changes":
		w.APIAs(t, w.ada, "POST", pull+"/reviews", map[string]any{"event": "REQUEST_CHANGES", "body": "no"}, nil)
	default:
		state := map[string]string{"check pending": "pending", "check passed": "success", "check failed": "failure"}[what]
		var p struct{ Head struct{ SHA string } }
		w.API(t, "GET", pull, nil, &p)
		w.API(t, "POST", "/repos/"+repo+"/statuses/"+p.Head.SHA, map[string]any{"state": state, "context": "ci"}, nil)
	}
}

func TestGitea(t *testing.T) {
	w := newWorld(t)
	codehosttest.Run(t, w.scene)
}
