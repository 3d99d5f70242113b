package batch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
)

// full is a spec with every field, in the forms that the old format has.
const full = `version: 2
name: hello-world.1
description: |
  Several
  lines
on:
  - repositoriesMatchingQuery: file:README.md
  - repository: github.com/acme/app
  - repository: github.com/acme/lib
    branch: dev
  - repository: github.com/acme/other
    branches: [a, b/c]
  - repositoriesMatching: acme/**
  - repositoriesFrom: repos.txt
  - codeHostQuery: {host: gitea, query: topic:go}
  - folder: /srv/folder
workspaces:
  - rootAtLocationOf: package.json
    in: github.com/acme/*
    onlyFetchWorkspace: true
steps:
  - run: echo ${{ repository.name }}
    container: alpine:3
    env:
      ZED: "${{ batch_change.name }}"
      ALPHA: 1.50
      FLAG: true
    files:
      /tmp/a.txt: ${{ repository.branch }}
    outputs:
      version:
        value: ${{ step.stdout }}
      data:
        value: "${{ step.stdout }}"
        format: yaml
    if: ${{ eq repository.name "x" }}
    mount:
      - path: ./script.sh
        mountpoint: /tmp/script.sh
  - run: b
    image: debian:13
    container: alpine:3
    env: [PATH_TO, A: b, {C: 5}]
    if: false
    timeout: 90
  - run: c
    env:
    if:
transformChanges:
  group:
    - {directory: a/b, branch: group-1}
    - {directory: c, branch: group-2, repository: github.com/acme/app}
importChangesets:
  - repository: github.com/acme/app
    externalIDs: [120, "121"]
changesetTemplate:
  title: Hello ${{ outputs.version }}
  body: See ${{ batch_change_link }}
  branch: hello/${{ repository.branch }}
  fork: true
  commit:
    message: ${{ join steps.modified_files "\n" }}
    author: {name: Ada, email: ada@example.org}
  published:
    - github.com/acme/*: true
    - "*@group-1": draft
    - "{a,b}/*": "false"
image: host
runtime: gvisor
network: none
limits: {memory: 2G, cpus: 1.5, pids: 100}
timeout: 1h
cache:
  npm: /root/.npm
  a.b: /root/go
`

func fullSpec() *batch.Spec {
	yes := true
	return &batch.Spec{
		Version: 2, Name: "hello-world.1", Description: "Several\nlines\n",
		On: []batch.On{
			{RepositoriesMatchingQuery: "file:README.md"}, {Repository: "github.com/acme/app"}, {Repository: "github.com/acme/lib", Branch: "dev"},
			{Repository: "github.com/acme/other", Branches: []string{"a", "b/c"}}, {RepositoriesMatching: "acme/**"}, {RepositoriesFrom: "repos.txt"},
			{CodeHostQuery: &batch.CodeHostQuery{Host: "gitea", Query: "topic:go"}}, {Folder: "/srv/folder"},
		},
		Workspaces: []batch.WorkspaceRule{{RootAtLocationOf: "package.json", In: "github.com/acme/*", OnlyFetchWorkspace: true}},
		Steps: []batch.Step{
			{Run: "echo ${{ repository.name }}", Container: "alpine:3", Env: []batch.Env{{Name: "ZED", Value: "${{ batch_change.name }}"}, {Name: "ALPHA", Value: "1.50"}, {Name: "FLAG", Value: "true"}},
				Files:   map[string]string{"/tmp/a.txt": "${{ repository.branch }}"},
				Outputs: map[string]glovebox.StepOutput{"version": {Value: "${{ step.stdout }}"}, "data": {Value: "${{ step.stdout }}", Format: "yaml"}},
				If:      `${{ eq repository.name "x" }}`, Mount: []batch.Mount{{Path: "script.sh", Mountpoint: "/tmp/script.sh"}}},
			{Run: "b", Container: "alpine:3", Image: "debian:13", If: "false", Timeout: glovebox.Duration(90 * time.Second),
				Env: []batch.Env{{Name: "PATH_TO", FromOutside: true}, {Name: "A", Value: "b"}, {Name: "C", Value: "5"}}},
			{Run: "c"},
		},
		TransformChanges: &batch.TransformChanges{Group: []batch.Group{{Directory: "a/b", Branch: "group-1"}, {Directory: "c", Branch: "group-2", Repository: "github.com/acme/app"}}},
		ImportChangesets: []batch.ImportChangesets{{Repository: "github.com/acme/app", ExternalIDs: []string{"120", "121"}}},
		ChangesetTemplate: &batch.ChangesetTemplate{
			Title: "Hello ${{ outputs.version }}", Body: "See ${{ batch_change_link }}", Branch: "hello/${{ repository.branch }}", Fork: &yes,
			Commit: batch.CommitTemplate{Message: `${{ join steps.modified_files "\n" }}`, Author: &batch.Author{Name: "Ada", Email: "ada@example.org"}},
			Published: &batch.Published{Rules: []batch.PublishedRule{{Repository: "github.com/acme/*", Published: glovebox.PublishedYes},
				{Repository: "*", Branch: "group-1", Published: glovebox.PublishedDraft}, {Repository: "{a,b}/*", Published: glovebox.PublishedNo}}},
		},
		Image: "host", Runtime: "gvisor", Network: glovebox.NetworkNone, Limits: glovebox.Limits{Memory: 2 << 30, CPUs: 1.5, Pids: 100},
		Timeout: glovebox.Duration(time.Hour), Cache: []glovebox.CacheFolder{{Name: "npm", Path: "/root/.npm"}, {Name: "a.b", Path: "/root/go"}},
	}
}

func TestParse(t *testing.T) {
	spec, warnings, err := batch.Parse([]byte(full), batch.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullSpec(), spec); diff != "" {
		t.Error(diff)
	}
	if want := "42:5: steps[1].container: is not looked at, since image is set too"; texts(warnings) != want {
		t.Errorf("warnings %s", texts(warnings))
	}
}

func texts(problems []glovebox.Problem) string {
	return (&glovebox.ValidationError{Problems: problems}).Error()
}

// TestForms: what may be written in several ways, each way.
func TestForms(t *testing.T) {
	parse := func(text string) *batch.Spec {
		t.Helper()
		spec, _, err := batch.Parse([]byte(text), batch.ParseOptions{})
		if err != nil {
			t.Fatalf("%s:\n%v", text, err)
		}
		return spec
	}
	if s := parse("name: a"); s.Version != 1 {
		t.Errorf("version %d", s.Version)
	}
	if s := parse(`{"name":"a","version":1,"on":null,"steps":null,"workspaces":null,"transformChanges":null,"importChangesets":null,"cache":null,"description":null}`); s.On != nil || s.TransformChanges != nil {
		t.Errorf("%+v", s)
	}
	template := "changesetTemplate: {title: t, branch: b, commit: {message: m}}\n"
	for _, c := range []struct{ env, want string }{
		{"null", "null"}, {"{}", "null"}, {"[]", "null"}, {`{B: 1, A: "x"}`, `[{"name":"B","value":"1"},{"name":"A","value":"x"}]`},
		{`[B, A: 2, {C: ""}]`, `[{"name":"B","fromOutside":true},{"name":"A","value":"2"},{"name":"C"}]`},
	} {
		s := parse("name: a\nimage: host\nsteps: [{run: x, env: " + c.env + "}]\n" + template)
		if got, _ := json.Marshal(s.Steps[0].Env); string(got) != c.want {
			t.Errorf("env %s: %s, want %s", c.env, got, c.want)
		}
	}
	for yaml, want := range map[string]string{"true": "true", "false": "false", "null": "", `"true"`: "true", `"${{ true }}"`: "${{ true }}"} {
		if s := parse("name: a\nimage: host\nsteps: [{run: x, if: " + yaml + "}]\n" + template); s.Steps[0].If != want {
			t.Errorf("if %s: %q", yaml, s.Steps[0].If)
		}
	}
	for yaml, want := range map[string]string{
		"null": "null", "true": `{"all":"true"}`, "false": `{"all":"false"}`, "draft": `{"all":"draft"}`, "[]": "{}",
		`[{"*": draft}, {"a@b/c": true}]`: `{"rules":[{"repository":"*","published":"draft"},{"repository":"a","branch":"b/c","published":"true"}]}`,
	} {
		s := parse("name: a\nchangesetTemplate: {title: t, branch: b, commit: {message: m}, published: " + yaml + "}\n")
		if got, _ := json.Marshal(s.ChangesetTemplate.Published); string(got) != want {
			t.Errorf("published %s: %s, want %s", yaml, got, want)
		}
	}
	if s := parse("name: a\ncache: [{name: npm, path: /root/.npm}]"); len(s.Cache) != 1 || s.Cache[0].Path != "/root/.npm" {
		t.Errorf("cache %+v", s.Cache)
	}
	s := parse("name: a\nsteps:\n  - &one {run: x, container: i, env: {A: b}}\n  - {<<: *one, run: y}\n" + template)
	if s.Steps[1].Run != "y" || s.Steps[1].Container != "i" || s.Steps[1].Env[0].Name != "A" {
		t.Errorf("merged: %+v", s.Steps[1])
	}
}

func TestSample(t *testing.T) {
	for _, c := range [][3]string{{"a.b", "Ada \"L\" # x", "ada@example.org"}, {"", "", ""}, {"a b\n", "x\ny", "nope"}, {"1", "${{", "a@b"}, {"null", "A <b>", "a@b"}} {
		spec, warnings, err := batch.Parse(batch.Sample(c[0], c[1], c[2]), batch.ParseOptions{})
		if err != nil || len(warnings) > 0 {
			t.Errorf("%q: %v %v", c, err, warnings)
			continue
		}
		if a := spec.ChangesetTemplate.Commit.Author; c[0] == "a.b" && (spec.Name != "a.b" || a == nil || a.Name != c[1] || a.Email != c[2]) {
			t.Errorf("%q: %q %+v", c, spec.Name, a)
		}
	}
}

func TestMounts(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"file": "x", "sub/file": "y", "repos.txt": "a"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outside := t.TempDir()
	for name, target := range map[string]string{"inside": "sub", "out": outside, "up": "../" + filepath.Base(outside), "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ path, want, problem string }{
		{"file", "file", ""}, {"./sub/", "sub", ""}, {".", ".", ""}, {"inside/file", "inside/file", ""}, {filepath.Join(dir, "sub"), "sub", ""}, {dir, ".", ""},
		{"none", "", "does not exist"}, {"out", "", "a link leads out"}, {"up", "", "a link leads out"}, {"loop", "", "can't be used"}, {"../x", "", "does not lie in the folder"},
		{"sub/../../x", "", "does not lie in the folder"}, {"/etc/passwd", "", "does not lie in the folder"}, {outside, "", "does not lie in the folder"}, {"a,b", "", "without commas"},
	} {
		text := fmt.Sprintf("name: a\nsteps:\n- run: x\n  container: host\n  mount:\n  - {path: %q, mountpoint: /tmp/m}\nchangesetTemplate: {title: t, branch: b, commit: {message: m}}\n", c.path)
		spec, _, err := batch.Parse([]byte(text), batch.ParseOptions{Dir: dir})
		switch {
		case c.problem == "" && (err != nil || spec.Steps[0].Mount[0].Path != c.want):
			t.Errorf("%s: %v, %+v", c.path, err, spec)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), "6:6: steps[0].mount[0].path: ") || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%s: got %v, want %s", c.path, err, c.problem)
		}
	}
	if _, _, err := batch.Parse([]byte("name: a\non: [{repositoriesFrom: none.txt}]"), batch.ParseOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("repositoriesFrom: %v", err)
	}
	if _, _, err := batch.Parse([]byte("name: a"), batch.ParseOptions{Dir: filepath.Join(dir, "none")}); err == nil {
		t.Error("a folder that does not exist was accepted")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add(batch.Sample("a", "b", "c@d"))
	f.Add([]byte("name: a\nsteps:\n- &a {<<: *a, run: \"${{ }\"}\n"))
	f.Add([]byte(`{"name":"a","cache":[{"name":"x","path":"/x"}],"changesetTemplate":{"published":[{"@":true}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, _, err := batch.Parse(data, batch.ParseOptions{})
		var invalid *glovebox.ValidationError
		if err != nil && (!errors.As(err, &invalid) || len(invalid.Problems) == 0) {
			t.Fatalf("%T %v", err, err)
		}
		if err == nil && spec.Name == "" {
			t.Fatal("accepted without a name")
		}
	})
}
