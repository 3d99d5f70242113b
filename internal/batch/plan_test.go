package batch

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/template"
)

func TestPlan(t *testing.T) {
	dir := t.TempDir()
	layOut(t, dir, map[string]string{"tools/fix.sh": "#!/bin/sh\n${{ not a template }}", "tools/sub/data": "\xff", "one.txt": "1"})
	if err := os.Chmod(filepath.Join(dir, "tools/fix.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	spec := &Spec{
		Version: 2, Name: "fix", Description: "all of it", Image: "host", Runtime: "docker", Network: glovebox.NetworkNone,
		Limits: glovebox.Limits{CPUs: 1}, Timeout: glovebox.Duration(time.Minute), Cache: []glovebox.CacheFolder{{Name: "npm", Path: "/cache"}},
		Steps: []Step{
			{Run: "a", Container: "alpine:3", Env: []Env{{Name: "A", Value: "${{ repository.name }}"}, {Name: "TOKEN", FromOutside: true}, {Name: "UNSET", FromOutside: true}, {Name: "GLOVEBOX_TOKEN", FromOutside: true}, {Name: "SRC_EXECUTOR_JOB_TOKEN", Value: "x"}}},
			{Run: "b", Container: "alpine:3", Image: "debian:13", If: "${{ eq repository.name \"other\" }}", Files: map[string]string{"/b": "B", "/a": "${{ outputs.x }}"}},
			{Run: "c", If: "${{ outputs.go }}", Outputs: map[string]glovebox.StepOutput{"x": {Value: "${{ step.stdout }}", Format: "json"}}, Timeout: glovebox.Duration(time.Second),
				Mount: []Mount{{Path: "./tools", Mountpoint: "/opt/tools/"}, {Path: "one.txt", Mountpoint: "/one"}}},
		},
	}
	ws := Workspace{Repo: "github.com/acme/x", Branch: "refs/heads/main", Commit: strings.Repeat("1", 40), Path: "p/one", Only: true, SearchResultPaths: []string{"p/one/x"}}
	env := map[string]string{"TOKEN": "a ${{ outputs.x }} }}", "GLOVEBOX_TOKEN": "secret"}
	var notes []string
	got, err := Plan(spec, ws, PlanOptions{
		Env: func(name string) string { return env[name] }, Mounts: FolderMounts(root.FS()), StepCache: glovebox.StepCacheUse,
		Note: func(text string) { notes = append(notes, text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := glovebox.JobSpec{
		Name: "fix: github.com/acme/x/p/one", Runtime: "docker", Network: glovebox.NetworkNone, StepCache: "use",
		Repo:   &glovebox.Repo{Name: "github.com/acme/x", Rev: "refs/heads/main", Commit: ws.Commit, Only: "p/one"},
		Limits: glovebox.Limits{CPUs: 1, Timeout: glovebox.Duration(time.Minute)},
		Caches: []glovebox.CacheFolder{{Name: "npm", Path: "/cache"}},
		Template: &glovebox.Template{
			Repository:  glovebox.TemplateRepository{Name: "github.com/acme/x", Branch: "refs/heads/main", SearchResultPaths: []string{"p/one/x"}},
			BatchChange: glovebox.TemplateBatchChange{Name: "fix", Description: "all of it"}, Path: "p/one",
		},
		Steps: []glovebox.Step{
			{Key: "step-1", Image: "alpine:3", Run: "a", KeepGoing: true, Dir: "p/one", Env: map[string]string{"A": "${{ repository.name }}", "TOKEN": "a ${{ `${{` }} outputs.x }} }}", "UNSET": ""}},
			{Key: "step-2", Image: "debian:13", Run: "b", KeepGoing: true, Dir: "p/one", Condition: "false", Files: []glovebox.StepFile{{Path: "/a", Content: "${{ outputs.x }}"}, {Path: "/b", Content: "B"}}},
			{Key: "step-3", Image: "host", Run: "c", KeepGoing: true, Dir: "p/one", Condition: "${{ outputs.go }}", Timeout: glovebox.Duration(time.Second),
				Outputs: map[string]glovebox.StepOutput{"x": {Value: "${{ step.stdout }}", Format: "json"}},
				Files: []glovebox.StepFile{
					{Path: "/opt/tools/fix.sh", Base64: base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\n${{ not a template }}")), Executable: true},
					{Path: "/opt/tools/sub/data", Base64: "/w=="}, {Path: "/one", Base64: "MQ=="},
				}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(notes) != 2 || !strings.Contains(notes[0], "GLOVEBOX_TOKEN") || !strings.Contains(notes[1], "SRC_EXECUTOR_JOB_TOKEN") {
		t.Errorf("notes %q", notes)
	}
	text, err := template.Parse(got.Steps[0].Env["TOKEN"])
	if err != nil {
		t.Fatal(err)
	}
	if out, err := text.Render(t.Context(), template.Scope{}); err != nil || out != env["TOKEN"] {
		t.Errorf("an outer variable comes out as %q, %v", out, err)
	}
	if Idle(got) {
		t.Error("the job is idle")
	}
}

func TestIdle(t *testing.T) {
	for _, c := range []struct {
		conditions []string
		want       bool
	}{
		{[]string{""}, false},
		{[]string{"true"}, false},
		{[]string{"false"}, true},
		{[]string{"maybe"}, true}, // anything but true does not run
		{[]string{" true "}, false},
		{[]string{`${{ matches repository.name "gitlab.com/*" }}`, "false"}, true},
		{[]string{`${{ matches repository.name "github.com/*" }}`, "false"}, false},
		{[]string{"false", "${{ previous_step.stdout }}"}, false},
	} {
		spec := &Spec{Name: "x", Image: "host"}
		for _, condition := range c.conditions {
			spec.Steps = append(spec.Steps, Step{Run: "x", If: condition})
		}
		job, err := Plan(spec, Workspace{Repo: "github.com/a"}, PlanOptions{})
		if err != nil || Idle(job) != c.want || len(job.Steps) != len(c.conditions) {
			t.Errorf("%q: idle %v, %v", c.conditions, Idle(job), err)
		}
	}
}

// TestPlannerReadsOnce plans many workspaces over one reading of mounts.
func TestPlannerReadsOnce(t *testing.T) {
	reader := &countingMounts{MountReader: FolderMounts(fstest.MapFS{"a": {Data: []byte("x")}})}
	spec := &Spec{Name: "x", Image: "host", Steps: []Step{{Run: "x", Mount: []Mount{{Path: "a", Mountpoint: "/a"}}}, {Run: "y", Mount: []Mount{{Path: "./a", Mountpoint: "/b"}}}}}
	p, err := NewPlanner(spec, PlanOptions{Mounts: reader})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := p.Plan(Workspace{Repo: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	if reader.count != 1 {
		t.Errorf("read %d times", reader.count)
	}
}

type countingMounts struct {
	MountReader
	count int
}

func (c *countingMounts) ReadMount(path string) ([]MountFile, error) {
	c.count++
	return c.MountReader.ReadMount(path)
}

func TestPlanRefuses(t *testing.T) {
	dir := t.TempDir()
	layOut(t, dir, map[string]string{"in/a": "1", "in/links/ok": "", "big": strings.Repeat("x", maxMountFile+1)})
	for name, target := range map[string]string{"out": "/etc/hostname", "in/up": "../../.."} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	mount := func(path, at string) Step {
		return Step{Run: "x", Image: "host", Mount: []Mount{{Path: path, Mountpoint: at}}}
	}
	for _, c := range []struct {
		step Step
		ws   Workspace
		want string
	}{
		{step: mount("none", "/a"), want: "no such file"},
		{step: mount("../x", "/a"), want: "in the folder of the spec"},
		{step: mount("/etc/hostname", "/a"), want: "in the folder of the spec"},
		{step: mount("out", "/a"), want: "escapes"},
		{step: mount("in", "/a"), want: "escapes"},
		{step: mount("pipe", "/a"), want: "neither a file"},
		{step: mount("big", "/a"), want: "larger than 10M"},
		{step: mount("in/a", "a"), want: "absolute mountpoint"},
		{step: mount("in/a", "/a\x1b"), want: "absolute mountpoint"},
		{step: Step{Run: "x", Image: "host", Files: map[string]string{"/a": ""}, Mount: []Mount{{Path: "in/a", Mountpoint: "/b/../a"}}}, want: "two files"},
		{step: Step{Run: "x"}, want: "no image"},
		{step: Step{Run: "x", Image: "host", If: "${{ if }}"}, want: "if: "},
		{step: Step{Run: "", Image: "host"}, want: "run"},
		{step: Step{Run: "x", Image: "host", Env: []Env{{Name: "a-b"}}}, want: "env"},
		{step: Step{Run: "x", Image: "host"}, ws: Workspace{Repo: "-x"}, want: "repo.name"},
		{step: Step{Run: "x", Image: "host"}, ws: Workspace{Repo: "x", Path: "../y"}, want: "dir"},
	} {
		if c.ws.Repo == "" {
			c.ws.Repo = "r"
		}
		_, err := Plan(&Spec{Name: "x", Steps: []Step{c.step}}, c.ws, PlanOptions{Mounts: FolderMounts(root.FS())})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v of %+v: got %v, want %q", c.step, c.ws, err, c.want)
		}
	}
	many := fstest.MapFS{}
	for _, n := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		many["m/"+n] = &fstest.MapFile{Data: make([]byte, maxMountFile)}
	}
	if _, err := Plan(&Spec{Name: "x", Steps: []Step{mount("m", "/m")}}, Workspace{Repo: "r"}, PlanOptions{Mounts: FolderMounts(many)}); err == nil || !strings.Contains(err.Error(), "larger than 64M") {
		t.Errorf("70 MiB of mounts: %v", err)
	}
	if job, err := Plan(&Spec{Name: strings.Repeat("n", 90), Image: "host", Steps: []Step{{Run: "x"}}}, Workspace{Repo: strings.Repeat("ü", 90)}, PlanOptions{}); err != nil || len(job.Name) > 200 || !strings.HasSuffix(job.Name, "…") {
		t.Errorf("a long name: %q, %v", job.Name, err)
	}
}

func BenchmarkPlan500(b *testing.B) {
	spec := &Spec{Name: "x", Image: "host"}
	for range 10 {
		spec.Steps = append(spec.Steps, Step{Run: strings.Repeat("echo ${{ repository.name }}\n", 100), If: "${{ eq repository.name \"r\" }}", Mount: []Mount{{Path: "a", Mountpoint: "/a"}}})
	}
	mounts := FolderMounts(fstest.MapFS{"a": {Data: make([]byte, 1<<20)}})
	for b.Loop() {
		p, err := NewPlanner(spec, PlanOptions{Mounts: mounts})
		if err != nil {
			b.Fatal(err)
		}
		for range 500 {
			if _, err := p.Plan(Workspace{Repo: "github.com/acme/x"}); err != nil {
				b.Fatal(err)
			}
		}
	}
}
