package codehost_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
	// Gitea notices after the push, not with it, that the repository is empty no more, and refuses requests until then.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for try := 0; ; try++ {
		var r struct{ Empty bool }
		if w.API(t, "GET", "/repos/"+full, nil, &r); !r.Empty {
			break
		}
		if try == 600 {
			t.Fatalf("%s is still empty after a push", full)
		}
		<-tick.C
	}
	for _, user := range []string{"bot", "ada"} {
		w.API(t, "PUT", "/repos/"+full+"/collaborators/"+user, map[string]any{"permission": "write"}, nil)
	}
	return full
}

func (w *world) scene(t *testing.T, part string) codehosttest.Scene {
	w.scenes++
	org := fmt.Sprintf("acme-%d", w.scenes)
	w.API(t, "POST", "/orgs", map[string]any{"username": org}, nil)
	s := codehosttest.Scene{Host: w.host(t), Org: org, Repo: w.repo(t, org, "app"), Archived: org + "/old"}
	if part == "repository" || part == "search" {
		w.API(t, "POST", "/orgs/"+org+"/repos", map[string]any{"name": "old", "default_branch": "main"}, nil)
		w.API(t, "PATCH", "/repos/"+s.Archived, map[string]any{"archived": true}, nil)
	}
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
	t.Run("push", func(t *testing.T) { giteaPush(t, w) })
	t.Run("webhook", func(t *testing.T) { giteaWebhook(t, w) })
	t.Run("errors", func(t *testing.T) { giteaErrors(t, w) })
	t.Run("changes requested", func(t *testing.T) {
		s := w.scene(t, "reviews")
		r, err := s.Host.Open(t.Context(), s.Repo, codehost.Change{Title: "t", Branch: "change", Base: "main"})
		if err != nil {
			t.Fatal(err)
		}
		s.Act(t, r.ID, "request changes")
		if r, err = s.Host.Get(t.Context(), s.Repo, r.ID); err != nil || r.Review != codehost.ReviewChangesRequested {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// giteaPush publishes a patch by the bot's token, updates it, and leaves a person's commit alone.
func giteaPush(t *testing.T, w *world) {
	s := w.scene(t, "push")
	repo, err := s.Host.Repository(t.Context(), s.Repo)
	if err != nil {
		t.Fatal(err)
	}
	o := pushOptions(t, repo.CloneURL, w.bare)
	o.Transports, o.Username, o.Token = nil, codehost.PushUsername(codehost.KindGitea), w.bot
	first, err := codehost.Push(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := codehost.Change{Title: "t", Branch: o.Branch, Base: repo.DefaultBranch}
	r, err := s.Host.Open(t.Context(), s.Repo, c)
	if err != nil || r.Head != first {
		t.Fatalf("head %s, want %s: %v", r.Head, first, err)
	}
	o.Expect, o.Patch = first, []byte(strings.ReplaceAll(patch, "three", "four"))
	second, err := codehost.Push(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	// A person pushes on top of ours.
	theirs := clone(t)
	far := git.Options{GitDir: theirs, Transports: []string{"http"}, Username: "x", Password: w.ada, AuthURL: repo.CloneURL,
		Env: []string{"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org"}}
	if err := git.Run(t.Context(), far, "fetch", "-q", "--", repo.CloneURL, "refs/heads/"+o.Branch+":refs/heads/ours"); err != nil {
		t.Fatal(err)
	}
	out, err := git.Output(t.Context(), far, "commit-tree", "-p", second, "-m", "mine", second+"^{tree}")
	if err != nil {
		t.Fatal(err)
	}
	mine := strings.TrimSpace(string(out))
	pushAll(t, theirs, repo.CloneURL, w.ada, mine+":refs/heads/"+o.Branch)
	o.Expect, o.Patch = second, []byte(strings.ReplaceAll(patch, "three", "five"))
	_, err = codehost.Push(t.Context(), o)
	var foreign *codehost.ForeignCommitsError
	if !errors.As(err, &foreign) || foreign.Head != mine || foreign.Author != "Ada <ada@example.org>" {
		t.Errorf("pushed over a person's commit: %v", err)
	}
	if r, err = s.Host.Get(t.Context(), s.Repo, r.ID); err != nil || r.Head != mine {
		t.Errorf("head %s, want %s: %v", r.Head, mine, err)
	}
}

// giteaWebhook has Gitea deliver to a listener of ours.
func giteaWebhook(t *testing.T, w *world) {
	s := w.scene(t, "webhook")
	events := make(chan codehost.Event, 10)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, codehost.MaxWebhook+1))
		if err != nil {
			t.Error(err)
		}
		e, err := codehost.ParseWebhook(codehost.KindGitea, r.Header, body, secret)
		if err != nil {
			t.Errorf("%v: %s", err, body)
		}
		if _, err := codehost.ParseWebhook(codehost.KindGitea, r.Header, body, "other"); err == nil {
			t.Error("another secret was accepted")
		}
		select {
		case events <- e:
		default:
		}
	}))
	t.Cleanup(server.Close)
	w.API(t, "POST", "/repos/"+s.Repo+"/hooks", map[string]any{"type": "gitea", "active": true, "events": []string{"pull_request"},
		"config": map[string]string{"url": server.URL, "content_type": "json", "secret": secret}}, nil)
	r, err := s.Host.Open(t.Context(), s.Repo, codehost.Change{Title: "t", Branch: "change", Base: "main"})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-events:
		if want := (codehost.Event{Kind: codehost.EventRequest, Repo: s.Repo, ID: r.ID, Branch: "change"}); e != want {
			t.Errorf("%+v, want %+v", e, want)
		}
	case <-time.After(time.Minute):
		t.Error("no delivery in a minute")
	}
}

// giteaErrors holds the words that users read to what the host says.
func giteaErrors(t *testing.T, w *world) {
	s := w.scene(t, "errors")
	for token, want := range map[string]string{"wrong": "the token is wrong", "": "does not exist, or the token may not see it|the token is wrong"} {
		h, err := codehost.New(codehost.Config{Kind: codehost.KindGitea, URL: w.URL, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.Open(t.Context(), s.Repo, codehost.Change{Title: "t", Branch: "change", Base: "main"})
		if err == nil || !slices.ContainsFunc(strings.Split(want, "|"), func(part string) bool { return strings.Contains(err.Error(), part) }) {
			t.Errorf("token %q: %v, want %s", token, err, want)
		}
	}
	o := pushOptions(t, w.URL+"/"+s.Repo+".git", w.bare)
	o.Transports, o.Username, o.Token = nil, "token", "wrong-token"
	if _, err := codehost.Push(t.Context(), o); err == nil || strings.Contains(err.Error(), "wrong-token") {
		t.Errorf("push with a wrong token: %v", err)
	}
	w.API(t, "PATCH", "/repos/"+s.Repo, map[string]any{"archived": true}, nil)
	_, err := s.Host.Open(t.Context(), s.Repo, codehost.Change{Title: "t", Branch: "change", Base: "main"})
	if err == nil || !strings.Contains(err.Error(), "archived") {
		t.Errorf("archived: %v", err)
	}
}
