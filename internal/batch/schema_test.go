package batch_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox/internal/batch"
)

// TestDocs: the page on batch specs knows every field, and its examples are valid.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/batch-spec.md")
	if err != nil {
		t.Fatal(err)
	}
	var schema any
	if err := json.Unmarshal(batch.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		if p, ok := m["properties"].(map[string]any); ok {
			for name := range p {
				if !strings.Contains(string(page), name) {
					t.Errorf("docs/batch-spec.md does not know the field %s", name)
				}
			}
		}
		for _, sub := range m {
			walk(sub)
		}
	}
	walk(schema)
	for i, block := range strings.Split(string(page), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if !strings.Contains(text, "name: go-fix\n") {
			text = "name: part\n" + text
		}
		if _, warnings, err := batch.Parse([]byte(text), batch.ParseOptions{}); err != nil || len(warnings) > 0 {
			t.Errorf("example %d: %v %v", i, err, warnings)
		}
	}
}
