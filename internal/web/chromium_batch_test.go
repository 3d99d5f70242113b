package web_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// batchShowcase fills a lab with batch changes and returns the richest one, of which a preview can be applied.
func batchShowcase(t *testing.T, l *lab) batchSample {
	t.Helper()
	s := l.batch("default", "use-any", 40)
	for i, w := range s.workspaces {
		if i%13 != 7 { // one or the other repository is not known any more: a blocked changeset
			_, err := l.repos.Add(t.Context(), glovebox.Repository{Name: w.Repo, URL: "https://code.example/" + w.Repo, CreatedAt: time.Now()})
			check(t, err)
		}
	}
	l.batch("default", "bump-golang-x-net", 14)
	running := l.batch("default", "pin-github-actions-to-commits", 12)
	for _, w := range running.workspaces[4:9] {
		_, err := l.batches.UpdateWorkspace(t.Context(), w.ID, func(w *changeset.Workspace) error {
			w.State, w.Reason, w.FinishedAt, w.Diff = glovebox.StateProcessing, "", nil, nil
			return nil
		})
		check(t, err)
	}
	_, err := l.batches.UpdateRun(t.Context(), running.run.ID, func(r *glovebox.BatchRun) error {
		r.State, r.FinishedAt = glovebox.BatchRunProcessing, nil
		return nil
	})
	check(t, err)
	_, err = l.changes.Create(t.Context(), "default", "user:bob", glovebox.BatchRunInput{Spec: fmt.Sprintf(batchSpec, "license-headers")})
	check(t, err)
	l.batch("red", "of-another-tenant", 3)
	return s
}

// TestChromiumLooksAtBatches holds that no page of batch changes is wider than its window, and that none makes the browser complain.
func TestChromiumLooksAtBatches(t *testing.T) {
	l := newLab(t)
	b := newTab(t, l)
	s := batchShowcase(t, l)
	b.login(l.token("ada", glovebox.RoleAdmin, "").Secret)
	pages := []struct{ name, path, ready string }{
		{"batches", "/batch-changes", `document.querySelectorAll("tr[data-item]").length === 5`},
		{"batch", s.path(), `document.querySelectorAll("#list tr[data-item]").length > 10`},
		{"run", s.runPath(), `document.querySelectorAll("#list tr[data-item]").length === 40`},
		{"workspace", s.runPath("workspaces", s.rich.ID), `document.querySelectorAll("#diff .add").length > 0`},
		{"preview", s.runPath("preview"), `document.querySelectorAll("tr.blocked").length > 0`},
		{"new", "/batch-changes/NEW", `!!document.getElementById("spec")`},
	}
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{390, 1280} {
			b.look(scheme, width, 900)
			for _, p := range pages {
				b.open(p.path)
				b.wait(p.name, p.ready)
				name := fmt.Sprintf("%s-%s-%d", p.name, scheme, width)
				if p.name == "run" {
					eval[string](b, `document.querySelectorAll("details.more").forEach((n) => { n.open = true; }); ""`)
				}
				if p.name == "new" {
					b.run(chromedp.SetValue("#spec", "version: 2\nname: x\nsteps:\n  - rum: make\n    image: host\nchangesetTemplate: {titel: x}\n"), chromedp.Click(".submit .primary"))
					b.wait("faults", `document.querySelectorAll(".problems .fault").length > 0`)
				}
				if wide := eval[float64](b, `document.documentElement.scrollWidth`); wide > float64(width) {
					t.Errorf("%s: the page is %v wide: %s", name, wide, eval[string](b, `[...document.querySelectorAll("main *")].filter((n) => n.getBoundingClientRect().right > innerWidth && !n.closest(".scroll, .source, .pane, .chips")).slice(0, 5).map((n) => n.outerHTML.slice(0, 150)).join("\n")`))
				}
				b.tall(name)
			}
		}
	}
	b.clean()
}

// tall takes a picture of a page down to its end, within reason.
func (b *tab) tall(name string) {
	b.t.Helper()
	size := eval[[]float64](b, `[innerWidth, innerHeight, document.documentElement.scrollHeight]`)
	scheme := "light"
	if eval[bool](b, `matchMedia("(prefers-color-scheme: dark)").matches`) {
		scheme = "dark"
	}
	b.look(scheme, int64(size[0]), int64(min(size[2], 2600)))
	b.shot(name)
	b.look(scheme, int64(size[0]), int64(size[1]))
}

func TestChromiumChoosesRetriesAndApplies(t *testing.T) {
	l := newLab(t)
	b := newTab(t, l)
	s := l.batch("default", "use-any", 14)
	for _, w := range s.workspaces {
		_, err := l.repos.Add(t.Context(), glovebox.Repository{Name: w.Repo, URL: "https://code.example/" + w.Repo, CreatedAt: time.Now()})
		check(t, err)
	}
	b.login(l.token("opal", glovebox.RoleOperator, "default").Secret)

	// Ticked boxes live through updates of the page.
	b.open(s.path())
	b.wait("nothing is chosen", `document.querySelector("#sets-form button").disabled`)
	b.run(chromedp.KeyEvent("j"), chromedp.KeyEvent("x"))
	b.wait("one is chosen", `document.querySelector("[data-chosen]").textContent === "1 chosen" && !document.querySelector("#sets-form button").disabled`)
	_, err := l.batches.UpdateChangeset(context.Background(), eval[string](b, `document.querySelectorAll("#list input")[2].value`), func(c *changeset.Changeset) error {
		c.Title = "Another title <b>"
		return nil
	})
	check(t, err)
	b.wait("the change arrives", `document.getElementById("list").innerText.includes("Another title <b>")`)
	b.wait("the box is still ticked", `document.querySelectorAll("#list input:checked").length === 1 && document.querySelector("[data-chosen]").textContent === "1 chosen"`)

	// Apply, then retry on the run's page.
	b.open(s.runPath("preview"))
	b.press("#apply")
	b.wait("back on the batch change", fmt.Sprintf(`location.pathname === %q`, s.path()))
	b.open(s.runPath())
	b.press(`#box-` + s.workspaces[5].ID)
	b.press(`#ws-form button[value=chosen]`)
	b.wait("it is queued", fmt.Sprintf(`document.querySelector("#row-%s .state").innerText === "queued"`, s.workspaces[5].ID))
	b.wait("the run goes on", `document.getElementById("run-state").dataset.state === "processing"`)

	// The run's page follows.
	eval[bool](b, `window.same = true`)
	_, err = l.batches.UpdateWorkspace(context.Background(), s.workspaces[5].ID, func(w *changeset.Workspace) error {
		w.State = glovebox.StateProcessing
		return nil
	})
	check(t, err)
	b.wait("it is processing", fmt.Sprintf(`document.querySelector("#row-%s .state").innerText === "processing"`, s.workspaces[5].ID))
	b.wait("no reload", `window.same === true`)
	b.clean()
}

func TestChromiumShowsMoreOfADiff(t *testing.T) {
	l := newLab(t)
	b := newTab(t, l)
	job := l.submit("default", steps("huge", "a"))
	a := l.attempt(l.claim())
	a.put(glovebox.DiffArtifact, hugeDiff("a.go", 1000)+hugeDiff("big.go", 5000))
	a.complete(sampleResult())
	b.login(l.token("ada", glovebox.RoleViewer, "default").Secret)
	b.open("/jobs/" + job.ID + "#file-1")
	b.wait("the file of the address is open", `document.getElementById("file-1").open`)
	rows := `document.querySelectorAll("#file-1 tr.add").length`
	b.wait("its first lines", rows+` === 1500`)
	b.press("#file-1 a[data-more]")
	b.wait("more lines", rows+` === 3500 && document.querySelector("#file-1 .more-lines").innerText.includes("1,500 left")`)
	b.press("#file-1 a[data-more]")
	b.wait("all lines", rows+` === 5000 && !document.querySelector("#file-1 .more-lines")`)
	b.wait("colours", `document.querySelector("#file-1 tr:last-child .t-f").innerText === "Sprintf"`)
	b.clean()
}
