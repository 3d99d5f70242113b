package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/codehost/giteatest"
)

// The scopes that docs/code-hosts.md asks a Gitea's token for.
const giteaScopes = "read:user,read:organization,write:repository,write:issue"

// hub is a lab with a Gitea, whose organisation acme has repositories, and a "glovebox dev" that publishes there.
type hub struct {
	*lab
	gitea *giteatest.Server
	// bot is the token that glovebox has; ada is a person who works on the same repositories.
	bot, ada string
	dev      *process
	env      []string
}

const webhookSecret = "the-webhook-secret-of-these-tests"

// files are those of every repository at first.
var giteaFiles = map[string]string{
	"README.md":      "# %s\n\nGrüße, and a line\r\nthat ends otherwise.\n",
	"src/main.go":    "package main // %s\n\nfunc main() {}\n",
	"docs/a b/ü.txt": "a name with a space and a letter of its own\n",
	"bin/binary":     "\x00\x01\x02\xff\xfe%s",
	"old.conf":       "key = value",
}

func newHub(t *testing.T, repos ...string) *hub {
	h := &hub{gitea: giteatest.Start(t)}
	h.lab = newLab(t, "fake")
	h.ada = h.gitea.AddUser(t, "ada")
	h.gitea.AddUser(t, "bot")
	h.bot = h.gitea.NewToken(t, "bot", "glovebox", giteaScopes)
	h.gitea.API(t, "POST", "/orgs", map[string]any{"username": "acme"}, nil)
	h.write("token", h.bot+"\n")
	h.write("secret", webhookSecret+"\n")
	h.dev = h.start(nil, "dev", "--json", "--runtime", "fake", "--data", filepath.Join(h.dir, "dev"), "--slots", "3", "--code-host",
		"forge=gitea,"+h.gitea.URL+",token-file="+filepath.Join(h.dir, "token")+",webhook-secret-file="+filepath.Join(h.dir, "secret"))
	h.until("dev answers", func() bool { return strings.Contains(h.dev.out.String(), "\n") })
	var ready struct{ URL, Token string }
	if err := json.Unmarshal([]byte(h.dev.out.String()), &ready); err != nil {
		t.Fatal(err)
	}
	h.env = []string{"GLOVEBOX_SERVER=" + ready.URL, "GLOVEBOX_TOKEN=" + ready.Token}
	h.gitea.API(t, "POST", "/orgs/acme/hooks", map[string]any{"type": "gitea", "active": true, "events": []string{"pull_request", "push", "status"},
		"config": map[string]string{"url": ready.URL + "/api/v1/webhooks/forge", "content_type": "json", "secret": webhookSecret}}, nil)
	for _, name := range repos {
		h.repo(name)
	}
	return h
}

// repo makes a private repository at Gitea and registers it at the gateway by its clone URL.
func (h *hub) repo(name string) {
	h.Helper()
	full := "acme/" + name
	h.gitea.API(h, "POST", "/orgs/acme/repos", map[string]any{"name": name, "default_branch": "main", "private": true}, nil)
	for _, user := range []string{"bot", "ada"} {
		h.gitea.API(h, "PUT", "/repos/"+full+"/collaborators/"+user, map[string]any{"permission": "write"}, nil)
	}
	for path, text := range giteaFiles {
		if strings.Contains(text, "%s") {
			text = fmt.Sprintf(text, full)
		}
		h.write(filepath.Join("first", name, path), text)
	}
	dir := filepath.Join("first", name)
	h.git(dir, "init", "-q", "-b", "main")
	h.git(dir, "add", "-A")
	h.git(dir, "commit", "-q", "-m", "first")
	h.git(dir, "push", "-q", h.address("ada", h.ada, name), "main")
	h.glovebox(0, "repo", "add", full, h.address("bot", h.bot, name))
}

// address is a repository's clone URL with credentials.
func (h *hub) address(user, token, name string) string {
	return strings.Replace(h.gitea.URL, "://", "://"+user+":"+token+"@", 1) + "/acme/" + name + ".git"
}

func (h *hub) write(name, text string) {
	h.Helper()
	path := filepath.Join(h.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		h.Fatal(err)
	}
}

// git runs git as a person would, in a folder of the lab.
func (h *hub) git(dir string, args ...string) string {
	h.Helper()
	cmd := exec.Command("git", append([]string{"-C", filepath.Join(h.dir, dir), "-c", "user.name=Ada", "-c", "user.email=ada@example.org"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.Fatalf("git %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// glovebox runs a command, wants that exit code and returns both of its outputs.
func (h *hub) glovebox(code int, args ...string) (out, log string) {
	h.Helper()
	p := h.start(h.env, args...)
	p.exits(code, patience)
	return p.out.String(), p.log.String()
}

// changesets is what "batch show" says of a batch change, by repository.
func (h *hub) changesets(name string) map[string]glovebox.Changeset {
	h.Helper()
	out, _ := h.glovebox(0, "batch", "show", name, "--json")
	var shown struct{ Changesets []glovebox.Changeset }
	if err := json.Unmarshal([]byte(out), &shown); err != nil {
		h.Fatal(err)
	}
	by := map[string]glovebox.Changeset{}
	for _, c := range shown.Changesets {
		by[strings.TrimPrefix(c.Repo, "acme/")] = c
	}
	return by
}

// pull is a pull request as Gitea's API tells it.
type pull struct {
	Number               int
	Title, Body, State   string
	Merged               bool
	Updated              time.Time `json:"updated_at"`
	User                 struct{ Login string }
	Head, Base           struct{ Ref, SHA string }
	Additions, Deletions int
}

// pulls returns all pull requests of a repository, open and closed, oldest first.
func (h *hub) pulls(name string) []pull {
	h.Helper()
	var list []pull
	h.gitea.API(h, "GET", "/repos/acme/"+name+"/pulls?state=all&sort=oldest", nil, &list)
	return list
}

// pull returns the only pull request of a repository.
func (h *hub) pull(name string) pull {
	h.Helper()
	list := h.pulls(name)
	if len(list) != 1 {
		h.Fatalf("%s has %d pull requests, want 1: %+v", name, len(list), list)
	}
	return list[0]
}

// tip is the commit of a branch at Gitea.
func (h *hub) tip(name, branch string) string {
	h.Helper()
	var b struct{ Commit struct{ ID string } }
	h.gitea.API(h, "GET", "/repos/acme/"+name+"/branches/"+branch, nil, &b)
	return b.Commit.ID
}

// noteSpec is the batch spec of these tests; fields not given are as in the first.
type noteSpec struct {
	Name, On, Text, Title, Published string
	Fork                             bool
}

func (s noteSpec) yaml() string {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&s.Name, "note")
	set(&s.On, `{repositoriesMatching: "acme/*"}`)
	set(&s.Text, "one")
	set(&s.Title, "Note")
	set(&s.Published, `[{"acme/*": true}, {"acme/lib": draft}]`)
	return `version: 2
name: ` + s.Name + `
on: [` + s.On + `]
image: host
network: none
limits: {memory: 256M, disk: 64M}
steps:
  - run: |
      append src/main.go // ` + s.Text + ` of ${{ repository.name }}
      write src/added.txt ` + s.Text + `
      rm old.conf
changesetTemplate:
  title: "` + s.Title + ` in ${{ repository.name }}"
  body: "What ` + s.Title + ` is *for*.\n\nIn ${{ join steps.modified_files \", \" }}."
  branch: e2e/` + s.Name + `
  commit: {message: "` + s.Text + ` by a batch\n\nWith a body.", author: {name: Grace, email: grace@example.org}}
  published: ` + s.Published + `
  fork: ` + fmt.Sprint(s.Fork) + `
`
}

// wants holds a pull request and the tree of its branch to a spec.
func (h *hub) wants(name string, s noteSpec, draft bool) pull {
	h.Helper()
	p := h.pull(name)
	prefix := ""
	if draft {
		prefix = "WIP: "
	}
	want := pull{Number: p.Number, Title: prefix + s.Title + " in acme/" + name, Body: "What " + s.Title + " is *for*.\n\nIn src/main.go.", State: "open", Updated: p.Updated,
		Head: p.Head, Base: p.Base, Additions: p.Additions, Deletions: p.Deletions}
	want.User.Login, want.Head.Ref, want.Base.Ref = "bot", "e2e/"+s.Name, "main"
	if p != want {
		h.Errorf("pull request of %s\n%+v, want\n%+v", name, p, want)
	}
	if tip := h.tip(name, "e2e/"+s.Name); p.Head.SHA != tip {
		h.Errorf("%s: head %s, the branch is at %s", name, p.Head.SHA, tip)
	}
	look := filepath.Join("look", name)
	h.write(filepath.Join(look, ".keep"), "")
	h.git(look, "init", "-q")
	h.git(look, "fetch", "-q", h.address("ada", h.ada, name), "+refs/heads/*:refs/heads/far/*")
	commit := h.git(look, "log", "-1", "--format=%an <%ae>|%cn|%P|%B", p.Head.SHA)
	if want := "Grace <grace@example.org>|Grace|" + p.Base.SHA + "|" + s.Text + " by a batch\n\nWith a body.\n\n"; commit != want {
		h.Errorf("%s: commit %q, want %q", name, commit, want)
	}
	if got, want := h.git(look, "diff", "--name-status", p.Base.SHA, p.Head.SHA), "D\told.conf\nA\tsrc/added.txt\nM\tsrc/main.go\n"; got != want {
		h.Errorf("%s: the branch changes\n%s", name, got)
	}
	if got, want := h.git(look, "show", p.Head.SHA+":src/main.go"), fmt.Sprintf("package main // acme/%s\n\nfunc main() {}\n// %s of acme/%[1]s\n", name, s.Text); got != want {
		h.Errorf("%s: src/main.go is %q", name, got)
	}
	return p
}

// TestGitea takes a batch change through its life, with the command line on one side and what Gitea's API says on the other.
func TestGitea(t *testing.T) {
	h := newHub(t, "app", "lib", "tool")
	first := h.publishes()
	h.repeats(first)
	second := h.changes(first)
	h.respects(second)
	h.merges()
	h.checks()
	h.imports()
	h.narrows()
	h.closes()
	h.forks()
}

func (h *hub) apply(code int, s noteSpec, flags ...string) (out, log string) {
	h.Helper()
	h.write(s.Name+".yaml", s.yaml())
	return h.glovebox(code, append([]string{"batch", "apply", s.Name + ".yaml"}, flags...)...)
}

// contains wants texts in a command's output.
func (h *hub) contains(out string, wants ...string) {
	h.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			h.Errorf("no %q in\n%s", want, out)
		}
	}
}

func (h *hub) publishes() noteSpec {
	s := noteSpec{Name: "note", Text: "one", Title: "Note"}
	h.write("note.yaml", s.yaml())
	h.glovebox(0, "batch", "preview", "note.yaml", "-o", "patches")
	out, _ := h.glovebox(0, "batch", "apply", "note.yaml", "--dry-run")
	h.contains(out, "publish\tacme/app\te2e/note\tNote in acme/app", "publish_draft\tacme/lib\te2e/note")
	if n := len(h.pulls("app")) + len(h.pulls("lib")) + len(h.pulls("tool")); n != 0 {
		h.Fatalf("%d pull requests before apply", n)
	}
	out, _ = h.apply(0, s, "--wait")
	h.contains(out, "open\tacme/app\te2e/note\t"+h.gitea.URL+"/acme/app/pulls/1", "draft\tacme/lib\te2e/note", "open\tacme/tool")
	for _, name := range []string{"app", "lib", "tool"} {
		p := h.wants(name, s, name == "lib")
		// The patch of the preview, applied to a clone, is the branch.
		clone := filepath.Join("clone", name)
		h.git(".", "clone", "-q", h.address("ada", h.ada, name), clone)
		h.git(clone, "apply", "--index", filepath.Join(h.dir, "patches", "acme", name+".patch"))
		h.git(clone, "fetch", "-q", "origin", "e2e/note")
		h.git(clone, "diff", "--cached", "--exit-code", p.Head.SHA)
		if c := h.changesets("note")[name]; c.Head != p.Head.SHA || c.ExternalID != fmt.Sprint(p.Number) || c.Host != "forge" {
			h.Errorf("%s: changeset %+v of pull request %+v", name, c, p)
		}
	}
	return s
}

func (h *hub) repeats(s noteSpec) {
	before := map[string]pull{}
	for _, name := range []string{"app", "lib", "tool"} {
		before[name] = h.pull(name)
	}
	out, _ := h.apply(0, s, "--dry-run")
	h.contains(out, "nothing\tacme/app", "nothing\tacme/lib", "nothing\tacme/tool")
	h.apply(0, s, "--wait")
	for name, was := range before {
		if now := h.pull(name); now != was {
			h.Errorf("%s: applied again it became\n%+v, was\n%+v", name, now, was)
		}
	}
}

func (h *hub) changes(first noteSpec) noteSpec {
	was := map[string]pull{}
	for _, name := range []string{"app", "lib", "tool"} {
		was[name] = h.pull(name)
	}
	s := first
	s.Text, s.Title, s.Published = "two", "Better note", "true"
	out, _ := h.apply(0, s, "--wait")
	h.contains(out, "push,update\tacme/app", "push,update\tacme/lib", "open\tacme/lib")
	for name, before := range was {
		if p := h.wants(name, s, false); p.Number != before.Number || p.Head.SHA == before.Head.SHA {
			h.Errorf("%s: %+v after %+v", name, p, before)
		}
	}
	// Words alone leave the branch as it is.
	was["app"] = h.pull("app")
	s.Title = "Other words"
	h.apply(0, s, "--wait")
	if p := h.wants("app", s, false); p.Head.SHA != was["app"].Head.SHA {
		h.Error("a title moved the branch")
	}
	return s
}

// respects: a person's commit on a branch of ours is never lost.
func (h *hub) respects(s noteSpec) {
	ours := h.tip("lib", "e2e/note")
	h.git(".", "clone", "-q", "-b", "e2e/note", h.address("ada", h.ada, "lib"), "theirs")
	h.write("theirs/theirs.txt", "by hand\n")
	h.git("theirs", "add", "-A")
	h.git("theirs", "commit", "-q", "-m", "by hand")
	h.git("theirs", "push", "-q")
	theirs := h.tip("lib", "e2e/note")
	s.Text, s.Title = "three", "Third note"
	for range 2 { // applied again it is no different
		out, _ := h.apply(1, s, "--wait")
		h.contains(out, "failed\tacme/lib", "open\tacme/app", "open\tacme/tool")
		c := h.changesets("note")["lib"]
		h.contains(c.Error, theirs[:7], "Ada <ada@example.org>", "merge or remove those commits, then apply again")
		if got := h.tip("lib", "e2e/note"); got != theirs || got == ours {
			h.Fatalf("the branch is at %s, theirs is %s", got, theirs)
		}
	}
	if p := h.pull("lib"); p.State != "open" || p.Head.SHA != theirs {
		h.Errorf("their pull request: %+v", p)
	}
	h.wants("app", s, false)
	h.wants("tool", s, false)
	// As the error says: once the commit is gone, applying goes on.
	h.git("theirs", "push", "-q", "-f", "origin", ours+":e2e/note")
	h.apply(0, s, "--wait")
	h.wants("lib", s, false)
}

// merges: what is merged at Gitea is so here without being asked for, and stays.
func (h *hub) merges() {
	p := h.pull("app")
	h.gitea.APIAs(h, h.ada, "POST", "/repos/acme/app/pulls/"+fmt.Sprint(p.Number)+"/merge", map[string]any{"Do": "merge"}, nil)
	h.until("the webhook tells of the merge", func() bool { return h.changesets("note")["app"].State == glovebox.ChangesetMerged })
	merged := h.pull("app")
	s := noteSpec{Name: "note", Text: "four", Title: "Fourth note", Published: "true"}
	out, _ := h.apply(0, s, "--wait")
	h.contains(out, "keep\tacme/app\te2e/note\tFourth note in acme/app\tit is merged", "merged\tacme/app")
	if now := h.pull("app"); now != merged || !now.Merged {
		h.Errorf("merged it was\n%+v, then\n%+v", merged, now)
	}
	if tip := h.tip("app", "e2e/note"); tip != p.Head.SHA {
		h.Errorf("the merged branch moved from %s to %s", p.Head.SHA, tip)
	}
	h.wants("lib", s, false)
}
