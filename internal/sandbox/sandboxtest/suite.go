// Package sandboxtest is the suite that every runtime passes: the contract of
// package sandbox, every limit, and attacks by a hostile program (testprog), run for
// real. A runtime's own test is ten lines that call Run. It needs root, loop devices and
// the Go toolchain; it must not know any one runtime.
package sandboxtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/glovebox-dev/glovebox/internal/attacktest"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// Config says what is tested.
type Config struct {
	// Runtime is the runtime under test.
	Runtime sandbox.Runtime
	// Unisolated is for runtimes that only pretend (fake): limits and attacks are left
	// out, and the test program is called by its path on the host.
	Unisolated bool
	// Traces adds to what the suite itself looks for (processes, mounts, cgroups, links,
	// network namespaces) after a Close: each string names one thing that is left of the
	// sandbox with that ID. It may be nil.
	Traces func(t *testing.T, id string) []string
}

// Run runs the whole suite, each part as a subtest.
func Run(t *testing.T, c Config) {
	s := &suite{Config: c, rootfs: makeRootfs(t)}
	if dir := os.Getenv(crashVariable); dir != "" {
		s.crashing(t, dir)
		return
	}
	t.Run("Check", func(t *testing.T) {
		if err := c.Runtime.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	// The tests of hostile groups are attacks: their names are those of docs/threat-model.md.
	groups := []struct {
		name              string
		isolated, hostile bool
		tests             map[string]func(*testing.T)
	}{
		{"Step", false, false, s.stepTests()},
		{"Stop", false, false, s.stopTests()},
		{"Root", true, false, s.rootTests()},
		{"File", true, false, s.fileTests()},
		{"Cache", true, false, s.cacheTests()},
		{"Limit", true, false, s.limitTests()},
		{"Attack", true, true, s.attackTests()},
	}
	for _, g := range groups {
		if g.isolated && c.Unisolated {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			for name, f := range g.tests {
				if g.hostile {
					attacktest.Case(t, name, c.Runtime.Name(), f)
				} else {
					t.Run(name, f)
				}
			}
		})
	}
}

// suite is a Config with what its tests share.
type suite struct {
	Config
	rootfs string
}

// makeRootfs makes the root of a tiny image with the test program in it.
func makeRootfs(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"bin", "etc", "tmp", "opt", "usr/bin"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	must(t, os.Chmod(root, 0o755))
	must(t, os.Chmod(filepath.Join(root, "tmp"), 0o777|os.ModeSticky))
	program := filepath.Join(root, "bin", "testprog")
	Build(t, program)
	b, err := os.ReadFile(program)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "bin", "suid"), b, 0o755))
	must(t, os.Chmod(filepath.Join(root, "bin", "suid"), 0o755|os.ModeSetuid))
	must(t, os.WriteFile(filepath.Join(root, "bin", "data"), []byte("no program\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "etc", "passwd"), []byte("root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"), 0o644))
	return root
}

// Build builds the static test program at path.
func Build(t testing.TB, path string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "github.com/glovebox-dev/glovebox/internal/sandbox/sandboxtest/testprog")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the test program: %v\n%s", err, out)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
