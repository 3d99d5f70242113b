package batch

import (
	"strings"
	"testing"
)

// TestFromSpecToChangeset takes a spec the whole way, but for running its steps.
func TestFromSpecToChangeset(t *testing.T) {
	text := `
version: 2
name: hello
on:
  - repositoriesMatchingQuery: repo:^go/ lang:go hello world
  - repository: js/mono
workspaces: [{rootAtLocationOf: package.json, in: "js/*"}]
steps:
  - run: echo ${{ join repository.search_result_paths " " }}
    container: alpine:3
    if: ${{ matches repository.name "go/*" }}
changesetTemplate:
  title: Hello
  branch: hello/${{ repository.name }}
  commit: {message: Hello}
  published:
    - "*": false
    - go/*@hello/go/a: draft
`
	spec, _, err := Parse([]byte(text), ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := Resolve(t.Context(), spec, someClones(t), ResolveOptions{})
	if err != nil || len(found.Failures) > 0 {
		t.Fatal(err, found.Failures)
	}
	var run, idle []string
	for _, ws := range found.Workspaces {
		job, err := Plan(spec, ws, PlanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if Idle(job) {
			idle = append(idle, ws.Name())
		} else {
			run = append(run, ws.Name())
		}
	}
	if strings.Join(run, " ") != "go/a" || strings.Join(idle, " ") != "js/mono js/mono/p/one js/mono/p/two" {
		t.Errorf("run %q, idle %q", run, idle)
	}
	specs, err := Changesets(t.Context(), spec, found.Workspaces[0], WorkspaceResult{Diff: []byte("diff --git a/x b/x\nnew file mode 100644\n")})
	if err != nil || len(specs) != 1 || specs[0].Branch != "hello/go/a" || specs[0].Published != "draft" {
		t.Errorf("got %+v, %v", specs, err)
	}
}
