package server

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
)

// docs/metrics.md lists the server's metrics, each one and no other.
func TestMetricsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "\n## Server\n")
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(glovebox_[a-z_]+)`").FindAllStringSubmatch(section, -1) {
		documented[m[1]] = true
	}
	f := newFixture(t)
	_, executor, lease := f.held() // metrics with labels show once they are used
	if err := executor.PutArtifact(t.Context(), lease.LeaseRef, "diff", 1, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := executor.Complete(t.Context(), lease.LeaseRef, glovebox.Result{State: glovebox.StateFailed}); err != nil {
		t.Fatal(err)
	}
	f.server.Metrics.fetches.WithLabelValues("ok").Inc()
	f.server.Metrics.gitServed.WithLabelValues("ok").Inc()
	families, err := f.server.Metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		name := family.GetName()
		if strings.HasPrefix(name, "glovebox_") && !documented[name] {
			t.Errorf("%s is not in docs/metrics.md", name)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("docs/metrics.md lists %s, which there is not", name)
	}
}
