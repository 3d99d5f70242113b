package batch_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
)

// tail makes a spec of steps a whole one.
const tail = "\nchangesetTemplate: {title: t, branch: b, commit: {message: m}}\n"

func TestRefused(t *testing.T) {
	step := func(field string) string { return "name: a\nsteps:\n- run: x\n  container: i\n  " + field + tail }
	changeset := func(field string) string {
		return "name: a\nchangesetTemplate:\n  title: t\n  branch: b\n  commit: {message: m}\n  " + field + "\n"
	}
	for _, c := range []struct{ text, want string }{
		{"version: 3\nname: a\nchangesetHooks: {}\n", "1:1: version: version 3 is not supported: changesetHooks, codingAgent and buildImage have no meaning here; write version: 2 and leave them out"},
		{"version: 4\nname: a\n", "1:1: version: is more than 2"},
		{"version: \"2\"\nname: a\n", "1:1: version: is a text, want a whole number"},
		{"name: a\nchangesetHooks: {}\n", "2:1: changesetHooks: is of version 3 of the format, which is not supported"},
		{step("codingAgent: {type: codex}"), "5:3: steps[0].codingAgent: is of version 3 of the format, which is not supported"},
		{"description: x\n", "1:1: : lacks name"},
		{"name: a b\n", `1:1: name: is "a b", want a name of letters, digits, "_", "-" and "."`},
		{"name: \"\"\n", `1:1: name: is "", want a name of letters`},
		{"name: a\nstpes: []\n", `2:1: stpes: unknown field (did you mean "steps"?)`},
		{"name: a\nname: b\n", "2:1: name: the key stands here a second time"},
		{"name: a\n---\nname: b\n", "a second document begins here; a batch spec is one document"},
		{"", "the batch spec is empty; the smallest is: name: my-batch-change"},
		{"- a\n", "1:1: : is a list, want a mapping"},
		{"name: [a\n", "not YAML"},
		{"name: \xff\n", "the batch spec is not UTF-8 text"},
		{"name: a\ndescription: " + strings.Repeat("x", 4<<20), "the batch spec is larger than 4M"},

		{"name: a\non: [{}]\n", "2:6: on[0]: want one of repository, repositoriesMatchingQuery"},
		{"name: a\non:\n- repository: a\n  repositoriesMatchingQuery: b\n", "4:3: on[0].repositoriesMatchingQuery: want only one of repository and repositoriesMatchingQuery: make it an entry of its own"},
		{"name: a\non:\n- repository: a\n  branch: b\n  branches: [c]\n", "5:3: on[0].branches: want only one of branch and branches"},
		{"name: a\non:\n- repositoriesMatching: a\n  branch: b\n", "4:3: on[0].branch: goes with repository only"},
		{"name: a\non:\n- repositoriesMatching: a\n  branches: [b]\n", "4:3: on[0].branches: goes with repository only"},
		{"name: a\non: [{repository: -x}]\n", `2:7: on[0].repository: want at most 4096 bytes without control characters, not beginning with "-"`},
		{"name: a\non: [{repository: \"a\\eb\"}]\n", "2:7: on[0].repository: want at most 4096 bytes without control characters"},
		{"name: a\non: [{repository: a, branch: \"--x\"}]\n", `2:22: on[0].branch: "--x" is no name for a branch: it begins with "-"`},
		{"name: a\non: [{repository: a, branches: [b, b]}]\n", `2:36: on[0].branches[1]: "b" stands here a second time`},
		{"name: a\non: [{repositoriesMatching: \"a[\"}]\n", "2:7: on[0].repositoriesMatching: the glob has a bracket without end"},
		{"name: a\non: [{repositoriesFrom: ../x}]\n", `2:7: on[0].repositoriesFrom: "../x" does not lie in the folder of the batch spec`},
		{"name: a\non: [{codeHostQuery: {host: x}}]\n", "2:7: on[0].codeHostQuery: lacks query"},
		{"name: a\non: [{repositoriesMatchingQuery: \"repo:( x\"}]\n", "2:7: on[0].repositoriesMatchingQuery: "},
		{"name: a\non: [{repositoriesMatchingQuery: \"fork:yes x\"}]\n", "2:7: on[0].repositoriesMatchingQuery: "},
		{"name: a\non: [{reposiotry: x}]\n", `2:7: on[0].reposiotry: unknown field (did you mean "repository"?)`},
		{"name: a\nworkspaces: [{in: x}]\n", "2:14: workspaces[0]: lacks rootAtLocationOf"},
		{"name: a\nworkspaces: [{rootAtLocationOf: a/b}]\n", "2:15: workspaces[0].rootAtLocationOf: want the name of a file"},
		{"name: a\nworkspaces: [{rootAtLocationOf: a, in: \"{\"}]\n", "2:36: workspaces[0].in: the glob has a brace without end"},

		{"name: a\nsteps: [{run: x, container: i}]\n", "2:1: steps: there are steps but no changesetTemplate"},
		{"name: a\nsteps: [{run: x}]" + tail, "2:9: steps[0]: lacks container: the image that the step runs in (or write image, here or for all steps)"},
		{"name: a\nsteps: [{container: x}]" + tail, "2:9: steps[0]: lacks run"},
		{"name: a\nsteps: [{container: i, run: \" \"}]" + tail, "2:24: steps[0].run: want a script here"},
		{"name: a\nsteps: [{container: -i, run: x}]" + tail, "2:10: steps[0].container: want at most 4096 bytes without control characters, not beginning with '-'"},
		{"name: a\nimage: -i\nsteps: [{run: x}]" + tail, "2:1: image: want at most 4096 bytes without control characters, not beginning with '-'"},
		{step("foo: x"), "5:3: steps[0].foo: unknown field; the fields here are container, env, files, if, image, mount, outputs, run, timeout"},
		{step("env: {A-B: c}"), "5:9: steps[0].env.A-B: want a name of letters, digits and '_', not beginning with a digit"},
		{step("env: [A=B]"), "5:9: steps[0].env[0]: want a name of letters"},
		{step("env: [{A: b, C: d}]"), "5:9: steps[0].env[0]: has 2 keys, want at most 1"},
		{step("env: [{}]"), "5:9: steps[0].env[0]: has 0 keys, want at least 1"},
		{step("env: {A: [b]}"), "5:9: steps[0].env.A: is a list, want a text"},
		{step("env: x"), "5:3: steps[0].env: is a text, want empty or a list or a mapping"},
		{step("files: {\"/a,b\": c}"), "5:11: steps[0].files./a,b: want a path without commas"},
		{step("files: {a: c}"), "5:11: steps[0].files.a: want an absolute path"},
		{step("files: {/work: c}"), "5:11: steps[0].files./work: want a path other than /work"},
		{step("outputs: {a-b: {value: c}}"), "5:13: steps[0].outputs.a-b: want a name of letters"},
		{step("outputs: {a: {format: text}}"), "5:13: steps[0].outputs.a: lacks value"},
		{step("outputs: {a: {value: c, format: xml}}"), "5:27: steps[0].outputs.a.format: is xml, want one of text yaml json"},
		{step("if: [a]"), "5:3: steps[0].if: is a list, want empty or a boolean or a text"},
		{step("timeout: soon"), `5:3: steps[0].timeout: is "soon", want a time such as 90s, 10m or 1h30m`},
		{step("timeout: 9000h"), "5:3: steps[0].timeout: want a time of more than 0 and at most 168h"},
		{step("mount: [{path: a}]"), "5:11: steps[0].mount[0]: lacks mountpoint"},
		{step("mount: [{path: a, mountpoint: \"/a,b\"}]"), "5:21: steps[0].mount[0].mountpoint: want an absolute path without \"..\", commas and control characters"},
		{step("mount: [{path: a, mountpoint: b}]"), "5:21: steps[0].mount[0].mountpoint: want an absolute path"},
		{step("mount: [{path: a, mountpoint: /work/}]"), "5:21: steps[0].mount[0].mountpoint: want a path other than /work"},
		{step("mount: [{path: a, mountpoint: /m}, {path: b, mountpoint: /m/}]"), `5:48: steps[0].mount[1].mountpoint: something else is at "/m" already`},
		{step("mount: [{path: \"a,b\", mountpoint: /m}]"), "5:12: steps[0].mount[0].path: want a path without commas"},
		{step("mount: [{path: ../a, mountpoint: /m}]"), `5:12: steps[0].mount[0].path: "../a" does not lie in the folder of the batch spec`},
		{step("mount: [{path: /etc, mountpoint: /m}]"), `5:12: steps[0].mount[0].path: "/etc" does not lie in the folder of the batch spec`},

		{"name: a\ntransformChanges:\n  group:\n  - {directory: x}\n", "4:5: transformChanges.group[0]: lacks branch"},
		{"name: a\ntransformChanges:\n  group:\n  - {directory: \"\", branch: b}\n", "4:6: transformChanges.group[0].directory: is empty"},
		{"name: a\ntransformChanges:\n  group:\n  - {directory: ../x, branch: b}\n", "4:6: transformChanges.group[0].directory: want a folder of the repository"},
		{"name: a\ntransformChanges:\n  group:\n  - {directory: x, branch: c}\n  - {directory: y, branch: c}\n", `5:20: transformChanges.group[1].branch: "c" is the branch of group[0] too`},
		{"name: a\ntransformChanges:\n  group:\n  - {directory: x, branch: b}\n" + tail, `4:20: transformChanges.group[0].branch: "b" is the branch of changesetTemplate too`},
		{"name: a\ntransformChanges:\n  group:\n  - {directory: x, branch: a..b}\n", `4:20: transformChanges.group[0].branch: "a..b" is no name for a branch: it has ".." or "@{"`},
		{"name: a\nimportChangesets: [{repository: r}]\n", "2:20: importChangesets[0]: lacks externalIDs"},
		{"name: a\nimportChangesets: [{repository: r, externalIDs: [1, \"1\"]}]\n", `2:53: importChangesets[0].externalIDs[1]: "1" stands here a second time`},

		{"name: a\nchangesetTemplate: {title: t}\n", "2:1: changesetTemplate: lacks branch, commit"},
		{changeset("comit: x"), "6:3: changesetTemplate.comit: unknown field (did you mean \"commit\"?)"},
		{changeset("published: maybe"), `6:3: changesetTemplate.published: is "maybe", want true, false or draft`},
		{changeset("published: [{\"*\": maybe}]"), `6:16: changesetTemplate.published[0].*: is "maybe", want true, false or draft`},
		{changeset("published: [{a: true, b: true}]"), "6:15: changesetTemplate.published[0]: has 2 keys, want at most 1"},
		{changeset("published: [{\"a[\": true}]"), "6:16: changesetTemplate.published[0].a[: the glob has a bracket"},
		{changeset("published: [{\"a@\": true}]"), "6:16: changesetTemplate.published[0].a@: want a branch behind the \"@\""},
		{changeset("published: [{\"@b\": true}]"), "6:16: changesetTemplate.published[0].@b: want a glob over repository names"},
		{changeset("fork: x"), "6:3: changesetTemplate.fork: is a text, want empty or a boolean"},
		{"name: a\nchangesetTemplate: {title: t, branch: \"a b\", commit: {message: m}}\n", `2:31: changesetTemplate.branch: "a b" is no name for a branch: it has a space`},
		{"name: a\nchangesetTemplate: {title: \" \", branch: b, commit: {message: m}}\n", "2:21: changesetTemplate.title: is blank"},
		{"name: a\nchangesetTemplate: {title: t, branch: b, commit: {message: m, author: {name: n}}}\n", "2:63: changesetTemplate.commit.author: lacks email"},
		{"name: a\nchangesetTemplate: {title: t, branch: b, commit: {message: m, author: {name: n, email: nobody}}}\n", `2:81: changesetTemplate.commit.author.email: "nobody" is not an email address`},
		{"name: a\nchangesetTemplate: {title: t, branch: b, commit: {message: m, author: {name: n, email: \"A <a@b>\"}}}\n", "is not an email address"},
		{"name: a\nchangesetTemplate: {title: t, branch: b, commit: {message: m, author: {name: \"n <x\", email: a@b}}}\n", "2:72: changesetTemplate.commit.author.name: want a name on one line"},

		{"name: a\nlimits: {memory: much}\n", `2:10: limits.memory: is "much", want a size such as 512M or 2G`},
		{"name: a\nlimits: {memory: 1K}\n", "2:10: limits.memory: want 16M to 64T"},
		{"name: a\nruntime: a/b\n", "2:1: runtime: want a runtime's name such as gvisor or docker"},
		{"name: a\nnetwork: all\n", "2:1: network: is all, want one of public none"},
		{"name: a\ntimeout: 9000h\n", "2:1: timeout: want a time of more than 0"},
		{"name: a\ntimeout: 1h\nlimits: {timeout: 2h}\n", "2:1: timeout: want only one of timeout and limits.timeout"},
		{"name: a\ncache: {npm: /work/x}\n", "2:9: cache.npm: want a path outside of /work"},
		{"name: a\ncache: {\"a b\": /x}\n", "2:9: cache.a b: want 1 to 64 letters"},
		{"name: a\ncache:\n- {name: npm, path: /proc}\n", "3:15: cache[0].path: want a path outside of /proc"},
	} {
		_, _, err := batch.Parse([]byte(c.text), batch.ParseOptions{})
		var invalid *glovebox.ValidationError
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 4000 {
			t.Errorf("%.200q:\n got %.500v\nwant %s", c.text, err, c.want)
		}
		if len(invalid.Problems) > 1 {
			t.Errorf("%.200q: several problems:\n%.500v", c.text, err)
		}
	}
}

// TestTemplateProblems: mistakes in templates are found wherever templates are, at their very place.
func TestTemplateProblems(t *testing.T) {
	text := `name: a
steps:
  - run: |

      echo one
      echo "ü ${{ repository.name }} ${{ repository.nam }}"
    container: alpine:${{ outputs.later }}
    env:
      A: 'it''s ${{ previous_step.stdot }}'
    files: {"/a": "\t${{ step.stdout }}"}
    if: ${{ nope }}
    outputs:
      later: {value: "${{ step.stdout }} ${{ outputs.later }}"}
  - run: >
      folded
      text ${{ outputs.later }} ${{ join steps.path
      "x" }}
    container: i
    env: [B, {C: "${{ batch_change_link }}"}]
changesetTemplate:
  title: ${{ outputs.latre }}
  body: |
    a
    ${{ if true }}
  branch: a/${{ previous_step.stdout }}
  commit:
    message: "${{ steps.pth }}"
    author: {name: "${{ x }}", email: a@b}
`
	_, _, err := batch.Parse([]byte(text), batch.ParseOptions{})
	want := `6:42: steps[0].run: unknown variable repository.nam: did you mean repository.name?
7:27: steps[0].container: no earlier step has the output later
9:21: steps[0].env.A: unknown variable previous_step.stdot: did you mean previous_step.stdout?
10:26: steps[0].files./a: step is known only in the values of a step's outputs: did you mean previous_step?
11:13: steps[0].if: unknown name nope: the variables are batch_change, batch_change_link, outputs, previous_step, repository, step, steps
13:46: steps[0].outputs.later.value: no earlier step has the output later
16:42: steps[1].run: join wants a list as argument 1, not a text
19:23: steps[1].env[1].C: batch_change_link is known only in the changeset template
21:14: changesetTemplate.title: no earlier step has the output latre: did you mean outputs.later?
24:5: changesetTemplate.body: what begins here has no "${{ end }}"
25:17: changesetTemplate.branch: previous_step is not known in the changeset template: steps and outputs are
27:19: changesetTemplate.commit.message: unknown variable steps.pth: did you mean steps.path?
28:25: changesetTemplate.commit.author.name: unknown name x: the variables are batch_change, batch_change_link, outputs, previous_step, repository, step, steps`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// TestBombs: a small text can't stand for a large spec.
func TestBombs(t *testing.T) {
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	merges := "a0: &a0 {x: y, z: w}\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9)+"x")
		merges += fmt.Sprintf("a%d: &a%d {<<: [%s]}\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	for _, text := range []string{bomb, merges, "name: a\nsteps: &a [*a]\n", "a: &a {<<: *a}\n", strings.Repeat("[", 5000) + strings.Repeat("]", 5000)} {
		var invalid *glovebox.ValidationError
		if _, _, err := batch.Parse([]byte(text), batch.ParseOptions{}); !errors.As(err, &invalid) {
			t.Errorf("%.100q: %v", text, err)
		}
	}
}

func TestWarnings(t *testing.T) {
	text := "name: a\nsteps:\n- run: x\n  container: i\n  if: maybe\n  env: [A, {A: b}]" + tail
	_, warnings, err := batch.Parse([]byte(text), batch.ParseOptions{})
	want := `2:1: steps: there is no "on": the steps have no repository to run in
6:13: steps[0].env[1].A: "A" is set a second time: this one holds
5:3: steps[0].if: "maybe" is never "true": the step is always skipped`
	if err != nil || texts(warnings) != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, texts(warnings), want)
	}
}
