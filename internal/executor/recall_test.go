package executor

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/logs"
	"github.com/glovebox-dev/glovebox/internal/stepcache"
)

// templated is a rig for jobs with templates and a step cache.
type templated struct {
	*rig
	repo  string
	cache *stepcache.Folder
}

func newTemplated(t *testing.T) *templated {
	t.Helper()
	cache, err := stepcache.OpenFolder(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &templated{rig: newRig(t, newMemorySource()), repo: repository(t), cache: cache}
	r.deps.StepCache = func(glovebox.Lease) stepcache.Store { return cache }
	return r
}

// ended is what a run came to.
type ended struct {
	glovebox.Result
	log, diff string
	// ran are the steps that were run, cached those taken from the cache.
	ran, cached []string
}

func (r *templated) job(list ...glovebox.Step) glovebox.JobSpec {
	return glovebox.JobSpec{Repo: &glovebox.Repo{Name: r.repo}, StepCache: glovebox.StepCacheUse, Steps: list,
		Template: &glovebox.Template{Repository: glovebox.TemplateRepository{Name: "acme/app", Branch: "refs/heads/main"}}}
}

func (r *templated) run(spec glovebox.JobSpec) ended {
	r.t.Helper()
	var memory logs.Memory
	var diff bytes.Buffer
	source := &LocalSource{Sink: &memory, Diff: &diff}
	deps := r.deps
	deps.Source = source
	lease, _, err := LocalLease(r.t.Context(), "job-1", spec, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	before := len(r.runtime.Steps())
	e := ended{Result: Run(r.t.Context(), deps, lease)}
	e.log, e.diff = memory.Text("", ""), diff.String()
	for _, s := range r.runtime.Steps()[before:] {
		e.ran = append(e.ran, s.Key)
	}
	for _, s := range e.Steps {
		if s.Cached {
			e.cached = append(e.cached, s.Key)
		}
	}
	return e
}

func (r *templated) want(e ended, state glovebox.State, ran, cached string) {
	r.t.Helper()
	if e.State != state || strings.Join(e.ran, " ") != ran || strings.Join(e.cached, " ") != cached {
		r.t.Fatalf("%s (%s), ran %v, cached %v; want %s, ran %q, cached %q\n%s", e.State, e.Reason, e.ran, e.cached, state, ran, cached, e.log)
	}
}

func step(run string) glovebox.Step { return glovebox.Step{Image: "img", Run: run} }

func TestTemplatedSteps(t *testing.T) {
	r := newTemplated(t)
	first := step("append a.txt two\nwrite new.txt x\necho {\"n\": 3, \"of\": [\"a\", \"b\"]}")
	first.Run = "append a.txt two\nwrite new.txt x\necho found"
	first.Outputs = map[string]glovebox.StepOutput{
		"word": {Value: "${{ step.stdout }}"},
		"data": {Value: `{"n": 3, "of": ["a", "b"]}`, Format: "json"},
		"repo": {Value: "${{ repository.name }} at ${{ steps.path }}"},
	}
	second := step("echo ${{ previous_step.modified_files }}|${{ previous_step.added_files }}|${{ join outputs.data.of \"-\" }}")
	second.Condition = "${{ eq outputs.data.n 3 }}"
	second.Env = map[string]string{"NAME": "${{ repository.name }}"}
	third := step("echo never")
	third.Condition = "${{ ne repository.name \"acme/app\" }}"
	e := r.run(r.job(first, second, third))
	r.want(e, glovebox.StateCompleted, "step-1 step-2", "")
	if !strings.Contains(e.log, "a.txt|new.txt|a-b\n") {
		t.Errorf("log:\n%s", e.log)
	}
	want := map[string]any{"word": "found\n", "data": map[string]any{"n": 3, "of": []any{"a", "b"}}, "repo": "acme/app at "}
	if !reflect.DeepEqual(e.Values, want) {
		t.Errorf("values %#v, want %#v", e.Values, want)
	}
	if e.Changes == nil || !reflect.DeepEqual(*e.Changes, glovebox.Changes{Modified: []string{"a.txt"}, Added: []string{"new.txt"}}) {
		t.Errorf("changes %+v", e.Changes)
	}
	if e.Steps[2].State != glovebox.StateSkipped {
		t.Errorf("third step: %+v", e.Steps[2])
	}
	// The values are the same when nothing was run.
	again := r.run(r.job(first, second, third))
	r.want(again, glovebox.StateCompleted, "", "step-1 step-2")
	if !reflect.DeepEqual(again.Values, e.Values) || !reflect.DeepEqual(again.Changes, e.Changes) || again.diff != e.diff || !reflect.DeepEqual(again.Diff, e.Diff) {
		t.Errorf("cached: %#v %+v\n%s", again.Values, again.Changes, again.diff)
	}
}

// TestCachedJobsNeedNothing: a job whose steps are all cached asks neither for the repository nor for a sandbox.
func TestCachedJobsNeedNothing(t *testing.T) {
	r := newTemplated(t)
	spec := r.job(step("append a.txt two"), step("append a.txt three"))
	first := r.run(spec)
	r.want(first, glovebox.StateCompleted, "step-1 step-2", "")
	lease, _, err := LocalLease(t.Context(), "job-1", spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.repo); err != nil {
		t.Fatal(err)
	}
	var diff bytes.Buffer
	deps := r.deps
	deps.Source, deps.Runtimes = &LocalSource{Sink: &logs.Memory{}, Diff: &diff}, map[string]sandboxRuntime{"fake": nil}
	deps.Runtimes["fake"] = noSandbox{r.runtime}
	result := Run(t.Context(), deps, lease)
	if result.State != glovebox.StateCompleted || diff.String() != first.diff || result.Commit != lease.Job.Repo.Commit {
		t.Errorf("%+v\n%s", result, diff.String())
	}
}

// TestOnlyWhatChangedRuns: an edited step runs on the tree that the cached ones before it left.
func TestOnlyWhatChangedRuns(t *testing.T) {
	r := newTemplated(t)
	r.want(r.run(r.job(step("append a.txt two"), step("append a.txt three"), step("cat a.txt"))), glovebox.StateCompleted, "step-1 step-2 step-3", "")
	e := r.run(r.job(step("append a.txt two"), step("append a.txt THREE"), step("cat a.txt")))
	r.want(e, glovebox.StateCompleted, "step-2 step-3", "step-1")
	if !strings.Contains(e.log, "one\ntwo\nTHREE\n") || !strings.Contains(e.diff, "+two\n+THREE\n") {
		t.Errorf("log:\n%s\ndiff:\n%s", e.log, e.diff)
	}
	if !strings.Contains(e.log, "the script changed") || e.Steps[1].CacheMiss != "the script changed" || !strings.Contains(e.Steps[2].CacheMiss, "left something else") {
		t.Errorf("no explanation: %+v\n%s", e.Steps, e.log)
	}
	// The first step is written otherwise and comes to the same: what follows is taken from the cache.
	e = r.run(r.job(step("append a.txt two\necho chatty"), step("append a.txt THREE"), step("cat a.txt")))
	r.want(e, glovebox.StateCompleted, "step-1", "step-2 step-3")
	if !strings.Contains(e.diff, "+two\n+THREE\n") {
		t.Errorf("diff:\n%s", e.diff)
	}
	// Another commit is another tree.
	if err := os.WriteFile(filepath.Join(r.repo, "b.txt"), []byte("b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	commitAll(t, r.repo)
	e = r.run(r.job(step("append a.txt two"), step("append a.txt THREE"), step("cat a.txt")))
	r.want(e, glovebox.StateCompleted, "step-1 step-2 step-3", "")
	if !strings.Contains(e.Steps[0].CacheMiss, "the repository is at") {
		t.Errorf("%+v", e.Steps[0])
	}
	spec := r.job(step("append a.txt two"), step("append a.txt THREE"), step("cat a.txt"))
	spec.StepCache = glovebox.StepCacheRefresh
	r.want(r.run(spec), glovebox.StateCompleted, "step-1 step-2 step-3", "")
	spec.StepCache = ""
	r.want(r.run(spec), glovebox.StateCompleted, "step-1 step-2 step-3", "")
}

// TestFailedJobsKeepWhatEndedWell: a step that failed is run again, those before it are not.
func TestFailedJobsKeepWhatEndedWell(t *testing.T) {
	r := newTemplated(t)
	r.want(r.run(r.job(step("append a.txt two"), step("exit 3"))), glovebox.StateFailed, "step-1 step-2", "")
	r.want(r.run(r.job(step("append a.txt two"), step("exit 3"))), glovebox.StateFailed, "step-2", "step-1")
	e := r.run(r.job(step("append a.txt two"), step("cat a.txt")))
	r.want(e, glovebox.StateCompleted, "step-2", "step-1")
	if !strings.Contains(e.log, "one\ntwo\n") {
		t.Errorf("log:\n%s", e.log)
	}
}

// TestHiddenFilesKeepStepsTogether: a diff does not hold ignored files, so no step may start from one that left some.
func TestHiddenFilesKeepStepsTogether(t *testing.T) {
	r := newTemplated(t)
	if err := os.WriteFile(filepath.Join(r.repo, ".gitignore"), []byte("built\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	commitAll(t, r.repo)
	r.want(r.run(r.job(step("write built x"), step("cat built"))), glovebox.StateCompleted, "step-1 step-2", "")
	r.want(r.run(r.job(step("write built x"), step("cat built"))), glovebox.StateCompleted, "", "step-1 step-2")
	r.want(r.run(r.job(step("write built x"), step("cat built\necho again"))), glovebox.StateCompleted, "step-1 step-2", "")
	// Other hidden content is another input, though the diff is the same.
	r.want(r.run(r.job(step("write built y"), step("cat built"))), glovebox.StateCompleted, "step-1 step-2", "")
}

func TestTemplateFaultsAreTheJobs(t *testing.T) {
	r := newTemplated(t)
	big := step("spam 30000 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
	for name, tt := range map[string]struct {
		steps []glovebox.Step
		want  string
	}{
		"unknown output":     {[]glovebox.Step{step("echo ${{ outputs.none }}")}, "step step-1: run: "},
		"no image":           {[]glovebox.Step{{Image: "${{ outputs.none }}", Run: "echo"}}, "step step-1: image: "},
		"empty image":        {[]glovebox.Step{{Image: `${{ "" }}`, Run: "echo"}}, "its image came out as"},
		"bad JSON":           {[]glovebox.Step{{Image: "img", Run: "echo {", Outputs: map[string]glovebox.StepOutput{"x": {Value: "${{ step.stdout }}", Format: "json"}}}}, "step step-1: output x: "},
		"flood in a text":    {[]glovebox.Step{big, step("echo ${{ previous_step.stdout }}")}, "wrote more than 1M"},
		"flood in an output": {[]glovebox.Step{{Image: "img", Run: big.Run, Outputs: map[string]glovebox.StepOutput{"x": {Value: "${{ step.stdout }}"}}}}, "wrote more than 1M"},
	} {
		spec := r.job(tt.steps...)
		spec.StepCache = ""
		e := r.run(spec)
		if e.State != glovebox.StateFailed || !strings.Contains(e.Reason, tt.want) || !strings.Contains(e.log, tt.want) {
			t.Errorf("%s: %s: %s\n%.500s", name, e.State, e.Reason, e.log)
		}
	}
	// A flood that no template asks for harms nothing.
	spec := r.job(big, step("echo ${{ previous_step.modified_files }}"))
	r.want(r.run(spec), glovebox.StateCompleted, "step-1 step-2", "")
	r.want(r.run(spec), glovebox.StateCompleted, "", "step-1 step-2")
}

// TestIdleJobsStartNothing: conditions that no step's result can change are looked at first.
func TestIdleJobsStartNothing(t *testing.T) {
	r := newTemplated(t)
	never := step("echo")
	never.Condition = `${{ matches repository.name "github.com/*" }}`
	no := step("echo")
	no.Condition = "false"
	spec := r.job(never, no)
	r.deps.Runtimes = map[string]sandboxRuntime{"fake": noSandbox{r.runtime}}
	e := r.run(spec)
	r.want(e, glovebox.StateCompleted, "", "")
	if len(e.Steps) != 2 || e.Steps[0].State != glovebox.StateSkipped || e.Steps[1].State != glovebox.StateSkipped {
		t.Errorf("%+v", e.Steps)
	}
}
