package sandboxtest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox/internal/disk"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// crashVariable tells the test binary, executed again, to be the process that crashes.
const crashVariable = "GLOVEBOX_SANDBOXTEST_CRASH"

// crashInstance is the instance name of the process that crashes.
const crashInstance = "crashed"

// crash: what a killed process leaves behind is removed by the next one's Sweep, which
// leaves other instances alone. Sweep may be called again, and for nothing.
func (s *suite) crash(t *testing.T) {
	if s.Unisolated {
		t.Skip("nothing would be left")
	}
	other := s.open(t)
	spec := s.runCrash(t)
	for range 2 {
		must(t, s.Runtime.Sweep(t.Context(), crashInstance))
	}
	b := &box{t: t, suite: s, spec: spec}
	b.wantNoTrace(t)
	must(t, disk.Sweep(filepath.Dir(filepath.Dir(filepath.Dir(spec.Scratch)))))
	other.run(0, "exit", "0")
	must(t, s.Runtime.Sweep(t.Context(), "never-there"))
}

// runCrash executes this test binary again to run a step, kills it and returns the spec.
func (s *suite) runCrash(t *testing.T) sandbox.Spec {
	t.Helper()
	root, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+root+"$", "-test.v")
	cmd.Env = append(os.Environ(), crashVariable+"="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "spec "); ok {
			var spec sandbox.Spec
			must(t, json.Unmarshal([]byte(text), &spec))
			return spec
		}
		t.Log(lines.Text())
	}
	t.Fatal("the process that should crash ended before")
	return sandbox.Spec{}
}

// crashing is that process: it says what it has once its step runs, and waits for its end.
func (s *suite) crashing(t *testing.T, dir string) {
	b := s.prepareIn(t, dir)
	b.spec.Instance = crashInstance
	var err error
	b.Sandbox, err = s.Runtime.Create(t.Context(), b.spec)
	must(t, err)
	b.run(0, "exit", "0")
	text, err := json.Marshal(b.spec)
	must(t, err)
	said := &trigger{fire: func() { os.Stdout.WriteString("\nspec " + string(text) + "\n") }}
	b.Run(context.Background(), b.step("stubborn", "60000"), said, io.Discard)
	t.Fatal("nobody killed this process")
}
