package gvisor

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/disk"
	"github.com/glovebox-dev/glovebox/internal/egress/egresstest"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/sandboxtest"
	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// TestPublicNetwork: a step reaches public addresses and its resolver, and nothing else.
func TestPublicNetwork(t *testing.T) {
	exe := testenv.Gvisor(t)
	if !egresstest.Isolated(t) {
		return
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	for _, d := range []string{"root/bin", "root/etc", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sandboxtest.Build(t, filepath.Join(root, "bin", "testprog"))
	d, err := disk.Create(t.Context(), filepath.Join(dir, "disk"), 32<<20, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	sb, err := New(Options{Exe: exe}).Create(t.Context(), sandbox.Spec{
		ID: "net-test", Instance: "net-suite", Workspace: d.Work(), Scratch: d.Scratch(), State: filepath.Join(dir, "state"),
		Limits: glovebox.DefaultLimits(), Network: glovebox.NetworkPublic,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sb.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if entries, _ := os.ReadDir("/run/netns"); len(entries) != 0 {
			t.Errorf("left behind: %v", entries)
		}
	}()
	step := func(args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		exit, err := sb.Run(t.Context(), sandbox.Step{
			Key: "dial", Image: &image.Image{Rootfs: root}, Argv: append([]string{"/bin/testprog"}, args...), Dir: sandbox.WorkspaceDir,
		}, &stdout, &stderr)
		if err != nil || exit.Code != 0 {
			t.Fatalf("%v, %+v\n%s", err, exit, stderr.String())
		}
		return stdout.String()
	}
	if got := step("cat", "/etc/resolv.conf"); got != "nameserver "+egresstest.Resolver+"\n" {
		t.Errorf("resolv.conf: %q", got)
	}
	open, refused := []string{"dial"}, []string{"dial"}
	for _, network := range []string{"tcp,", "udp,"} {
		for _, a := range append(egresstest.Public(), egresstest.DNS()...) {
			open = append(open, network+a)
		}
		for _, a := range egresstest.Private() {
			refused = append(refused, network+a)
		}
	}
	if got := step(open...); strings.Contains(got, "refused") || strings.Count(got, " open") != len(open)-1 {
		t.Errorf("public addresses:\n%s", got)
	}
	if got := step(refused...); strings.Contains(got, "open") || strings.Count(got, " refused after") != len(refused)-1 {
		t.Errorf("private addresses:\n%s", got)
	}
}
