package archtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSeccompVersion fails after an upgrade of gVisor until "go run ./scripts/seccomp" has made the
// seccomp programs anew: the binary would not use those of another version.
func TestSeccompVersion(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "cmd", "glovebox", "seccomp.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Version string }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version, _, _ := strings.Cut(file.Version, " ")
	if !strings.Contains(string(mod), "gvisor.dev/gvisor "+version+"\n") || !strings.Contains(string(sums), "gvisor.dev/gvisor "+file.Version+"\n") {
		t.Errorf("cmd/glovebox/seccomp.json is of gVisor %q, go.mod names another: run go run ./scripts/seccomp", file.Version)
	}
}
