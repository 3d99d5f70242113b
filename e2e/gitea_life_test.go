package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
)

func (h *hub) checks() {
	status := func(state string) {
		h.gitea.API(h, "POST", "/repos/acme/tool/statuses/"+h.tip("tool", "e2e/note"), map[string]any{"state": state, "context": "ci/test"}, nil)
	}
	for _, check := range [][2]string{{"pending", "pending"}, {"failure", "failed"}, {"success", "passed"}} {
		status(check[0])
		h.until("the check is "+check[1], func() bool { return h.changesets("note")["tool"].Checks == check[1] })
	}
	out, _ := h.glovebox(0, "batch", "show", "note")
	h.contains(out, "open\tacme/tool\te2e/note\t"+h.gitea.URL+"/acme/tool/pulls/1\tpassed", "merged\tacme/app")
}

// imports: a person's request is followed by its number, and never changed.
func (h *hub) imports() {
	h.git("clone/tool", "checkout", "-q", "-b", "by-ada", "origin/main")
	h.git("clone/tool", "commit", "-q", "--allow-empty", "-m", "mine")
	h.git("clone/tool", "push", "-q", "origin", "by-ada")
	var p pull
	h.gitea.APIAs(h, h.ada, "POST", "/repos/acme/tool/pulls", map[string]any{"title": "By Ada", "head": "by-ada", "base": "main"}, &p)
	h.write("watch.yaml", fmt.Sprintf("version: 2\nname: watch\nimportChangesets: [{repository: acme/tool, externalIDs: [%d]}]\n", p.Number))
	out, _ := h.glovebox(0, "batch", "apply", "watch.yaml", "--wait")
	h.contains(out, "import\tacme/tool")
	h.until("it was looked at", func() bool {
		c := h.changesets("watch")["tool"]
		return c.State == glovebox.ChangesetOpen && c.Title == "By Ada"
	})
	number := "/repos/acme/tool/pulls/" + fmt.Sprint(p.Number)
	h.gitea.API(h, "GET", number, nil, &p)
	h.glovebox(0, "batch", "close", "watch", "--wait")
	var after pull
	h.gitea.API(h, "GET", number, nil, &after)
	if after != p {
		h.Errorf("an imported request was changed: %+v, was %+v", after, p)
	}
	h.gitea.APIAs(h, h.ada, "PATCH", number, map[string]any{"state": "closed"}, nil)
}

// narrows: what is not wanted any more is closed; its branch stays.
func (h *hub) narrows() {
	s := noteSpec{Name: "note", On: "{repository: acme/app}, {repository: acme/lib}", Text: "four", Title: "Fourth note", Published: "true"}
	tip := h.tip("tool", "e2e/note")
	out, _ := h.apply(0, s, "--wait")
	h.contains(out, "close\tacme/tool\te2e/note", "the run does not want it", "closed\tacme/tool")
	if p := h.pulls("tool")[0]; p.State != "closed" || p.Merged || h.tip("tool", "e2e/note") != tip {
		h.Errorf("not wanted: %+v", p)
	}
	// Wanted again it is the same request, opened again.
	s.On = ""
	out, _ = h.apply(0, s, "--wait")
	h.contains(out, "reopen\tacme/tool", "open\tacme/tool")
	if list := h.pulls("tool"); len(list) != 2 || list[0].State != "open" {
		h.Errorf("wanted again: %+v", list)
	}
}

func (h *hub) closes() {
	h.glovebox(0, "batch", "close", "note", "--wait")
	if p := h.pull("app"); !p.Merged {
		h.Errorf("closing changed what was merged: %+v", p)
	}
	for _, name := range []string{"lib", "tool"} {
		if p := h.pulls(name)[0]; p.State != "closed" || p.Merged {
			h.Errorf("%s: closed it is %+v", name, p)
		}
	}
	out, _ := h.glovebox(0, "batch", "list", "--state", "closed")
	h.contains(out, "note\tclosed\t1 merged, 2 closed")
}

// forks: the branch goes to a fork of the token's user, and the repository gets a request only.
func (h *hub) forks() {
	s := noteSpec{Name: "forked", On: "{repository: acme/lib}", Text: "forked", Title: "Forked note", Published: "true", Fork: true}
	request := func() (number int, state, head string) {
		var list []struct {
			Number int
			State  string
			Head   struct {
				Ref, SHA string
				Repo     struct {
					FullName string `json:"full_name"`
				}
			}
		}
		h.gitea.API(h, "GET", "/repos/acme/lib/pulls?state=all", nil, &list)
		for _, p := range list {
			if p.Head.Ref == "e2e/forked" && p.Head.Repo.FullName == "bot/lib" {
				return p.Number, p.State, p.Head.SHA
			}
		}
		h.Fatalf("no request from the fork: %+v", list)
		return 0, "", ""
	}
	h.apply(0, s, "--wait")
	number, state, head := request()
	if state != "open" || h.changesets("forked")["lib"].Head != head {
		h.Errorf("request %d is %s at %s", number, state, head)
	}
	if out := h.git(".", "ls-remote", h.address("ada", h.ada, "lib"), "refs/heads/e2e/forked"); out != "" {
		h.Errorf("the repository itself has the branch: %s", out)
	}
	s.Text = "forked again"
	h.apply(0, s, "--wait")
	if again, state, moved := request(); again != number || state != "open" || moved == head {
		h.Errorf("request %d is %s at %s; it was %d at %s", again, state, moved, number, head)
	}
	h.glovebox(0, "batch", "close", "forked", "--wait")
	if _, state, _ := request(); state != "closed" {
		h.Errorf("closed it is %s", state)
	}
}

// TestGiteaOutage: a Gitea that is killed while changesets are published, or is not there at all, is waited for.
func TestGiteaOutage(t *testing.T) {
	h := newHub(t, "app", "lib", "tool")
	s := noteSpec{Name: "late", Text: "late", Title: "Late note", Published: "true"}
	h.write("late.yaml", s.yaml())
	_, begun := h.glovebox(0, "batch", "preview", "late.yaml", "-o", "late")
	run := strings.TrimSuffix(strings.Fields(begun)[1], ":")
	h.gitea.Stop()
	h.glovebox(0, "batch", "apply", "--run", run)
	h.until("it is noticed", func() bool {
		for _, c := range h.changesets("late") {
			if c.State != glovebox.ChangesetPublishing || c.Error == "" || c.NextAt == nil {
				return false
			}
		}
		return true
	})
	// A run of the same spec can't look at the repositories now: it fails, and closes nothing.
	out, log := h.apply(1, s)
	h.contains(out+log, "unresolved acme/app", "3 unresolved")
	h.gitea.Restart(h)
	// It would be tried again by itself, later and later; applying again does so now.
	h.glovebox(0, "batch", "apply", "--run", run)
	h.until("one is published", func() bool { return len(h.allPulls("late")) > 0 })
	h.gitea.Stop() // in the middle of the others
	h.gitea.Restart(h)
	h.glovebox(0, "batch", "apply", "--run", run, "--wait")
	for name, c := range h.changesets("late") {
		if c.State != glovebox.ChangesetOpen || c.Error != "" {
			h.Errorf("%s: %+v", name, c)
		}
	}
	if all := h.allPulls("late"); len(all) != 3 {
		h.Errorf("%d pull requests, want one a repository: %+v", len(all), all)
	}
}

// allPulls are the requests of all repositories for a batch change.
func (h *hub) allPulls(batchChange string) (found []pull) {
	h.Helper()
	for _, name := range []string{"app", "lib", "tool"} {
		for _, p := range h.pulls(name) {
			if p.Head.Ref == "e2e/"+batchChange {
				found = append(found, p)
			}
		}
	}
	return found
}
