package sandboxtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/disk"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// patience bounds everything that the contract says happens soon.
const patience = 10 * time.Second

// box is one sandbox with all that its job would have.
type box struct {
	sandbox.Sandbox
	t     *testing.T
	suite *suite
	spec  sandbox.Spec
	disk  *disk.Disk
	image *image.Image
	steps int
}

// option changes a box before it is made.
type option func(*box, *disk.Options)

func limits(f func(*glovebox.Limits)) option {
	return func(b *box, _ *disk.Options) { f(&b.spec.Limits) }
}

func inodes(n int64) option { return func(_ *box, o *disk.Options) { o.Inodes = n } }

func bind(source, target string) option {
	return func(b *box, _ *disk.Options) {
		b.image.Binds = append(b.image.Binds, image.Bind{Source: source, Target: target})
	}
}

func cache(source, path string) option {
	return func(b *box, _ *disk.Options) {
		b.spec.Caches = append(b.spec.Caches, sandbox.Cache{Source: source, Path: path})
	}
}

func rootfs(dir string) option { return func(b *box, _ *disk.Options) { b.image.Rootfs = dir } }

// open makes a sandbox, which is closed and looked for after the test.
func (s *suite) open(t *testing.T, options ...option) *box {
	t.Helper()
	b := s.prepare(t, options...)
	var err error
	if b.Sandbox, err = s.Runtime.Create(t.Context(), b.spec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.close(t) })
	return b
}

// prepare makes everything but the sandbox itself.
func (s *suite) prepare(t *testing.T, options ...option) *box {
	t.Helper()
	return s.prepareIn(t, t.TempDir(), options...)
}

func (s *suite) prepareIn(t *testing.T, dir string, options ...option) *box {
	t.Helper()
	id := "gbt-" + strings.ToLower(rand.Text()[:12])
	l := glovebox.DefaultLimits()
	l.Memory, l.Disk = 256<<20, 64<<20
	b := &box{t: t, suite: s, image: &image.Image{Ref: "test", Digest: "sha256:test", Rootfs: s.rootfs, Env: []string{"PATH=/bin"}}}
	b.spec = sandbox.Spec{ID: id, Instance: "suite", Limits: l, Network: glovebox.NetworkNone}
	var o disk.Options
	for _, f := range options {
		f(b, &o)
	}
	if s.Unisolated { // needs no root then
		b.spec.Workspace, b.spec.Scratch = filepath.Join(dir, "work"), filepath.Join(dir, "scratch")
		must(t, os.Mkdir(b.spec.Workspace, 0o755))
		must(t, os.Mkdir(b.spec.Scratch, 0o755))
	} else {
		d, err := disk.Create(t.Context(), filepath.Join(dir, "disk"), int64(b.spec.Limits.Disk), o)
		must(t, err)
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		b.disk, b.spec.Workspace, b.spec.Scratch = d, d.Work(), d.Scratch()
	}
	b.spec.State = filepath.Join(dir, "state")
	must(t, os.Mkdir(b.spec.State, 0o700))
	return b
}

// close closes the sandbox and fails the test for whatever is left of it.
func (b *box) close(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	b.wantNoTrace(t)
}

// outcome is what a step came to.
type outcome struct {
	sandbox.Exit
	stdout, stderr string
}

// step makes a Step that runs the test program in a mode.
func (b *box) step(args ...string) sandbox.Step {
	b.steps++
	program := "testprog"
	if b.suite.Unisolated {
		program = filepath.Join(b.image.Rootfs, "bin", "testprog")
	}
	return sandbox.Step{
		Key: fmt.Sprintf("step-%d", b.steps), Image: b.image, Argv: append([]string{program}, args...),
		Env: b.image.Env, Dir: sandbox.WorkspaceDir,
	}
}

// do runs one step to its end, which must come within a minute.
func (b *box) do(step sandbox.Step) outcome {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	exit, err := b.Run(ctx, step, &stdout, &stderr)
	if err != nil {
		b.t.Fatalf("run %q: %v\nstdout: %s\nstderr: %s", step.Argv, err, tail(&stdout), tail(&stderr))
	}
	return outcome{exit, stdout.String(), stderr.String()}
}

func tail(b *bytes.Buffer) []byte { return b.Bytes()[max(0, b.Len()-2000):] }

// run runs the test program and wants an exit code.
func (b *box) run(code int, args ...string) outcome {
	b.t.Helper()
	o := b.do(b.step(args...))
	if o.Code != code {
		b.t.Fatalf("%q: exit code %d, want %d\nstdout: %.2000s\nstderr: %.2000s", args, o.Code, code, o.stdout, o.stderr)
	}
	return o
}

// says runs the test program and wants its standard output.
func (b *box) says(want string, args ...string) {
	b.t.Helper()
	if o := b.run(0, args...); strings.TrimSpace(o.stdout) != want {
		b.t.Errorf("%q says %q, want %q (stderr: %.2000s)", args, o.stdout, want, o.stderr)
	}
}

// work is the path of a workspace file as the steps of this runtime see it.
func (b *box) work(name string) string {
	if b.suite.Unisolated {
		return filepath.Join(b.spec.Workspace, name)
	}
	return filepath.Join(sandbox.WorkspaceDir, name)
}
