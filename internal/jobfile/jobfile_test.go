package jobfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/jobfile"
)

const smallest = `
repo: {name: local/app, rev: main}          # a name of the gateway
steps:
  - {key: vet, image: host, run: "go vet ./..."}
  - {key: fmt, image: host, run: "gofmt -s -w .", env: {GOFLAGS: -mod=mod}}
limits: {memory: 2G, cpus: 2, timeout: 10m}
network: none
outputs: ["report/*.json"]
`

func TestParse(t *testing.T) {
	f, err := jobfile.Parse([]byte(smallest))
	if err != nil {
		t.Fatal(err)
	}
	want := glovebox.JobSpec{
		Repo: &glovebox.Repo{Name: "local/app", Rev: "main"},
		Steps: []glovebox.Step{
			{Key: "vet", Image: "host", Run: "go vet ./..."},
			{Key: "fmt", Image: "host", Run: "gofmt -s -w .", Env: map[string]string{"GOFLAGS": "-mod=mod"}},
		},
		Limits:  glovebox.Limits{Memory: 2 << 30, CPUs: 2, Timeout: glovebox.Duration(10 * time.Minute)},
		Network: glovebox.NetworkNone,
		Outputs: []string{"report/*.json"},
	}
	if diff := cmp.Diff(want, f.Spec); diff != "" {
		t.Error(diff)
	}
}

// TestScalars: what YAML reads as a number or boolean is the text it was written as
// where a text is wanted, and JSON is read by the same parser.
func TestScalars(t *testing.T) {
	f, err := jobfile.Parse([]byte(`{"repo":{"name":"a","rev":0123456},"steps":[{"key":1.10,"command":["echo",1e3,true,~x],"env":{"A":1.50,"B":true,"C":"","D":2026-11-23},"timeout":90}],
"limits":{"memory":1048576,"cpus":0.5,"timeout":"1h30m"},"labels":{"gpu":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	s := f.Spec.Steps[0]
	if f.Spec.Repo.Rev != "0123456" || s.Key != "1.10" || f.Spec.Labels["gpu"] != "true" {
		t.Errorf("rev %q, key %q, labels %v", f.Spec.Repo.Rev, s.Key, f.Spec.Labels)
	}
	if diff := cmp.Diff([]string{"echo", "1e3", "true", "~x"}, s.Command); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"A": "1.50", "B": "true", "C": "", "D": "2026-11-23"}, s.Env); diff != "" {
		t.Error(diff)
	}
	if s.Timeout != glovebox.Duration(90*time.Second) || f.Spec.Limits.Memory != 1<<20 || f.Spec.Limits.CPUs != 0.5 {
		t.Errorf("timeout %v, limits %+v", s.Timeout, f.Spec.Limits)
	}
}

func TestAliases(t *testing.T) {
	f, err := jobfile.Parse([]byte("steps:\n  - &s {run: a, env: {X: y}}\n  - *s\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Spec.Steps) != 2 || f.Spec.Steps[1].Env["X"] != "y" {
		t.Errorf("steps %+v", f.Spec.Steps)
	}
}

func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9)+fmt.Sprintf("*a%d", i-1))
	}
	return b.String()
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown field", "steps:\n  - image: host\n    rnu: x\n", `3:5: steps[0].rnu: unknown field (did you mean "run"?)`},
		{"unknown at root", "stepz: []\nsteps: [{run: x}]\n", `1:1: stepz: unknown field (did you mean "steps"?)`},
		{"unknown limit", "steps: [{run: x}]\nlimits:\n  ram: 2G\n", `3:3: limits.ram: unknown field; the fields here are cpus, disk, log, memory`},
		{"wrong type", "steps:\n  - run: [a]\n", "2:5: steps[0].run: is a list, want a text"},
		{"null", "steps:\n  - run:\n", "2:5: steps[0].run: is empty, want a text"},
		{"steps missing", "name: x\n", "1:1: : lacks steps"},
		{"no steps", "steps: []\n", "1:1: steps: has 0 entries, want at least 1"},
		{"size", "steps: [{run: x}]\nlimits: {memory: much}\n", `2:10: limits.memory: is "much", want a size`},
		{"duration", "steps: [{run: x, timeout: soon}]\n", `1:18: steps[0].timeout: is "soon", want a time`},
		{"negative", "steps: [{run: x}]\nlimits: {cpus: -1}\n", "2:10: limits.cpus: is less than 0"},
		{"enum", "steps: [{run: x}]\nnetwork: all\n", "2:1: network: is all, want one of public none"},
		{"duplicate key", "steps: [{run: x}]\nname: a\nname: b\n", "3:1: name: the key stands here a second time"},
		{"two documents", "steps: [{run: x}]\n---\nsteps: [{run: y}]\n", "a second document begins here"},
		{"merge key", "steps:\n  - &a {run: x}\n  - {<<: *a}\n", "3:6: steps[1]: merge keys"},
		{"tag", "steps: [{run: !!binary aGk=}]\n", "1:15: steps[0].run: tag !!binary is not allowed"},
		{"own tag", "steps: !include x\n", "tag !include is not allowed"},
		{"complex key", "steps: [{run: x}]\n? [a]\n: b\n", "2:3: : a key must be a plain text"},
		{"tab", "steps:\n\t- run: x\n", "2:"},
		{"unclosed", "steps: [{run: x}\n", "not YAML"},
		{"scalar", "hello\n", "1:1: : is a text, want a mapping"},
		{"empty", "", "the job file is empty"},
		{"comment only", "# nothing\n", "the job file is empty"},
		{"not UTF-8", "steps: \xff\n", "not UTF-8"},
		{"NUL", "steps: \x00\n", "not YAML"},
		{"bomb", bomb(), "more than 50000 values"},
		{"cycle", "steps: &a [*a]\n", ""},
		{"deep", strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "depth"},
		{"deep JSON", `{"steps":` + strings.Repeat(`{"a":`, 30000) + "1" + strings.Repeat("}", 30000) + "}", "depth"},
		{"too large", "steps: [{run: \"" + strings.Repeat("x", jobfile.MaxSize) + "\"}]", "larger than 4M"},
		{"huge int", "steps: [{run: x}]\npriority: 99999999999999999999999\n", "2:1: priority"},
		{"nan", "steps: [{run: x}]\nlimits: {cpus: .nan}\n", ".nan is not a number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			_, err := jobfile.Parse([]byte(c.text))
			if err == nil {
				t.Fatal("accepted")
			}
			var invalid *glovebox.ValidationError
			if !errors.As(err, &invalid) {
				t.Fatalf("%T %v, want a *glovebox.ValidationError", err, err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, want it to hold %q", err, c.want)
			}
			if len(err.Error()) > 10_000 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// TestLocate: what JobSpec.Validate finds gets the place in the file.
func TestLocate(t *testing.T) {
	f, err := jobfile.Parse([]byte("steps:\n  - run: a\n    dir: ../x\n    env:\n      A: b\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = f.Locate(&glovebox.ValidationError{Problems: []glovebox.Problem{
		{Path: "steps[0].dir", Message: "m"}, {Path: "steps[0].command", Message: "m"}, {Path: "", Message: "m"}}})
	if want := "3:5: steps[0].dir: m\n2:5: steps[0].command: m\n1:1: : m"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	other := errors.New("other")
	if f.Locate(other) != other || f.Locate(nil) != nil {
		t.Error("Locate changed an error that is not a ValidationError")
	}
}

// TestExamples: every job file that we show is valid.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := jobfile.Parse(data)
		if err == nil {
			_, err = f.Resolve()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDocs: the examples of the page on job files are valid, once they have all that a job needs.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/job-file.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	if len(blocks) < 2 {
		t.Fatalf("%d examples", len(blocks))
	}
	for i, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		f, err := jobfile.Parse([]byte(text))
		if err == nil {
			_, err = f.Resolve()
		}
		if err != nil {
			t.Errorf("example %d: %v", i, err)
		}
	}
}

// TestTemplated: the fields that templates, step cache and shared folders have.
func TestTemplated(t *testing.T) {
	f, err := jobfile.Parse([]byte(`
repo: {name: a, only: x/y}
template: {repository: {name: a, branch: refs/heads/main, search_result_paths: [p]}, batch_change: {name: b, description: c}, path: x}
step_cache: refresh
caches: [{name: npm, path: /root/.npm}]
steps:
  - {image: host, run: x, condition: "${{ true }}", files: [{path: /a, content: b, executable: true}], outputs: {v: {value: "${{ step.stdout }}", format: json}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	step := got.Steps[0]
	if got.Repo.Only != "x/y" || got.Template.Repository.SearchResultPaths[0] != "p" || got.Template.BatchChange.Description != "c" || got.Template.Path != "x" ||
		got.StepCache != glovebox.StepCacheRefresh || got.Caches[0].Path != "/root/.npm" || step.Condition != "${{ true }}" || !step.Files[0].Executable || step.Outputs["v"].Format != "json" {
		t.Errorf("%+v", got)
	}
	for text, want := range map[string]string{
		"steps: [{image: host, run: x}]\nstep_cache: yes\n":                     "2:1: step_cache: is yes, want one of use refresh",
		"steps: [{image: host, run: x}]\ncaches: [{name: a, path: /work}]\n":    "2:20: caches[0].path: want a path outside of /work",
		"steps: [{image: host, run: x, outputs: {a: {value: b}}}]\n":            "1:31: steps[0].outputs: a step has outputs only in a job with a template",
		"steps:\n- {image: host, run: x, files: [{path: a}]}\n":                 "2:34: steps[0].files[0].path: want an absolute path",
		"template: {repository: {nam: x}}\nsteps: [{image: host, run: x}]\n":    `1:25: template.repository.nam: unknown field (did you mean "name"?)`,
		"template: {}\nsteps: [{image: host, run: x, outputs: {a: {valu: b}}}]": "steps[0].outputs.a: lacks value",
	} {
		f, err := jobfile.Parse([]byte(text))
		if err == nil {
			_, err = f.Resolve()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(smallest))
	f.Add([]byte(bomb()))
	f.Add([]byte("steps: &a [*a]\n---\n"))
	f.Add([]byte(`{"steps":[{"run":"x","env":{"A":1}}]}`))
	f.Add([]byte("? {a: b}\n: !!set {x}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := jobfile.Parse(data)
		if err != nil {
			var invalid *glovebox.ValidationError
			if !errors.As(err, &invalid) || len(invalid.Problems) == 0 {
				t.Fatalf("%T %v, want a *glovebox.ValidationError with problems", err, err)
			}
			return
		}
		if len(file.Spec.Steps) == 0 {
			t.Fatal("accepted a job with no steps")
		}
	})
}
