package sandboxtest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// stepTests are what a step sees and what it hands back.
func (s *suite) stepTests() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"ExitCodes":      s.exitCodes,
		"Streams":        s.streams,
		"BigOutput":      s.bigOutput,
		"EnvAndDir":      s.envAndDir,
		"Stdin":          s.stdin,
		"Order":          s.order,
		"Sync":           s.sync,
		"FilesFromHost":  s.filesFromHost,
		"LateWorkspace":  s.lateWorkspace,
		"SameKeyTwice":   s.sameKeyTwice,
		"UsageIsCounted": s.usage,
	}
}

func (s *suite) exitCodes(t *testing.T) {
	b := s.open(t)
	for _, c := range []string{"0", "1", "42", "255"} {
		o := b.do(b.step("exit", c))
		if c != itoa(o.Code) || o.OOM || o.PidsLimit {
			t.Errorf("exit %s: %+v", c, o.Exit)
		}
	}
	b.run(128+9, "signal", "9")
	b.run(128+15, "signal", "15")
	missing := b.step()
	missing.Argv = []string{"no-such-program"}
	if o := b.do(missing); o.Code != 127 {
		t.Errorf("a missing program: %d, want 127 (%s)", o.Code, o.stderr)
	}
	missing.Argv = []string{"/no/such/program"}
	if o := b.do(missing); o.Code != 127 {
		t.Errorf("a missing path: %d, want 127 (%s)", o.Code, o.stderr)
	}
	data := b.step()
	data.Argv = []string{strings.TrimSuffix(data.Argv[0], "testprog") + "data"}
	if !s.Unisolated {
		data.Argv = []string{"/bin/data"}
	}
	if o := b.do(data); o.Code != 126 {
		t.Errorf("a file that is no program: %d, want 126 (%s)", o.Code, o.stderr)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func (s *suite) streams(t *testing.T) {
	b := s.open(t)
	o := b.run(0, "out", "256")
	if strings.Count(o.stdout, "o") != 4 || strings.Contains(o.stdout, "e") {
		t.Errorf("stdout: %q", o.stdout)
	}
	if strings.Count(o.stderr, "e") != 4 || strings.Contains(o.stderr, "o") {
		t.Errorf("stderr: %q", o.stderr)
	}
}

func (s *suite) bigOutput(t *testing.T) {
	const size = 8 << 20
	b := s.open(t)
	o := b.run(0, "out", itoa(size))
	if len(o.stdout) != size || len(o.stderr) != size {
		t.Fatalf("%d and %d bytes, want %d each", len(o.stdout), len(o.stderr), size)
	}
	for i, line := range strings.Split(strings.TrimSuffix(o.stdout, "\n"), "\n") {
		if !strings.HasSuffix(line, itoa(i*64)) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
}

func (s *suite) envAndDir(t *testing.T) {
	b := s.open(t)
	must(t, os.Mkdir(filepath.Join(b.spec.Workspace, "sub dir"), 0o755))
	step := b.step("env")
	step.Env = []string{"PATH=/bin", "A=1", "EMPTY=", "LINES=a\nb", "UTF=é"}
	got := b.do(step).stdout
	for _, want := range step.Env {
		if !strings.Contains("\n"+got, "\n"+want+"\n") {
			t.Errorf("the environment lacks %q: %q", want, got)
		}
	}
	for _, secret := range []string{"HOSTNAME_OF_HOST", "GLOVEBOX_", "GOPATH", "HOME=" + os.Getenv("HOME")} {
		if strings.Contains(got, secret) {
			t.Errorf("the environment holds the host's %s: %q", secret, got)
		}
	}
	step = b.step("pwd")
	step.Dir = sandbox.WorkspaceDir + "/sub dir"
	if got := strings.TrimSpace(b.do(step).stdout); got != b.work("sub dir") {
		t.Errorf("dir: %q", got)
	}
}

func (s *suite) stdin(t *testing.T) {
	s.open(t).says("0", "stdin")
}

func (s *suite) order(t *testing.T) {
	b := s.open(t)
	b.run(0, "write", b.work("a"), "one")
	b.says("one", "cat", b.work("a"))
	b.run(0, "write", b.work("a"), "two")
	b.says("two", "cat", b.work("a"))
	b.run(3, "cat", b.work("b"))
}

func (s *suite) sync(t *testing.T) {
	b := s.open(t)
	b.run(0, "write", b.work("new"), "text")
	must(t, b.Sync(t.Context()))
	got, err := os.ReadFile(filepath.Join(b.spec.Workspace, "new"))
	if string(got) != "text" {
		t.Errorf("on the host: %q, %v", got, err)
	}
}

func (s *suite) filesFromHost(t *testing.T) {
	b := s.prepare(t)
	must(t, os.WriteFile(filepath.Join(b.spec.Workspace, "given"), []byte("by the host"), 0o644))
	var err error
	b.Sandbox, err = s.Runtime.Create(t.Context(), b.spec)
	must(t, err)
	t.Cleanup(func() { b.close(t) })
	b.says("by the host", "cat", b.work("given"))
}

func (s *suite) sameKeyTwice(t *testing.T) {
	b := s.open(t)
	step := b.step("exit", "7")
	for range 2 { // a key is unique by contract; twice must not break the sandbox though
		var stdout, stderr bytes.Buffer
		if exit, err := b.Run(t.Context(), step, &stdout, &stderr); err == nil && exit.Code != 7 {
			t.Errorf("exit code %d, want 7 or an error", exit.Code)
		}
	}
	b.run(0, "exit", "0")
}

func (s *suite) usage(t *testing.T) {
	b := s.open(t)
	o := b.run(0, "spin", "300")
	if o.Usage.CPUSeconds < 0.05 || o.Usage.WallSeconds < 0.3 || o.Usage.WallSeconds > 30 {
		t.Errorf("usage of a busy step: %+v", o.Usage)
	}
	if s.Unisolated {
		return
	}
	if o := b.run(0, "alloc", itoa(96<<20)); o.Usage.PeakMemory < 64<<20 || o.Usage.PeakMemory > 256<<20 {
		t.Errorf("peak memory of a step that takes 96 MiB: %d", o.Usage.PeakMemory)
	}
}
