package glovebox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// good is a spec that uses every field.
func good() JobSpec {
	return JobSpec{
		Name: "build ü", Queue: "default", Priority: -100, Labels: map[string]string{"arch": "amd64", "any key!": ""},
		Runtime: "gvisor", Repo: &Repo{Name: "../local app.git", Rev: "refs/heads/feature/x~1^{}", Commit: strings.Repeat("a", 40), Only: "a/b"},
		Files: []File{{Path: "a/b c.txt", Content: "x"}, {Path: "./a/bin", Base64: "AAEC", Executable: true}, {Path: "a/.git/config"}},
		Steps: []Step{
			{Key: "a.b-c_D", Image: "host", Run: "true\n", Dir: "a/b", Env: map[string]string{"A_1": "multi\nline"}, Secrets: []string{"TOKEN"}},
			{Image: "docker-archive:/tmp/my image.tar", Command: []string{"echo", "", "$x"}, If: "always", Timeout: Duration(time.Second), Dir: ".",
				Condition: "${{ true }}\n", Files: []StepFile{{Path: "/etc/a b", Content: "x"}, {Path: "/work/in/it", Base64: "AAEC", Executable: true}},
				Outputs: map[string]StepOutput{"a_1": {Value: "${{ step.stdout }}", Format: "json"}, "B": {}}},
		},
		Limits:  Limits{CPUs: 0.1, Memory: 16 << 20, Disk: 16 << 20, Pids: 1, OpenFiles: 16, Log: 1, Timeout: MaxTimeout},
		Network: NetworkNone, Outputs: []string{"report/**/*.json", "a[!b]?"}, Attempts: MaxAttempts,
		Template: &Template{Repository: TemplateRepository{Name: "a", Branch: "refs/heads/main", SearchResultPaths: []string{"a b"}},
			BatchChange: TemplateBatchChange{Name: "b", Description: "c\nd"}, Path: "x/y"},
		StepCache: StepCacheUse, Caches: []CacheFolder{{Name: "npm", Path: "/root/.npm"}, {Name: "go", Path: "/root/.npmx"}},
	}
}

func TestValidateAcceptsGoodSpecs(t *testing.T) {
	minimal := JobSpec{Steps: []Step{{Image: "host", Run: "true"}}}
	for name, spec := range map[string]JobSpec{"full": good(), "minimal": minimal} {
		if err := spec.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		spec.ApplyDefaults()
		if err := spec.Validate(); err != nil {
			t.Errorf("%s with defaults: %v", name, err)
		}
	}
}

func TestApplyDefaults(t *testing.T) {
	shared := []Step{{Image: "host", Run: "true"}, {Key: "mine", Image: "host", Run: "true"}}
	spec := JobSpec{Steps: shared, Limits: Limits{CPUs: 7}}
	spec.ApplyDefaults()
	want := DefaultLimits()
	want.CPUs = 7
	if spec.Queue != DefaultQueue || spec.Network != NetworkPublic || spec.Attempts != 3 || spec.Limits != want ||
		spec.Steps[0].Key != "step-1" || spec.Steps[1].Key != "mine" {
		t.Errorf("with defaults: %+v", spec)
	}
	if shared[0].Key != "" {
		t.Error("the caller's steps were written to")
	}
	once, _ := json.Marshal(spec)
	spec.ApplyDefaults()
	if twice, _ := json.Marshal(spec); string(once) != string(twice) {
		t.Errorf("twice: %s, once: %s", twice, once)
	}
}

func TestValidateRefuses(t *testing.T) {
	manyEnv := map[string]string{}
	for i := range MaxEnv + 1 {
		manyEnv[fmt.Sprintf("V%d", i)] = ""
	}
	big := strings.Repeat("x", MaxScript)
	step := func(change func(*Step)) func(*JobSpec) { return func(s *JobSpec) { change(&s.Steps[0]) } }
	manyOutputs := map[string]StepOutput{}
	for i := range MaxOutputs + 1 {
		manyOutputs[fmt.Sprintf("o%d", i)] = StepOutput{}
	}
	cache := func(name, path string) func(*JobSpec) {
		return func(s *JobSpec) { s.Caches = []CacheFolder{{Name: name, Path: path}} }
	}
	stepFile := func(path string) func(*JobSpec) {
		return func(s *JobSpec) { s.Steps[0].Files = []StepFile{{Path: path}} }
	}
	file := func(path string) func(*JobSpec) { return func(s *JobSpec) { s.Files = []File{{Path: path}} } }
	for _, c := range []struct {
		path   string
		change func(*JobSpec)
	}{
		{"name", func(s *JobSpec) { s.Name = "a\x1b[2Jb" }},
		{"name", func(s *JobSpec) { s.Name = "\xff" }},
		{"name", func(s *JobSpec) { s.Name = strings.Repeat("x", 201) }},
		{"queue", func(s *JobSpec) { s.Queue = "../x" }},
		{"queue", func(s *JobSpec) { s.Queue = "-x" }},
		{"priority", func(s *JobSpec) { s.Priority = 101 }},
		{"attempts", func(s *JobSpec) { s.Attempts = -1 }},
		{"attempts", func(s *JobSpec) { s.Attempts = 21 }},
		{"runtime", func(s *JobSpec) { s.Runtime = "a/b" }},
		{"network", func(s *JobSpec) { s.Network = "host" }},
		{`labels["a\nb"]`, func(s *JobSpec) { s.Labels["a\nb"] = "" }},
		{"labels.arch", func(s *JobSpec) { s.Labels["arch"] = strings.Repeat("x", 257) }},
		{"limits.cpus", func(s *JobSpec) { s.Limits.CPUs = 0.01 }},
		{"limits.cpus", func(s *JobSpec) { s.Limits.CPUs = math.NaN() }},
		{"limits.cpus", func(s *JobSpec) { s.Limits.CPUs = math.Inf(1) }},
		{"limits.memory", func(s *JobSpec) { s.Limits.Memory = 1024 }},
		{"limits.memory", func(s *JobSpec) { s.Limits.Memory = -1 }},
		{"limits.disk", func(s *JobSpec) { s.Limits.Disk = 1 << 62 }},
		{"limits.pids", func(s *JobSpec) { s.Limits.Pids = -1 }},
		{"limits.open_files", func(s *JobSpec) { s.Limits.OpenFiles = 3 }},
		{"limits.log", func(s *JobSpec) { s.Limits.Log = -1 }},
		{"limits.timeout", func(s *JobSpec) { s.Limits.Timeout = -1 }},
		{"limits.timeout", func(s *JobSpec) { s.Limits.Timeout = MaxTimeout + 1 }},
		{"repo.name", func(s *JobSpec) { s.Repo.Name = "" }},
		{"repo.name", func(s *JobSpec) { s.Repo.Name = "--upload-pack=touch /tmp/x" }},
		{"repo.name", func(s *JobSpec) { s.Repo.Name = "a\nb" }},
		{"repo.rev", func(s *JobSpec) { s.Repo.Rev = "--output=x" }},
		{"repo.rev", func(s *JobSpec) { s.Repo.Rev = "main:secret" }},
		{"repo.rev", func(s *JobSpec) { s.Repo.Rev = "a..b" }},
		{"repo.rev", func(s *JobSpec) { s.Repo.Rev = "a\x00b" }},
		{"repo.commit", func(s *JobSpec) { s.Repo.Commit = "abc" }},
		{"files[0].path", file("")}, {"files[0].path", file("/etc/passwd")}, {"files[0].path", file("a/../../b")},
		{"files[0].path", file("..")}, {"files[0].path", file("a/..")}, {"files[0].path", file("a\x00b")},
		{"files[0].path", file(".git/hooks/x")}, {"files[0].path", file("./.GIT/config")}, {"files[0].path", file(".git")},
		{"files[0].path", file(".//.git//config")}, {"files[0].path", file("a/")}, {"files[0].path", file(".")},
		{"files[0].path", file("\xff")}, {"files[0].path", file(strings.Repeat("x", 256))},
		{"files[0].path", file(strings.Repeat("x/", 2100) + "x")},
		{"files[1].path", func(s *JobSpec) { s.Files = []File{{Path: "a"}, {Path: "./a"}} }},
		{"files[0].path", func(s *JobSpec) { s.Files = []File{{Path: "a/b"}, {Path: "a"}} }},
		{"files[0]", func(s *JobSpec) { s.Files[0].Base64 = "AA==" }},
		{"files[1].base64", func(s *JobSpec) { s.Files[1].Base64 = "!" }},
		{"files", func(s *JobSpec) { s.Files = make([]File, MaxFiles+1) }},
		{"files", func(s *JobSpec) { s.Files[0].Content = strings.Repeat("x", MaxFileBytes) }},
		{"steps", func(s *JobSpec) { s.Steps = nil }},
		{"steps", func(s *JobSpec) { s.Steps = make([]Step, MaxSteps+1) }},
		{"steps", func(s *JobSpec) {
			for range 5 {
				s.Steps = append(s.Steps, Step{Image: "host", Run: big})
			}
		}},
		{"steps[1].key", func(s *JobSpec) { s.Steps[1].Key = s.Steps[0].Key }},
		{"steps[1].key", func(s *JobSpec) { s.Steps[0].Key = "step-2" }},
		{"steps[0].key", step(func(s *Step) { s.Key = ".." })},
		{"steps[0].key", step(func(s *Step) { s.Key = "a/b" })},
		{"steps[0].image", step(func(s *Step) { s.Image = "" })},
		{"steps[0].image", step(func(s *Step) { s.Image = "--privileged" })},
		{"steps[0].image", step(func(s *Step) { s.Image = "a\nb" })},
		{"steps[0].run", step(func(s *Step) { s.Run = " \n" })},
		{"steps[0].run", step(func(s *Step) { s.Command = []string{"x"} })},
		{"steps[0].run", step(func(s *Step) { s.Run = big + "x" })},
		{"steps[0].run", step(func(s *Step) { s.Run = "a\x00b" })},
		{"steps[1].command[0]", func(s *JobSpec) { s.Steps[1].Command = []string{""} }},
		{"steps[1].command[1]", func(s *JobSpec) { s.Steps[1].Command[1] = "\x00" }},
		{"steps[1].command[1]", func(s *JobSpec) { s.Steps[1].Command[1] = strings.Repeat("x", MaxString+1) }},
		{"steps[1].command", func(s *JobSpec) { s.Steps[1].Command = make([]string, MaxArgs+1); s.Steps[1].Command[0] = "x" }},
		{"steps[0].dir", step(func(s *Step) { s.Dir = "../x" })},
		{"steps[0].dir", step(func(s *Step) { s.Dir = "/" })},
		{"steps[0].if", step(func(s *Step) { s.If = "maybe" })},
		{"steps[0].timeout", step(func(s *Step) { s.Timeout = -1 })},
		{`steps[0].env["A=B"]`, step(func(s *Step) { s.Env = map[string]string{"A=B": ""} })},
		{`steps[0].env[""]`, step(func(s *Step) { s.Env = map[string]string{"": ""} })},
		{"steps[0].env.A", step(func(s *Step) { s.Env = map[string]string{"A": "\x00"} })},
		{"steps[0].env", step(func(s *Step) { s.Env = manyEnv })},
		{"steps[0].secrets[0]", step(func(s *Step) { s.Secrets = []string{"a-b"} })},
		{"steps[0].secrets[1]", step(func(s *Step) { s.Secrets = []string{"A", "A"} })},
		{"steps[0].secrets[0]", step(func(s *Step) { s.Secrets = []string{"A_1"} })},
		{"outputs[0]", func(s *JobSpec) { s.Outputs = []string{"../*"} }},
		{"outputs[0]", func(s *JobSpec) { s.Outputs = []string{"/etc/*"} }},
		{"outputs[0]", func(s *JobSpec) { s.Outputs = []string{"a[b"} }},
		{"repo.only", func(s *JobSpec) { s.Repo.Only = "/a" }}, {"repo.only", func(s *JobSpec) { s.Repo.Only = "a/../b" }},
		{"repo.only", func(s *JobSpec) { s.Repo.Only = "a/" }}, {"repo.only", func(s *JobSpec) { s.Repo.Only = ".git" }},
		{"step_cache", func(s *JobSpec) { s.StepCache = "on" }},
		{"template.path", func(s *JobSpec) { s.Template.Path = "../x" }},
		{"template.repository.name", func(s *JobSpec) { s.Template.Repository.Name = "a\x1b" }},
		{"template.repository.branch", func(s *JobSpec) { s.Template.Repository.Branch = "a\n" }},
		{"template.repository.search_result_paths[0]", func(s *JobSpec) { s.Template.Repository.SearchResultPaths = []string{"\x00"} }},
		{"template.repository.search_result_paths", func(s *JobSpec) {
			s.Template.Repository.SearchResultPaths = strings.Split(strings.Repeat("0123456789,", 200_000), ",")
		}},
		{"template.batch_change.name", func(s *JobSpec) { s.Template.BatchChange.Name = "\xff" }},
		{"template.batch_change.description", func(s *JobSpec) { s.Template.BatchChange.Description = big }},
		{"caches[0].name", cache("", "/c")}, {"caches[0].name", cache("..", "/c")}, {"caches[0].name", cache("a/b", "/c")},
		{"caches[0].path", cache("c", "c")}, {"caches[0].path", cache("c", "/")}, {"caches[0].path", cache("c", "/c/")}, {"caches[0].path", cache("c", "/c/../d")},
		{"caches[0].path", cache("c", "/work")}, {"caches[0].path", cache("c", "/work/x")}, {"caches[0].path", cache("c", "/proc/x")},
		{"caches[0].path", cache("c", "/sys")}, {"caches[0].path", cache("c", "/dev/shm")}, {"caches[0].path", cache("c", "/c\n")}, {"caches[0].path", cache("c", "")},
		{"caches[1].name", func(s *JobSpec) { s.Caches = []CacheFolder{{"a", "/a"}, {"a", "/b"}} }},
		{"caches[1].path", func(s *JobSpec) { s.Caches = []CacheFolder{{"a", "/a"}, {"b", "/a/b"}} }},
		{"caches[1].path", func(s *JobSpec) { s.Caches = []CacheFolder{{"a", "/a/b"}, {"b", "/a"}} }},
		{"caches", func(s *JobSpec) { s.Caches = make([]CacheFolder, MaxCaches+1) }},
		{"steps[0].condition", step(func(s *Step) { s.Condition = strings.Repeat("x", MaxCondition+1) })},
		{"steps[0].condition", step(func(s *Step) { s.Condition = "\x00" })},
		{"steps[0].files[0].path", stepFile("a")}, {"steps[0].files[0].path", stepFile("/")}, {"steps[0].files[0].path", stepFile("/work")},
		{"steps[0].files[0].path", stepFile("/a,b")}, {"steps[0].files[0].path", stepFile("/a/../b")}, {"steps[0].files[0].path", stepFile("/a\n")},
		{"steps[0].files[0].path", stepFile("/proc/self/mem")}, {"steps[0].files[0].path", stepFile("")}, {"steps[0].files[0].path", stepFile("/" + strings.Repeat("x", 256))},
		{"steps[0].files[1].path", step(func(s *Step) { s.Files = []StepFile{{Path: "/a"}, {Path: "/a"}} })},
		{"steps[0].files[1].path", step(func(s *Step) { s.Files = []StepFile{{Path: "/a"}, {Path: "/a/b"}} })},
		{"steps[0].files[0]", step(func(s *Step) { s.Files = []StepFile{{Path: "/a", Content: "x", Base64: "AA=="}} })},
		{"steps[0].files[0].base64", step(func(s *Step) { s.Files = []StepFile{{Path: "/a", Base64: "!"}} })},
		{"steps[0].files", step(func(s *Step) { s.Files = make([]StepFile, MaxStepFiles+1) })},
		{"steps[0].files", step(func(s *Step) { s.Files = []StepFile{{Path: "/a", Content: strings.Repeat("x", MaxFileBytes+1)}} })},
		{"steps", func(s *JobSpec) {
			for i := range s.Steps {
				s.Steps[i].Files = []StepFile{{Path: "/a", Content: strings.Repeat("x", MaxFileBytes*2/3)}}
			}
		}},
		{"steps[1].outputs", func(s *JobSpec) { s.Template = nil }},
		{`steps[1].outputs["a-b"]`, func(s *JobSpec) { s.Steps[1].Outputs = map[string]StepOutput{"a-b": {}} }},
		{`steps[1].outputs["a\x1b"]`, func(s *JobSpec) { s.Steps[1].Outputs = map[string]StepOutput{"a\x1b": {}} }},
		{"steps[1].outputs.a.value", func(s *JobSpec) { s.Steps[1].Outputs = map[string]StepOutput{"a": {Value: big + "x"}} }},
		{"steps[1].outputs.a.format", func(s *JobSpec) { s.Steps[1].Outputs = map[string]StepOutput{"a": {Format: "xml"}} }},
		{"steps[1].outputs", func(s *JobSpec) { s.Steps[1].Outputs = manyOutputs }},
		{"outputs", func(s *JobSpec) { s.Outputs = make([]string, MaxOutputs+1) }},
	} {
		spec := good()
		spec.Labels = maps.Clone(spec.Labels)
		c.change(&spec)
		var invalid *ValidationError
		if err := spec.Validate(); !errors.As(err, &invalid) {
			t.Errorf("%s: accepted", c.path)
			continue
		}
		found := false
		for _, p := range invalid.Problems {
			found = found || p.Path == c.path
			if p.Message == "" || !plain(p.Message) || len(p.Message) > 400 {
				t.Errorf("%s: message %q", p.Path, p.Message)
			}
		}
		if !found {
			t.Errorf("%s: reported as %v", c.path, invalid)
		}
	}
}

func TestValidateReportsEverythingOnce(t *testing.T) {
	spec := JobSpec{Queue: "/", Steps: []Step{{}, {Key: "/"}}}
	var invalid *ValidationError
	if !errors.As(spec.Validate(), &invalid) {
		t.Fatal("accepted")
	}
	want := []string{"queue", "steps[0].image", "steps[0].run", "steps[1].key", "steps[1].image", "steps[1].run"}
	var got []string
	for _, p := range invalid.Problems {
		got = append(got, p.Path)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("problems at %v, want %v", got, want)
	}
	spec.Outputs = []string{}
	for range MaxOutputs {
		spec.Outputs = append(spec.Outputs, "..")
	}
	spec.Steps = make([]Step, MaxSteps)
	if !errors.As(spec.Validate(), &invalid) || len(invalid.Problems) > maxProblems {
		t.Errorf("%d problems, want at most %d", len(invalid.Problems), maxProblems)
	}
}

// FuzzValidate: whatever JSON comes, Validate neither panics nor lets a dangerous path through.
func FuzzValidate(f *testing.F) {
	seed, err := json.Marshal(good())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"steps":[{"image":"host","run":"x","dir":"a/..//.git"}],"files":[{"path":"./.git","base64":"="}],"limits":{"cpus":1e999}}`))
	f.Add([]byte(`{"steps":[{"command":["-"]}],"repo":{"name":"-x","rev":"\u0000"},"outputs":["{a,../b}"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var spec JobSpec
		if json.Unmarshal(data, &spec) != nil {
			return
		}
		spec.ApplyDefaults()
		if err := spec.Validate(); err != nil {
			if !utf8.ValidString(err.Error()) {
				t.Errorf("message is not UTF-8: %q", err)
			}
			return
		}
		var paths []string
		for _, f := range spec.Files {
			paths = append(paths, f.Path)
		}
		for _, s := range spec.Steps {
			paths = append(paths, s.Dir)
		}
		for _, p := range append(paths, spec.Outputs...) {
			for part := range strings.SplitSeq(p, "/") {
				if part == ".." || strings.ContainsRune(part, 0) {
					t.Errorf("accepted path %q", p)
				}
			}
			if strings.HasPrefix(p, "/") || strings.HasPrefix(strings.ToLower(p), ".git/") {
				t.Errorf("accepted path %q", p)
			}
		}
	})
}
