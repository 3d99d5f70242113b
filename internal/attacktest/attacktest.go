// Package attacktest writes down the attacks that tests make: which, on which runtime, what was expected and
// what was seen. Each is a test of its own that fails where the two differ; all together are the table that
// scripts/test.sh prints. It must not know what is attacked.
package attacktest

import (
	"encoding/json"
	"os"
	"testing"
)

// Variable names the file that rows are added to; nothing is written when it is not set.
const Variable = "GLOVEBOX_TEST_ATTACKS"

// What attacks come to. Seen may be another text, which is then not what was expected.
const (
	// Held: the defence held.
	Held = "held"
	// Succeeds is what an attack on an undefended baseline does, to show that the same attack is a real one.
	Succeeds = "succeeds"
)

// Row is one attack. Attack is its name as docs/threat-model.md has it ("git: core.fsmonitor in the tree's .git"),
// Runtime the runtime or part that was attacked ("gvisor", "docker", "server", "plain git" for a baseline).
type Row struct {
	Attack   string `json:"attack"`
	Runtime  string `json:"runtime"`
	Expected string `json:"expected"`
	Seen     string `json:"seen"`
	Test     string `json:"test"`
}

// Record writes an attack down and fails the test when it did not come to what was expected.
func Record(t testing.TB, attack, runtime, expected, seen string) {
	t.Helper()
	if seen != expected {
		t.Errorf("attack %q on %s: expected %q, seen %q", attack, runtime, expected, seen)
	}
	path := os.Getenv(Variable)
	if path == "" {
		return
	}
	line, err := json.Marshal(Row{attack, runtime, expected, seen, t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatalf("write the attack down: %v", err)
	}
	// One write: test binaries of several packages add to the file at once.
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Errorf("write the attack down: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("write the attack down: %v", err)
	}
}

// Case runs f as a subtest and writes down what it came to: Held when f reports no error, else that it did not hold.
func Case(t *testing.T, attack, runtime string, f func(t *testing.T)) {
	t.Helper()
	t.Run(attack, func(t *testing.T) {
		defer func() {
			seen := Held
			switch {
			case t.Skipped():
				return
			case t.Failed():
				seen = "got through, see the test"
			}
			Record(t, attack, runtime, Held, seen)
		}()
		f(t)
	})
}
