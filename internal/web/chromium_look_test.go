package web_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/glovebox-dev/glovebox"
)

// showcase fills a lab with jobs in all states and returns the address of the richest one.
func showcase(t *testing.T, l *lab) string {
	t.Helper()
	spec := steps("gofmt: interface{} → any", "build", "test")
	spec.Repo = &glovebox.Repo{Name: "github.com/acme/app", Rev: "main", Commit: "0123456789abcdef0123456789abcdef01234567"}
	spec.Steps[0].Run, spec.Steps[1].Run = "go build ./...", "go vet ./...\ngo test -race ./..."
	spec.Outputs = []string{"report/*.json"}
	l.submit("default", spec)
	a := l.attempt(l.claim())
	check(t, l.queue.AddEvents(t.Context(), a.ref, []glovebox.Event{
		{Time: time.Now(), Kind: glovebox.EventProgress, Actor: "executor:box-1", Attempt: 1, Message: "sandbox ready on gvisor in 141ms"},
		{Time: time.Now(), Kind: glovebox.EventStepStarted, Actor: "executor:box-1", Attempt: 1, Message: "build"}}))
	a.write(glovebox.LogRecord{Stream: glovebox.StreamSystem, Text: "workspace of github.com/acme/app at 0123456789ab ready in 310 ms"})
	a.say("build", "go: downloading golang.org/x/sync v0.24.0", "\x1b[1;32m✓\x1b[0m compiled \x1b[36m42\x1b[0m packages", "  0%\r 50%\r100% \x1b[38;5;208m████████████\x1b[0m done",
		"\x1b[48;5;22m\x1b[97m PASS \x1b[0m a badge, \x1b[4munderlined\x1b[0m, \x1b[3mitalic\x1b[0m, \x1b[9mstruck\x1b[0m, \x1b[38;2;255;105;180mtruecolor\x1b[0m, \x1b[7m inverse \x1b[0m")
	a.write(glovebox.LogRecord{Step: "test", Stream: glovebox.StreamStderr, Text: "warning: this goes to the error stream"})
	for n := range 40 {
		a.say("test", fmt.Sprintf("\x1b[32m--- PASS\x1b[0m: TestNumber%02d \x1b[2m(0.%02ds)\x1b[0m", n, n))
	}
	a.say("test", "a hostile name: rtl\u202egpj.exe <script>alert(1)</script>")
	a.put(glovebox.DiffArtifact, sampleDiff)
	a.put(glovebox.OutputPrefix+"report/a.json", "{}")
	a.complete(sampleResult())
	for i, state := range []glovebox.State{glovebox.StateFailed, glovebox.StateCanceled, glovebox.StateCompleted} {
		l.submit("default", steps([]string{"lint the front end", "nightly rebuild of everything", "count lines"}[i], "a"))
		other := l.attempt(l.claim())
		other.complete(glovebox.Result{State: state, Reason: []string{"out of memory", "canceled by ada", ""}[i]})
	}
	spec.Name = "go vet"
	l.submit("default", spec)
	l.attempt(l.claim()).say("build", "go: downloading golang.org/x/sync v0.24.0")
	l.submit("red", steps("waits for an executor", "a"))
	check(t, beat(l, "box-1"))
	check(t, beat(l, "box-2.eu-central.example.org"))
	return "/jobs/" + a.ref.JobID
}

// TestChromiumLooks holds that no page is wider than its window, on a phone too,
// and that none makes the browser complain.
func TestChromiumLooks(t *testing.T) {
	l := newLab(t)
	b := newTab(t, l)
	job := showcase(t, l)
	b.look("light", 360, 700)
	b.open("/login")
	b.shot("login-light-360")
	b.look("dark", 1360, 900)
	b.shot("login-dark-1360")
	b.login(l.token("ada", glovebox.RoleAdmin, "").Secret)
	pages := []struct{ name, path, ready string }{
		{"jobs", "/", `document.querySelectorAll(".row-link").length >= 6`},
		{"job", job, `document.querySelectorAll("#diff .add").length > 0`},
		{"submit", "/jobs/new", `!!document.getElementById("job")`},
		{"executors", "/executors", `document.querySelectorAll(".exec").length === 2`},
		{"missing", "/jobs/none", `!!document.querySelector(".empty")`},
	}
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{360, 1360} {
			b.look(scheme, width, 900)
			for _, p := range pages {
				b.open(p.path)
				b.wait(p.name, p.ready)
				name := fmt.Sprintf("%s-%s-%d", p.name, scheme, width)
				b.shot(name)
				if wide := eval[float64](b, `document.documentElement.scrollWidth`); wide > float64(width) {
					t.Errorf("%s: the page is %v wide", name, wide)
				}
				if p.name == "job" {
					if eval[bool](b, `[...document.querySelectorAll(".earlier")].some(n => !n.hidden)`) {
						t.Errorf("%s offers earlier lines where there are none", name)
					}
					eval[string](b, `document.getElementById("times").click(); document.getElementById("step-build").open = true; document.getElementById("step-test").open = false; ""`)
					b.shot(name + "-build")
					eval[string](b, `document.getElementById("job-results").scrollIntoView(); ""`)
					b.shot(name + "-diff")
				}
			}
		}
	}
	b.look("dark", 1360, 900)
	b.open("/")
	b.run(chromedp.KeyEvent("j"), chromedp.KeyEvent("j"))
	b.wait("the second job is chosen", `document.querySelectorAll("[data-item]")[1].classList.contains("chosen")`)
	b.run(chromedp.KeyEvent("?"))
	b.wait("help", `document.getElementById("help").open`)
	b.shot("help-dark-1360")
	b.clean()
}
