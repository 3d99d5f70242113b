package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
	"github.com/glovebox-dev/glovebox/internal/executor"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/fake"
	"github.com/glovebox-dev/glovebox/internal/stepcache"
	"github.com/glovebox-dev/glovebox/internal/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig runs specs over clones with the fake runtime.
type rig struct {
	t       testing.TB
	dir     string
	runtime *fake.Runtime
	cache   *stepcache.Folder
	deps    executor.Deps
	mu      sync.Mutex
	events  []Event
}

type noImages struct{}

func (noImages) Ensure(context.Context, string) (*image.Image, func(), error) {
	return &image.Image{Ref: image.Host, Digest: image.Host}, func() {}, nil
}

func (noImages) Digest(context.Context, string) (string, error) { return image.Host, nil }

type plainDisk string

func (d plainDisk) Work() string        { return filepath.Join(string(d), "work") }
func (d plainDisk) Scratch() string     { return filepath.Join(string(d), "scratch") }
func (d plainDisk) Full() (bool, error) { return false, nil }
func (d plainDisk) Close() error        { return os.RemoveAll(string(d)) }

func newRig(t testing.TB, repos ...string) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), runtime: &fake.Runtime{}}
	for _, name := range repos {
		r.repo(name)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	r.cache, err = stepcache.OpenFolder(t.TempDir(), 0)
	must(err)
	clones, err := workspace.OpenCache(workspace.CacheOptions{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	must(err)
	r.deps = executor.Deps{
		Runtimes: map[string]sandbox.Runtime{"fake": r.runtime}, DefaultRuntime: "fake", Images: noImages{}, Cache: clones,
		MakeDisk: func(_ context.Context, path string, _ int64) (executor.Disk, error) {
			d := plainDisk(path)
			return d, errors.Join(os.MkdirAll(d.Work(), 0o755), os.MkdirAll(d.Scratch(), 0o755))
		},
		Dir: filepath.Join(t.TempDir(), "jobs"), Instance: "test", AllowHostImage: true,
		StepCache: func(glovebox.Lease) stepcache.Store { return r.cache },
	}
	return r
}

func (r *rig) repo(name string) {
	r.t.Helper()
	dir := filepath.Join(r.dir, "repos", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("one\n"), 0o644); err != nil {
		r.t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one"}} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			r.t.Fatalf("git: %v: %s", err, out)
		}
	}
}

// options are a run of steps over all clones.
func (r *rig) options(steps string, more string) Options {
	r.t.Helper()
	text := "version: 2\nname: b\non: [{repositoriesMatching: '**'}]\nimage: host\nsteps:\n" + steps +
		"\nchangesetTemplate: {title: t, branch: b, commit: {message: m}}\n" + more
	spec, _, err := batch.Parse([]byte(text), batch.ParseOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	return Options{
		Spec: spec, SpecText: []byte(text), Repos: NewRepos(RepoOptions{Dir: filepath.Join(r.dir, "repos"), Base: r.dir, Snapshots: filepath.Join(r.dir, "snapshots"), Cache: r.deps.Cache}),
		Out: filepath.Join(r.dir, "out"), Deps: r.deps, Slots: 2, StepCache: glovebox.StepCacheUse,
		Event: func(e Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e)
		},
	}
}

func (r *rig) run(opts Options) Summary {
	r.t.Helper()
	s, err := Run(r.t.Context(), opts)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// states are the workspaces' states by repository.
func states(s Summary) string {
	var list []string
	for _, o := range s.Outcomes {
		list = append(list, o.Repo+"="+string(o.State))
	}
	return strings.Join(list, " ")
}

func TestNamesOfFilesAreSafe(t *testing.T) {
	f := &folder{}
	outcome := func(repo, path, branch string) Outcome {
		return Outcome{Workspace: batch.Workspace{Repo: repo, Path: path, Branch: "refs/heads/" + branch}}
	}
	list := []Outcome{
		outcome("../../etc/passwd", "", "main"), outcome("/abs/x", "", "main"), outcome("-rf", "", "main"), outcome("a\x1b[31m/b\n", "", "main"),
		outcome("https://user:secret@example.org/acme/app.git", "", "main"), outcome("run.jsonl", "", "main"), outcome("logs/x", "", "main"),
		outcome("mono", "", "main"), outcome("mono", "a/b", "main"), outcome("mono", "a-b", "main"),
		outcome("two", "", "main"), outcome("two", "", "dev/x"), outcome(".git/config", "", "main"), outcome(strings.Repeat("x", 5000), "", "main"),
		outcome("Case", "", "main"), outcome("case", "", "main"), outcome("", "", "main"),
	}
	f.name(list)
	seen := map[string]bool{}
	for i, name := range f.names {
		if seen[strings.ToLower(name)] {
			t.Errorf("%q: the name %q is taken", list[i].Repo, name)
		}
		seen[strings.ToLower(name)] = true
		if !filepath.IsLocal(name) || strings.ContainsAny(name, "\x1b\n\\:") || strings.HasPrefix(name, "-") || strings.HasPrefix(name, ".") || strings.Contains(name, "secret") || len(name) > 1000 {
			t.Errorf("%q: %q", list[i].Repo, name)
		}
	}
	for i, want := range map[int]string{4: "example.org/acme/app.git", 7: "mono/root", 8: "mono/a-b", 9: "mono/a-b-2", 10: "two/root@main", 11: "two/root@dev-x"} {
		if f.names[i] != want {
			t.Errorf("%q: %q, want %q", list[i].Repo, f.names[i], want)
		}
	}
}

// TestOneBadWorkspaceHarmsNoOther: floods, huge values and lines that imitate ours end in their own workspace.
func TestOneBadWorkspaceHarmsNoOther(t *testing.T) {
	r := newRig(t, "flood", "good", "liar", "long")
	s := r.run(r.options(`
- run: |
    ${{ if eq repository.name "flood" }}spam 40000 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx${{ end }}
    ${{ if eq repository.name "liar" }}echo {"operation":"EXECUTING_TASK","status":"SUCCESS","metadata":{"repository":"good"}}${{ end }}
    append a.txt two
  outputs:
    said: {value: '${{ if ne repository.name "long" }}${{ step.stdout }}${{ end }}'}
- run: echo ${{ outputs.said }}
`, ""))
	if got := states(s); got != "flood=failed good=completed liar=completed long=completed" {
		t.Errorf("%s\n%+v", got, s.Outcomes)
	}
	if o := s.Outcomes[0]; !strings.Contains(o.Reason, "wrote more than 1M") || o.Log == "" || o.Patch != "" {
		t.Errorf("%+v", o)
	}
	for _, e := range r.events {
		if e.Kind == EventEnded && e.Outcome.Failed() != (e.Name == "flood") {
			t.Errorf("%+v", e)
		}
	}
	if s.OK() {
		t.Error("a failed workspace went well")
	}
}

func TestBranchesMayNotCollide(t *testing.T) {
	r := newRig(t, "app")
	opts := r.options("- run: append a.txt two", "")
	opts.Spec.On = []batch.On{{Repository: "app", Branches: []string{"main", "dev"}}}
	if out, err := exec.Command("git", "-C", filepath.Join(r.dir, "repos/app"), "branch", "dev").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := r.run(opts)
	if s.OK() || !strings.Contains(s.Conflicts, "app: 2 changesets have the branch b") {
		t.Errorf("%s: %q", states(s), s.Conflicts)
	}
	for _, name := range []string{"app/root@main.patch", "app/root@dev.patch"} {
		if _, err := os.Stat(filepath.Join(opts.Out, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestResumeTakesOverWhatIsIntact: an outcome whose patch was changed is made again, and a state file
// that was cut short by a crash is read as far as it goes.
func TestResumeTakesOverWhatIsIntact(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	opts := r.options("- run: append a.txt two", "")
	opts.StepCache = glovebox.StepCacheRefresh
	r.run(opts)
	if err := os.WriteFile(filepath.Join(opts.Out, "b.patch"), []byte("something else"), 0o644); err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(filepath.Join(opts.Out, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(state), "\n"), "\n")
	var last ended
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(opts.Out, stateFile), int64(len(state)-20)); err != nil {
		t.Fatal(err)
	}
	before := len(r.runtime.Steps())
	opts.Resume, opts.Repos = true, NewRepos(RepoOptions{Dir: filepath.Join(r.dir, "repos"), Base: r.dir})
	s := r.run(opts)
	if got := states(s); got != "a=completed b=completed c=completed" {
		t.Fatal(got)
	}
	want := map[string]bool{"b": true, last.Outcome.Repo: true}
	if ran := len(r.runtime.Steps()) - before; ran != len(want) {
		t.Errorf("%d steps ran, want %d", ran, len(want))
	}
	if text, err := os.ReadFile(filepath.Join(opts.Out, "b.patch")); err != nil || !strings.Contains(string(text), "+two") {
		t.Errorf("%q, %v", text, err)
	}
	opts.SpecText = []byte("other")
	if _, err := Run(t.Context(), opts); !errors.Is(err, glovebox.ErrConflict) {
		t.Errorf("another spec was resumed: %v", err)
	}
}

func TestOneRunAtATimeInAFolder(t *testing.T) {
	r := newRig(t, "a")
	opts := r.options("- run: append a.txt two", "")
	held, err := openFolder(opts.Out, "x", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	defer held.close()
	if _, err := Run(t.Context(), opts); !errors.Is(err, glovebox.ErrConflict) {
		t.Errorf("two runs in one folder: %v", err)
	}
}

// TestFolderIsNotLeft: what stands in the folder as a link leads nowhere else.
func TestFolderIsNotLeft(t *testing.T) {
	r := newRig(t, "a/b")
	opts := r.options("- run: append a.txt two", "")
	outside := t.TempDir()
	if err := errors.Join(os.MkdirAll(opts.Out, 0o755), os.Symlink(outside, filepath.Join(opts.Out, "a"))); err != nil {
		t.Fatal(err)
	}
	s, _ := Run(t.Context(), opts)
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("%v was written outside of the folder: %s", left, states(s))
	}
	if s.OK() {
		t.Error("the patch was lost without a word")
	}
}

func TestFailFastAndCancel(t *testing.T) {
	r := newRig(t, "a", "b", "c", "d", "e")
	opts := r.options(`- run: ${{ if eq repository.name "a" }}exit 1${{ end }}`, "")
	opts.FailFast, opts.Slots = true, 1
	s := r.run(opts)
	if got := states(s); got != "a=failed b=canceled c=canceled d=canceled e=canceled" {
		t.Errorf("%s", got)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(glovebox.ErrCanceled)
	if _, err := Run(ctx, opts); !errors.Is(err, glovebox.ErrCanceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestLargeDiff: a diff of a million lines is a patch like any other.
func TestLargeDiff(t *testing.T) {
	r := newRig(t, "a")
	r.runtime.Calls = map[string]func(context.Context, sandbox.Step) error{}
	opts := r.options("- run: call large", "")
	jobs := opts.Deps.Dir
	r.runtime.Calls["large"] = func(context.Context, sandbox.Step) error {
		work, err := filepath.Glob(filepath.Join(jobs, "*", "disk", "work"))
		if err != nil || len(work) != 1 {
			return fmt.Errorf("%v, %v", work, err)
		}
		return os.WriteFile(filepath.Join(work[0], "large.txt"), []byte(strings.Repeat("a line of it\n", 1_000_000)), 0o644)
	}
	s := r.run(opts)
	if o := s.Outcomes[0]; o.State != glovebox.StateCompleted || o.Diff.Insertions != 1_000_000 || o.Changesets[0].Patch != "a.patch" {
		t.Errorf("%s: %s: %+v", o.State, o.Reason, o.Diff)
	}
}

var _ executor.Images = noImages{}
