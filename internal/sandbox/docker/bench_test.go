package docker

import (
	"io"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/sandboxtest"
	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// BenchmarkStep is one more step in a sandbox, beside a bare "docker run --rm" of the same.
func BenchmarkStep(b *testing.B) {
	testenv.Docker(b)
	testenv.Root(b)
	r, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	rootfs := b.TempDir()
	sandboxtest.Build(b, filepath.Join(rootfs, "testprog"))
	img := &image.Image{Rootfs: rootfs}
	b.Run("glovebox", func(b *testing.B) {
		spec := newSpec(b, "bench")
		box, err := r.Create(b.Context(), spec)
		if err != nil {
			b.Fatal(err)
		}
		defer box.Close(b.Context())
		for b.Loop() {
			step := sandbox.Step{Key: "s", Image: img, Argv: []string{"/testprog", "exit", "0"}, Dir: sandbox.WorkspaceDir}
			if exit, err := box.Run(b.Context(), step, io.Discard, io.Discard); err != nil || exit.Code != 0 {
				b.Fatal(exit, err)
			}
		}
	})
	b.Run("dockerRun", func(b *testing.B) {
		tar := exec.Command("sh", "-ec", `tar -C "$1" -c . | docker import - glovebox-test/bench:1`, "sh", rootfs)
		if out, err := tar.CombinedOutput(); err != nil {
			b.Skipf("no docker command line: %v: %s", err, out)
		}
		for b.Loop() {
			if out, err := exec.Command("docker", "run", "--rm", "--init", "--network=none", "glovebox-test/bench:1", "/testprog", "exit", "0").CombinedOutput(); err != nil {
				b.Fatal(err, string(out))
			}
		}
	})
}
