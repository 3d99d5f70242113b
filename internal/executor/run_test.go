package executor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/logs"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/fake"
	"github.com/glovebox-dev/glovebox/internal/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plainDisk is a Disk without a bound, for tests that are not root.
type plainDisk struct {
	dir  string
	full bool
}

func (d *plainDisk) Work() string        { return filepath.Join(d.dir, "work") }
func (d *plainDisk) Scratch() string     { return filepath.Join(d.dir, "scratch") }
func (d *plainDisk) Full() (bool, error) { return d.full, nil }
func (d *plainDisk) Close() error        { return os.RemoveAll(d.dir) }

func makePlainDisk(_ context.Context, path string, _ int64) (Disk, error) {
	d := &plainDisk{dir: path}
	return d, errors.Join(os.MkdirAll(d.Work(), 0o755), os.MkdirAll(d.Scratch(), 0o755))
}

// fakeImages has every image but those named "missing".
type fakeImages struct {
	mu   sync.Mutex
	held int
}

func (f *fakeImages) Ensure(_ context.Context, ref string) (*image.Image, func(), error) {
	if ref == "missing" {
		return nil, nil, errors.New("no such image")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held++
	return &image.Image{Ref: ref, Digest: "sha256:" + ref, Env: []string{"PATH=/bin"}}, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.held--
	}, nil
}

func (f *fakeImages) Digest(_ context.Context, ref string) (string, error) {
	if ref == "missing" {
		return "", errors.New("no such image")
	}
	return "sha256:" + ref, nil
}

// rig is everything a test needs to run jobs with the fake runtime.
type rig struct {
	t       *testing.T
	runtime *fake.Runtime
	images  *fakeImages
	deps    Deps
}

func newRig(t *testing.T, source Source) *rig {
	t.Helper()
	cache, err := workspace.OpenCache(workspace.CacheOptions{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, runtime: &fake.Runtime{}, images: &fakeImages{}}
	r.deps = Deps{
		Source: source, Runtimes: map[string]sandbox.Runtime{"fake": r.runtime}, DefaultRuntime: "fake", Images: r.images,
		MakeDisk: makePlainDisk, Cache: cache, Dir: filepath.Join(t.TempDir(), "jobs"), Instance: "test", AllowHostImage: true, Transports: []string{"file"},
		Wait: func(ctx context.Context, _ int) {
			select {
			case <-ctx.Done():
			case <-time.After(time.Millisecond):
			}
		},
	}
	if err := r.deps.Validate(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.nothingLeft)
	return r
}

// nothingLeft checks that every sandbox, image and folder is gone.
func (r *rig) nothingLeft() {
	r.t.Helper()
	if n := r.runtime.Open(); n != 0 {
		r.t.Errorf("%d sandboxes left", n)
	}
	if r.images.held != 0 {
		r.t.Errorf("%d images held", r.images.held)
	}
	if left, _ := os.ReadDir(r.deps.Dir); len(left) != 0 {
		r.t.Errorf("job folders left: %v", left)
	}
}

func steps(scripts ...string) []glovebox.Step {
	var list []glovebox.Step
	for _, s := range scripts {
		list = append(list, glovebox.Step{Image: "img", Run: s})
	}
	return list
}

// repository makes a repository with one commit.
func repository(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("git is needed by this test")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("one\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	opts := git.Options{Dir: dir, Config: []string{"user.name=a", "user.email=a@b"}}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"commit", "-qm", "one"}} {
		if err := git.Run(t.Context(), opts, args...); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLocalRun(t *testing.T) {
	var memory logs.Memory
	var diff bytes.Buffer
	source := &LocalSource{Sink: &memory, Diff: &diff, Outputs: filepath.Join(t.TempDir(), "out")}
	r := newRig(t, source)
	spec := glovebox.JobSpec{
		Repo:    &glovebox.Repo{Name: repository(t)},
		Steps:   steps("echo hello", "append a.txt two\nmkdir report\nwrite report/x.json {}\nerr warning\nenv TOKEN"),
		Outputs: []string{"report/*.json"},
	}
	spec.Steps[1].Secrets = []string{"TOKEN"}
	lease, notes, err := LocalLease(t.Context(), "job-1", spec, map[string]string{"TOKEN": "s3cretvalue"})
	if err != nil || len(notes) != 0 {
		t.Fatal(err, notes)
	}
	result := Run(t.Context(), r.deps, lease)
	if result.State != glovebox.StateCompleted || len(result.Steps) != 2 {
		t.Fatalf("%+v\n%s", result, memory.Text("", ""))
	}
	if got := memory.Text("step-1", glovebox.StreamStdout); got != "hello\n" {
		t.Errorf("stdout %q", got)
	}
	if got := memory.Text("step-2", ""); got != "warning\n***\n" {
		t.Errorf("log %q", got)
	}
	if !strings.Contains(diff.String(), "+two") || result.Diff == nil || result.Diff.Files != 2 {
		t.Errorf("diff %+v: %s", result.Diff, diff.String())
	}
	if got, err := os.ReadFile(filepath.Join(source.Outputs, "report/x.json")); err != nil || string(got) != "{}\n" {
		t.Errorf("output %q, %v", got, err)
	}
	for _, s := range r.runtime.Steps()[:1] {
		for _, kv := range s.Env {
			if strings.Contains(kv, "s3cret") {
				t.Error("a step that does not name the secret has it")
			}
		}
	}
}

type sandboxRuntime = sandbox.Runtime

// noSandbox is a runtime that must not be asked for a sandbox.
type noSandbox struct{ sandbox.Runtime }

func (noSandbox) Create(context.Context, sandbox.Spec) (sandbox.Sandbox, error) {
	return nil, errors.New("a sandbox was asked for")
}

// commitAll commits what is in a repository's folder.
func commitAll(t *testing.T, dir string) {
	t.Helper()
	opts := git.Options{Dir: dir, Config: []string{"user.name=a", "user.email=a@b"}}
	for _, args := range [][]string{{"add", "."}, {"commit", "-qm", "more"}} {
		if err := git.Run(t.Context(), opts, args...); err != nil {
			t.Fatal(err)
		}
	}
}
