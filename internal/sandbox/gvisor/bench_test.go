package gvisor

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/disk"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// BenchmarkSandbox measures the making and removing of a sandbox and, within one, a step.
func BenchmarkSandbox(b *testing.B) {
	exe := testenv.Gvisor(b)
	testenv.Root(b)
	root := b.TempDir()
	if err := os.WriteFile(filepath.Join(root, "true"), trueProgram(), 0o755); err != nil {
		b.Fatal(err)
	}
	d, err := disk.Create(b.Context(), filepath.Join(b.TempDir(), "disk"), 64<<20, disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	r := New(Options{Exe: exe})
	create := func(state string) sandbox.Sandbox {
		sb, err := r.Create(b.Context(), sandbox.Spec{ID: "bench", Instance: "bench", Workspace: d.Work(), Scratch: d.Scratch(), State: state,
			Limits: glovebox.DefaultLimits(), Network: glovebox.NetworkNone})
		if err != nil {
			b.Fatal(err)
		}
		return sb
	}
	b.Run("CreateClose", func(b *testing.B) {
		state := b.TempDir()
		for b.Loop() {
			if err := create(state).Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	step := func(files ...sandbox.File) func(b *testing.B) {
		return func(b *testing.B) {
			sb := create(b.TempDir())
			defer sb.Close(b.Context())
			for b.Loop() {
				exit, err := sb.Run(b.Context(), sandbox.Step{Key: "true", Image: &image.Image{Rootfs: root}, Argv: []string{"/true"}, Dir: "/", Files: files}, io.Discard, io.Discard)
				if err != nil || exit.Code != 0 {
					b.Fatal(exit, err)
				}
			}
		}
	}
	b.Run("Step", step())
	b.Run("StepWithFile", step(sandbox.File{Path: "/work/script", Data: []byte("x")}))
}
