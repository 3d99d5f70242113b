package executor

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/glovebox-dev/glovebox"
)

// docs/metrics.md lists the executor's metrics, each one and no other.
func TestMetricsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "\n## Executor\n")
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(glovebox_[a-z_]+)`").FindAllStringSubmatch(section, -1) {
		documented[m[1]] = true
	}
	registry := prometheus.NewRegistry()
	r := newRig(t, newMemorySource())
	if r.deps.Metrics, err = NewMetrics(registry); err != nil {
		t.Fatal(err)
	}
	Run(t.Context(), r.deps, lease("j", glovebox.JobSpec{Steps: steps("echo")}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if !documented[family.GetName()] {
			t.Errorf("%s is not in docs/metrics.md", family.GetName())
		}
		delete(documented, family.GetName())
	}
	for name := range documented {
		t.Errorf("docs/metrics.md lists %s, which there is not", name)
	}
}
