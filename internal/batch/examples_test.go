package batch

import (
	"os"
	"path/filepath"
	"testing"
)

// TestExamples: the specs in examples/batch are right.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/batch/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, warnings, err := Parse(text, ParseOptions{Dir: filepath.Dir(file)}); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", file, err, warnings)
		}
	}
}
