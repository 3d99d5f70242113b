package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/sandboxtest"
)

// newSpec is a sandbox on ordinary folders.
func newSpec(t testing.TB, id string) sandbox.Spec {
	t.Helper()
	dir := t.TempDir()
	spec := sandbox.Spec{
		ID: id, Instance: "test-" + id, Workspace: filepath.Join(dir, "work"), Scratch: filepath.Join(dir, "scratch"), State: filepath.Join(dir, "state"),
		Limits: glovebox.DefaultLimits(), Network: glovebox.NetworkNone,
	}
	for _, d := range []string{spec.Workspace, spec.Scratch, spec.State} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return spec
}

// runSteps runs steps in a sandbox and returns what each printed.
func runSteps(t *testing.T, r *Runtime, spec sandbox.Spec, img *image.Image, argvs ...[]string) []string {
	t.Helper()
	b, err := r.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	var outs []string
	for i, argv := range argvs {
		var out bytes.Buffer
		exit, err := b.Run(t.Context(), sandbox.Step{Key: "s" + string(rune('0'+i)), Image: img, Argv: argv, Env: img.Env, Dir: sandbox.WorkspaceDir}, &out, &out)
		if err != nil || exit.Code != 0 {
			t.Fatalf("%q: %+v, %v\n%s", argv, exit, err, out.String())
		}
		outs = append(outs, out.String())
	}
	return outs
}

func TestHostImage(t *testing.T) {
	r := engine(t)
	s, err := image.Open(image.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	img, release, err := s.EnsureFrom(t.Context(), r, image.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	script := `id -un; git --version; ls -ld /tmp; test ! -e /etc/shadow; test -s /etc/passwd; mkdir /made; echo x > /made/x; echo x > /root/x; ! touch /usr/x 2>/dev/null; ls /work`
	out := runSteps(t, r, newSpec(t, "host"), img, []string{"sh", "-e", "-c", script})[0]
	for _, want := range []string{"root\n", "git version", "drwxrwxrwt"} {
		if !strings.Contains(out, want) {
			t.Errorf("output %q lacks %q", out, want)
		}
	}
	if _, err := os.Lstat("/usr/x"); err == nil {
		t.Error("a step wrote into the host's /usr")
	}
}

// TestImageOfTheEngine: an image that only the engine has needs no registry.
func TestImageOfTheEngine(t *testing.T) {
	r := engine(t)
	program := filepath.Join(t.TempDir(), "testprog")
	sandboxtest.Build(t, program)
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: "testprog", Mode: 0o755, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const ref = "glovebox-test/imported:1"
	done, err := r.client.ImageImport(t.Context(), client.ImageImportSource{Source: &buf, SourceName: "-"}, ref, client.ImageImportOptions{Changes: []string{"ENV A=b"}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, done)
	done.Close()
	defer r.client.ImageRemove(t.Context(), ref, client.ImageRemoveOptions{})
	s, err := image.Open(image.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	img, release, err := s.EnsureFrom(t.Context(), r, ref)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	outs := runSteps(t, r, newSpec(t, "imported"), img, []string{"/testprog", "env"}, []string{"/testprog", "exit", "0"})
	if !strings.Contains(outs[0], "A=b\n") {
		t.Errorf("environment %q", outs[0])
	}
	if _, _, err := s.EnsureFrom(t.Context(), r, "127.0.0.1:1/glovebox-test/absent:1"); err == nil || !strings.Contains(err.Error(), "ask registry") {
		t.Errorf("an image that nobody has: %v", err)
	}
}

// TestNetworkIsTheJobsOwn: with a network, there is a bridge of the job's, gone after Close; without rules, none.
func TestNetworkIsTheJobsOwn(t *testing.T) {
	r := engine(t)
	spec := newSpec(t, "net")
	spec.Network = glovebox.NetworkPublic
	if _, err := r.Create(t.Context(), spec); err == nil {
		t.Fatal("a network without egress rules was made")
	}
	guarded := 0
	r.options.Guard = func(context.Context) error { guarded++; return nil }
	b, err := r.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join("/sys/class/net", bridgeName(spec.ID))
	if _, err := os.Stat(link); err != nil || guarded == 0 {
		t.Errorf("bridge: %v, guarded %d times", err, guarded)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(link); err == nil {
		t.Error("the bridge is left behind")
	}
	b, err = r.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Sweep(t.Context(), spec.Instance); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(link); err == nil {
		t.Error("the bridge is left behind by Sweep")
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
