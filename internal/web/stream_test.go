package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// event is a server-sent event.
type event struct{ name, id, data string }

// events opens a stream of events that ends with the test, or by calling stop.
func (b *browser) events(path, last string) (out <-chan event, stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	b.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", b.base+path, nil)
	check(b.t, err)
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := b.http.Do(req)
	check(b.t, err)
	if resp.StatusCode != http.StatusOK {
		b.t.Fatalf("GET %s: status %d", path, resp.StatusCode)
	}
	b.t.Cleanup(func() { resp.Body.Close() })
	ch := make(chan event, 1000)
	go func() {
		defer close(ch)
		var e event
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if e.name != "" {
					ch <- e
				}
				e = event{}
			}
		}
	}()
	return ch, cancel
}

// lines is the data of an event with lines.
type lines struct {
	Step  string
	Lines []struct {
		N int
		X []struct{ T, C string }
	}
}

// nextLines waits for the next event with lines.
func nextLines(t *testing.T, events <-chan event) (lines, string) {
	t.Helper()
	for e := range events {
		if e.name == "lines" {
			var l lines
			check(t, json.Unmarshal([]byte(e.data), &l))
			return l, e.id
		}
	}
	t.Fatal("the stream ended without lines")
	return lines{}, ""
}

func TestLinesArriveAtOnce(t *testing.T) {
	l := newLab(t)
	l.submit("default", steps("job", "a"))
	a := l.attempt(l.claim())
	a.say("a", "first")
	b := l.login(l.token("ada", glovebox.RoleViewer, "default"))
	events, _ := b.events("/jobs/"+a.ref.JobID+"/events", "")
	if got, _ := nextLines(t, events); got.Lines[0].X[0].T != "first" {
		t.Fatalf("got %+v", got)
	}
	best := time.Hour
	for range 10 {
		sent := time.Now()
		a.say("a", "next")
		nextLines(t, events)
		best = min(best, time.Since(sent))
	}
	if best > 100*time.Millisecond {
		t.Errorf("the quickest of ten lines took %v, want at most 100ms", best)
	}
}

func TestStreamEndsWithTheJobAndResumes(t *testing.T) {
	l := newLab(t)
	l.submit("default", steps("job", "a"))
	a := l.attempt(l.claim())
	a.say("a", "one", "two")
	b := l.login(l.token("ada", glovebox.RoleViewer, "default"))
	events, stop := b.events("/jobs/"+a.ref.JobID+"/events", "")
	_, id := nextLines(t, events)
	stop()
	if id != fmt.Sprintf("1-%d", a.end) {
		t.Fatalf("id %q, want the log's end %d", id, a.end)
	}
	a.say("a", "three")
	events, _ = b.events("/jobs/"+a.ref.JobID+"/events", id)
	got, _ := nextLines(t, events)
	if len(got.Lines) != 1 || got.Lines[0].N != 3 {
		t.Fatalf("after the id came %+v, want line 3 alone", got)
	}
	a.complete(glovebox.Result{State: glovebox.StateCompleted})
	var last event
	for e := range events {
		last = e
	}
	if last.name != "end" {
		t.Errorf("the stream's last event is %+v, want the end", last)
	}
}

func TestFloodIsBounded(t *testing.T) {
	l := newLab(t)
	l.submit("default", steps("job", "a"))
	a := l.attempt(l.claim())
	var text []string
	for n := range 50_000 {
		text = append(text, fmt.Sprint("line ", n+1))
	}
	a.say("a", text...)
	a.complete(glovebox.Result{State: glovebox.StateCompleted})
	b := l.login(l.token("ada", glovebox.RoleViewer, "default"))
	events, _ := b.events("/jobs/"+a.ref.JobID+"/events", "1-0")
	last := 0
	for e := range events {
		if e.name != "lines" {
			continue
		}
		var got lines
		check(t, json.Unmarshal([]byte(e.data), &got))
		if len(got.Lines) > 500 {
			t.Fatalf("%d lines in one event", len(got.Lines))
		}
		last = got.Lines[len(got.Lines)-1].N
	}
	if last != 50_000 {
		t.Errorf("the last line is %d, want 50000", last)
	}
}

func TestSubmitAndDownload(t *testing.T) {
	l := newLab(t)
	b := l.login(l.token("opal", glovebox.RoleOperator, "default"))
	p := b.post("/jobs", url.Values{"csrf": {b.csrf()}, "job": {"name: x\nsteps: [{key: a, image: host, run: 'true'}]\noutputs: ['*']\n"}})
	if p.StatusCode != http.StatusSeeOther {
		t.Fatalf("submit: status %d\n%s", p.StatusCode, p.body)
	}
	job := p.Header.Get("Location")
	a := l.attempt(l.claim())
	a.say("a", "\x1b[31mred\x1b[0m", "10%\r100%")
	name := "r/<b>\".json"
	a.put(glovebox.DiffArtifact, sampleDiff)
	a.put(glovebox.OutputPrefix+name, "{}")
	result := sampleResult()
	result.Outputs[0].Name = name
	a.complete(result)
	for _, c := range []struct{ path, body, file string }{
		{"/diff", sampleDiff, ".diff"},
		{"/output?name=" + url.QueryEscape(name), "{}", "json"},
	} {
		p := b.get(job + c.path)
		if p.StatusCode != 200 || p.body != c.body || !strings.HasPrefix(p.Header.Get("Content-Disposition"), "attachment") || !strings.HasPrefix(p.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("GET %s: status %d, %v, %q", c.path, p.StatusCode, p.Header, p.body)
		}
	}
	if p := b.get(job + "/log"); !strings.Contains(p.body, "== a\n") || !strings.Contains(p.body, " red\n") || !strings.Contains(p.body, " 100%\n") || strings.Contains(p.body, "\x1b") {
		t.Errorf("log is %q", p.body)
	}
	for _, path := range []string{"/output?name=diff", "/output?name=../log", "/output?name="} {
		if p := b.get(job + path); p.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: status %d, want 404", path, p.StatusCode)
		}
	}
}

func TestSubmitShowsFaultsWithTheirPlace(t *testing.T) {
	l := newLab(t)
	b := l.login(l.token("opal", glovebox.RoleOperator, "default"))
	p := b.post("/jobs", url.Values{"csrf": {b.csrf()}, "job": {"name: <i>x</i>\nsteps:\n  - {key: a, image: host, rum: 'true'}\n"}})
	if p.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(p.body, `<span class="mono">3:`) || strings.Contains(p.body, "<i>x") || !strings.Contains(p.body, "&lt;i&gt;x") {
		t.Errorf("status %d\n%s", p.StatusCode, p.body)
	}
}

func TestListPagesAndFilters(t *testing.T) {
	l := newLab(t)
	for n := range 60 {
		l.submit("default", steps(fmt.Sprintf("job-%02d", n), "a"))
	}
	b := l.login(l.token("ada", glovebox.RoleViewer, "default"))
	first := b.get("/")
	_, rest, found := strings.Cut(first.body, `rel="next"`)
	if !found || rest == "" {
		t.Fatal("no next page")
	}
	at := strings.LastIndex(first.body[:strings.Index(first.body, `rel="next"`)], `href="`) + 6
	next := strings.ReplaceAll(first.body[at:at+strings.Index(first.body[at:], `"`)], "&amp;", "&")
	second := b.get(next)
	if strings.Count(first.body, "<tr id=") != 50 || strings.Count(second.body, "<tr id=") != 10 || !strings.Contains(second.body, "job-00") {
		t.Errorf("pages hold %d and %d jobs", strings.Count(first.body, "<tr id="), strings.Count(second.body, "<tr id="))
	}
	if p := b.get("/?q=job-07"); strings.Count(p.body, "<tr id=") != 1 {
		t.Errorf("the search shows %d jobs, want 1", strings.Count(p.body, "<tr id="))
	}
	if p := b.get("/?state=completed"); !strings.Contains(p.body, "No job matches") {
		t.Error("the filter by state shows jobs of other states")
	}
	if p := b.get("/?cursor=%00garbage"); p.StatusCode >= 500 {
		t.Errorf("a wrong cursor: status %d", p.StatusCode)
	}
}

func TestShutdownEndsStreams(t *testing.T) {
	l := newLab(t)
	job := l.submit("default", steps("job", "a"))
	b := l.login(l.token("ada", glovebox.RoleViewer, "default"))
	list, _ := b.events("/events", "")
	one, _ := b.events("/jobs/"+job.ID+"/events", "")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	check(t, l.server.Config.Shutdown(ctx))
	for range list {
	}
	for range one {
	}
}
