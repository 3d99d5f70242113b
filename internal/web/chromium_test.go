package web_test

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// tab is a tab of a headless Chromium that collects what goes wrong in it.
type tab struct {
	t      *testing.T
	ctx    context.Context
	base   string
	mu     sync.Mutex
	faults []string
}

// newTab starts a Chromium that can reach the lab's server and nothing else.
func newTab(t *testing.T, l *lab) *tab {
	t.Helper()
	path := testenv.Chromium(t)
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox,
		chromedp.Flag("headless", "new"), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("no-first-run", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.WindowSize(1360, 900),
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	ctx, stopBrowser := chromedp.NewExecAllocator(ctx, options...)
	ctx, closeTab := chromedp.NewContext(ctx)
	b := &tab{t: t, ctx: ctx, base: l.server.URL}
	messages := chromedp.Console(ctx)
	var listening sync.WaitGroup
	listening.Go(func() { b.listen(messages) })
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("close the browser: %v", err)
		}
		closeTab()
		stopBrowser()
		cancel()
		listening.Wait()
	})
	return b
}

// listen notes errors of scripts, of the console, and violations of the policy.
func (b *tab) listen(messages iter.Seq2[chromedp.ConsoleMessage, error]) {
	for m, err := range messages {
		if err != nil {
			return
		}
		if m.IsException() || m.Type == "error" || m.Type == "warning" {
			b.mu.Lock()
			b.faults = append(b.faults, m.String()+" "+m.URL)
			b.mu.Unlock()
		}
	}
}

// run does actions, each of which must succeed within a while.
func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 40*time.Second)
	defer cancel()
	for i, action := range actions {
		if err := chromedp.Do(ctx, action); err != nil {
			b.t.Fatalf("action %d: %v\nfaults: %v", i+1, err, b.faults)
		}
	}
}

// eval runs a script and returns its value.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.base + path))
}

// wait polls until a script's expression is true. It is false too while it
// throws, as it does on a page that is just being left.
func (b *tab) wait(what, expression string) {
	b.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-ticker.C {
		if ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")")); err == nil && ok {
			return
		}
	}
	b.shot("stuck")
	b.t.Fatalf("%s: not within 20 s (%s)\nfaults: %v\npage: %s", what, expression, b.faults, eval[string](b, `document.body.innerText`))
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`[...document.querySelectorAll(%q)].map(n => n.innerText).join("\n")`, selector))
}

// press clicks a button in one go, so that no update of the page can come between finding and clicking.
func (b *tab) press(selector string) {
	b.t.Helper()
	b.wait("a button "+selector, fmt.Sprintf(`document.querySelector(%q) && (document.querySelector(%[1]q).click(), true)`, selector))
}

// login uses a log-in link.
func (b *tab) login(secret string) {
	b.t.Helper()
	b.open("/login#token=" + url.QueryEscape(secret))
	b.wait("log in by link", `location.pathname === "/" && location.hash === "" && !!document.querySelector(".who")`)
}

// clean fails the test if anything went wrong in the tab.
func (b *tab) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fault := range b.faults {
		if strings.Contains(fault, "status of 422") || strings.Contains(fault, "status of 404") {
			continue // said of each answer with an error, of the form's with its faults too
		}
		b.t.Errorf("the browser complains: %s", fault)
	}
}

// shot takes a picture of the whole page when GLOVEBOX_TEST_SHOTS names a folder.
func (b *tab) shot(name string) {
	dir := os.Getenv("GLOVEBOX_TEST_SHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Logf("picture %s: %v", name, err)
		return
	}
	check(b.t, os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644))
}

// look sets scheme and size of the window.
func (b *tab) look(scheme string, width, height int64) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	check(b.t, err)
	_, err = chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600})
	check(b.t, err)
}

func TestChromiumFollowsAJob(t *testing.T) {
	l := newLab(t)
	b := newTab(t, l)
	token := l.token("ada", glovebox.RoleOperator, "default")
	b.login(token.Secret)

	// Submit, first with a fault.
	b.open("/jobs/new")
	b.run(chromedp.SetValue("#job", "name: live\nsteps:\n  - {key: build, image: host, rum: make}\n"), chromedp.Click(".submit .primary"))
	b.wait("a fault is shown with its place", `document.querySelector(".problems li")?.innerText.startsWith("3:")`)
	b.run(chromedp.SetValue("#job", "name: live\nsteps:\n  - {key: build, image: host, run: make}\n  - {key: test, image: host, run: make test}\n"), chromedp.Click(".submit .primary"))
	b.wait("the job's page", `document.querySelector("h1")?.innerText === "live"`)
	b.wait("queued", `document.getElementById("job-state").dataset.state === "queued"`)

	// The log grows, without a reload.
	eval[bool](b, `window.same = true`)
	a := l.attempt(l.claim())
	b.wait("processing", `document.getElementById("job-state").dataset.state === "processing"`)
	a.say("build", "one \x1b[31mred\x1b[0m line")
	b.wait("the first line", `document.querySelector("#step-build-L1 .f1")?.textContent === "red"`)
	a.write(glovebox.LogRecord{Step: "build", Text: "10%", Partial: true})
	b.wait("an open line", `document.querySelector("#step-build-L2 .tx")?.textContent === "10%"`)
	a.write(glovebox.LogRecord{Step: "build", Text: "\r100%"})
	b.wait("the line is overwritten", `document.querySelector("#step-build-L2 .tx").textContent === "100%" && !document.getElementById("step-build-L3")`)
	a.write(glovebox.LogRecord{Step: "test", Stream: glovebox.StreamStderr, Text: "<b onclick=x>not bold</b>"})
	b.wait("the next step's line", `document.querySelector("#step-test-L1.stderr .tx")?.textContent === "<b onclick=x>not bold</b>"`)

	// The end arrives by itself, with the diff.
	a.put(glovebox.DiffArtifact, sampleDiff)
	a.put(glovebox.OutputPrefix+"report/a.json", "{}")
	a.complete(sampleResult())
	b.wait("completed", `document.getElementById("job-state").dataset.state === "completed"`)
	b.wait("the diff", `document.querySelectorAll("#diff .add").length > 0 && document.querySelector("#diff .stat").innerText.includes("+3")`)
	b.wait("usage", `document.querySelector("#step-build-head").innerText.includes("exit 0")`)
	if got := b.text("#diff .del .code"); !strings.Contains(got, "interface{}") {
		t.Errorf("removed lines are %q", got)
	}
	b.shot("finished")
	b.wait("no reload", `window.same === true`)
	b.clean()
}

func TestChromiumCancelsAndRetries(t *testing.T) {
	l := newLab(t)
	b := newTab(t, l)
	job := l.submit("default", steps("long", "build"))
	b.login(l.token("ada", glovebox.RoleOperator, "default").Secret)
	b.open("/jobs/" + job.ID)
	a := l.attempt(l.claim())
	a.say("build", "working")
	b.wait("the log", `!!document.getElementById("step-build-L1")`)
	b.press("#cancel")
	b.wait("cancel requested", `document.querySelector("#job-head").innerText.includes("Cancel requested")`)
	a.complete(glovebox.Result{State: glovebox.StateCanceled})
	b.wait("canceled", `document.getElementById("job-state").dataset.state === "canceled"`)
	b.press("#retry")
	b.wait("queued again", `document.getElementById("job-state").dataset.state === "queued"`)
	again := l.attempt(l.claim())
	again.say("build", "second attempt")
	b.wait("the second attempt's log alone", `document.querySelector("#step-build .pane").innerText.trim() === "second attempt"`)
	b.clean()
}

func TestChromiumReadsALargeLog(t *testing.T) {
	l := newLab(t)
	b := newTab(t, l)
	l.submit("default", steps("large", "build"))
	a := l.attempt(l.claim())
	const total = 30000
	var lines []string
	for n := range total {
		lines = append(lines, fmt.Sprintf("line %d of many", n+1))
	}
	lines[6999] = "a needle in the hay"
	a.say("build", lines...)
	b.login(l.token("ada", glovebox.RoleViewer, "default").Secret)
	b.open("/jobs/" + a.ref.JobID)
	b.wait("the tail first", fmt.Sprintf(`!!document.getElementById("step-build-L%d") && document.querySelectorAll(".ln").length <= 500`, total))
	b.press("#step-build .earlier")
	b.wait("earlier lines", fmt.Sprintf(`!!document.getElementById("step-build-L%d")`, total-1400))
	b.run(chromedp.KeyEvent("/"))
	b.wait("the key / leads to the search", `document.activeElement.id === "log-search"`)
	eval[string](b, `document.activeElement.value = ""`)
	b.run(chromedp.SendKeys("#log-search", "NEEDLE\r"))
	b.wait("the match", `document.querySelector(".ln.hit.now")?.id === "step-build-L7000" && CSS.highlights.get("found").size === 1`)
	b.wait("the count", `document.getElementById("log-hits").innerText === "1 of 1"`)
	b.open("/jobs/" + a.ref.JobID + "#step-build-L12")
	b.run(chromedp.Reload())
	b.wait("the line of the address", `document.querySelector(".ln.target")?.id === "step-build-L12" && document.querySelector(".ln.target .tx").textContent === "line 12 of many"`)
	b.clean()
}

func TestChromiumListRefreshesInPlace(t *testing.T) {
	l := newLab(t)
	b := newTab(t, l)
	for n := range 45 {
		l.submit("default", steps(fmt.Sprintf("job %d", n), "a"))
	}
	b.login(l.token("ada", glovebox.RoleViewer, "default").Secret)
	eval[string](b, `document.querySelectorAll(".row-link")[20].focus({preventScroll: true}); scrollTo(0, 700); document.activeElement.textContent`)
	before := eval[float64](b, `scrollY`)
	l.claim()
	b.wait("a job is processing", `document.querySelectorAll(".state.processing").length === 1`)
	if after := eval[float64](b, `scrollY`); before != after || before == 0 {
		t.Errorf("the page scrolled from %v to %v", before, after)
	}
	b.wait("focus stays", `document.activeElement.classList.contains("row-link")`)
	b.clean()
}
