package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var tableRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.+) \\|$")

// directModules returns what go.mod requires without "// indirect".
func directModules(t *testing.T) map[string]bool {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	inBlock := false
	for line := range strings.Lines(string(src)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "require (":
			inBlock = true
			continue
		case line == ")":
			inBlock = false
			continue
		case strings.HasPrefix(line, "require "):
			line = strings.TrimPrefix(line, "require ")
		case !inBlock:
			continue
		}
		if name, _, ok := strings.Cut(line, " "); ok && !strings.HasSuffix(line, "// indirect") {
			direct[name] = true
		}
	}
	return direct
}

// TestModulesHaveReasons holds docs/dependencies.md to go.mod, in both directions.
func TestModulesHaveReasons(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for _, m := range tableRow.FindAllStringSubmatch(string(doc), -1) {
		reasons[m[1]] = m[2]
	}
	direct := directModules(t)
	if len(direct) == 0 {
		t.Fatal("go.mod: found no direct module")
	}
	for name := range direct {
		if len(reasons[name]) < 20 {
			t.Errorf("%s is in go.mod without a line of reason in docs/dependencies.md", name)
		}
	}
	for name := range reasons {
		if !direct[name] {
			t.Errorf("docs/dependencies.md gives a reason for %s, which go.mod does not require directly", name)
		}
	}
}
