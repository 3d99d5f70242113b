package web_test

import (
	"testing"

	"github.com/glovebox-dev/glovebox"
)

func BenchmarkRunOf500Workspaces(b *testing.B) {
	l, browser := benchLab(b)
	s := l.batch("default", "use-any", 500)
	for b.Loop() {
		if p := browser.get(s.runPath()); p.StatusCode != 200 {
			b.Fatal(p.StatusCode)
		}
	}
}

func BenchmarkPreviewOf500Workspaces(b *testing.B) {
	l, browser := benchLab(b)
	s := l.batch("default", "use-any", 500)
	for b.Loop() {
		if p := browser.get(s.runPath("preview")); p.StatusCode != 200 {
			b.Fatal(p.StatusCode)
		}
	}
}

func BenchmarkDiffOf100000Lines(b *testing.B) {
	l, browser := benchLab(b)
	job := l.submit("default", steps("huge", "a"))
	a := l.attempt(l.claim())
	a.put(glovebox.DiffArtifact, hugeDiff("a.go", 50_000)+hugeDiff("b.go", 50_000))
	a.complete(sampleResult())
	for path, name := range map[string]string{"": "page", "/diff/files/1?from=48000": "end"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p := browser.get("/jobs/" + job.ID + path)
				if p.StatusCode != 200 {
					b.Fatal(p.StatusCode)
				}
				b.ReportMetric(float64(len(p.body))/1024, "KiB")
			}
		})
	}
}

func benchLab(b *testing.B) (*lab, *browser) {
	l := newLab(b)
	return l, l.login(l.token("ada", glovebox.RoleViewer, "default"))
}
