package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gitIn runs real git in a folder.
func gitIn(t testing.TB, dir string, stdin []byte, args ...string) string {
	t.Helper()
	out, err := tryGit(dir, stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryGit(dir string, stdin []byte, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "core.autocrlf=false"}, args...)...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out), nil
}

func layOut(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// clones are real repositories below a folder, looked at by git.
type clones struct {
	dir   string
	lists map[string]string
	hosts map[string][]string
	// broken are names that Names lists and nothing else knows.
	broken []string
	// extra are further paths that Files says a repository has.
	extra map[string][]string

	mu    sync.Mutex
	calls map[string]int
}

func newClones(t testing.TB, repos map[string]map[string]string) *clones {
	c := &clones{dir: t.TempDir(), calls: map[string]int{}}
	for name, files := range repos {
		dir := filepath.Join(c.dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		gitIn(t, dir, nil, "init", "-q", "--template=", "-b", "main")
		layOut(t, dir, files)
		gitIn(t, dir, nil, "add", "-A")
		gitIn(t, dir, nil, "commit", "-q", "--allow-empty", "-m", "x")
	}
	return c
}

func (c *clones) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[what]++
}

func (c *clones) Names(context.Context) ([]string, error) {
	c.count("names")
	names := slices.Clone(c.broken)
	err := filepath.WalkDir(c.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == ".git" {
			name, _ := filepath.Rel(c.dir, filepath.Dir(path))
			names = append(names, name)
			return filepath.SkipDir
		}
		return err
	})
	slices.Sort(names)
	return names, err
}

func (c *clones) Revision(_ context.Context, name, branch string) (Revision, error) {
	name = strings.TrimPrefix(name, "https://code.example/")
	dir := filepath.Join(c.dir, name)
	if branch == "" {
		ref, err := tryGit(dir, nil, "symbolic-ref", "HEAD")
		if err != nil {
			return Revision{}, err
		}
		branch = strings.TrimSpace(ref)
	}
	branch = "refs/heads/" + strings.TrimPrefix(branch, "refs/heads/")
	commit, err := tryGit(dir, nil, "rev-parse", "--verify", branch)
	return Revision{Name: name, Branch: branch, Commit: strings.TrimSpace(commit)}, err
}

func (c *clones) Files(_ context.Context, name, commit string) ([]string, error) {
	c.count("files")
	out, err := tryGit(filepath.Join(c.dir, name), nil, "ls-tree", "-r", "-z", "--name-only", commit)
	return append(slices.DeleteFunc(strings.Split(out, "\x00"), func(s string) bool { return s == "" }), c.extra[name]...), err
}

func (c *clones) Grep(ctx context.Context, name, commit string, p Pattern) ([]string, error) {
	c.count("grep")
	re, err := p.Compile()
	if err != nil {
		return nil, err
	}
	files, err := c.Files(ctx, name, commit)
	var found []string
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(c.dir, name, f)) // the work tree is as the commit
		if err == nil && re.Match(text) {
			found = append(found, f)
		}
	}
	return found, err
}

func (c *clones) Query(_ context.Context, host, query string) ([]string, error) {
	names, ok := c.hosts[host+" "+query]
	if !ok {
		return nil, errors.New("429 too many requests")
	}
	return names, nil
}

func (c *clones) ReadList(_ context.Context, file string) ([]byte, error) {
	text, ok := c.lists[file]
	if !ok {
		return nil, os.ErrNotExist
	}
	return []byte(text), nil
}

func (c *clones) Folder(_ context.Context, path string) (Revision, error) {
	return Revision{Name: path}, nil
}

func someClones(t testing.TB) *clones {
	c := newClones(t, map[string]map[string]string{
		"go/a":     {"go.mod": "module a", "x/main.go": "package main // Hello world", "README.md": "hello"},
		"go/b":     {"go.mod": "module b", "main.go": "package main", "README.md": "Hello\nbig world"},
		"js/mono":  {"package.json": "{}", "p/one/package.json": "{}", "p/two/package.json": "{}", "p/notpackage.json": "", "p/package.json.bak": ""},
		"js/small": {"src/index.js": "hello()"},
	})
	gitIn(t, filepath.Join(c.dir, "go/a"), nil, "branch", "release/1")
	return c
}

// describe is a resolution in short: "name@branch:path=search results".
func describe(r Resolution) (workspaces, failures []string) {
	for _, w := range r.Workspaces {
		s := w.Repo + "@" + strings.TrimPrefix(w.Branch, "refs/heads/") + ":" + w.Path
		if len(w.SearchResultPaths) > 0 {
			s += "=" + strings.Join(w.SearchResultPaths, ",")
		}
		if w.Only {
			s += " only"
		}
		workspaces = append(workspaces, s)
	}
	for _, f := range r.Failures {
		failures = append(failures, f.Name)
	}
	return workspaces, failures
}

func TestResolve(t *testing.T) {
	c := someClones(t)
	c.lists = map[string]string{"names.txt": "\ufeff# ours\n\ngo/a@release/1\nhttps://code.example/go/b\ngo/none\nbad name\n\x1b[2J\n"}
	c.hosts = map[string][]string{"gh topic:x": {"go/b", "--upload-pack=x", "js/small", "", "x\x1b[2J"}}
	c.broken = []string{"zz/broken"}
	for _, test := range []struct {
		name     string
		spec     Spec
		want     []string
		failures []string
	}{
		{name: "by name", spec: Spec{On: []On{{Repository: "go/a"}}}, want: []string{"go/a@main:"}},
		{name: "by branches", spec: Spec{On: []On{{Repository: "go/a", Branches: []string{"release/1", "none", "main"}}, {Repository: "go/b", Branch: "main"}}},
			want: []string{"go/a@main:", "go/a@release/1:", "go/b@main:"}, failures: []string{"go/a"}},
		{name: "twice", spec: Spec{On: []On{{Repository: "go/a"}, {Repository: "go/a", Branch: "main"}, {RepositoriesMatching: "go/*"}, {RepositoriesMatchingQuery: "repo:go/a file:mod$"}, {RepositoriesMatchingQuery: "repo:go/a file:md$"}}},
			want: []string{"go/a@main:=README.md,go.mod", "go/b@main:"}},
		{name: "by glob", spec: Spec{On: []On{{RepositoriesMatching: "**"}}},
			want: []string{"go/a@main:", "go/b@main:", "js/mono@main:", "js/small@main:"}, failures: []string{"zz/broken"}},
		{name: "by list", spec: Spec{On: []On{{RepositoriesFrom: "names.txt"}, {RepositoriesFrom: "none.txt"}}},
			want: []string{"go/a@release/1:", "go/b@main:"}, failures: []string{"go/none", "names.txt:6", "names.txt:7", "on[1]"}},
		{name: "by code host", spec: Spec{On: []On{{CodeHostQuery: &CodeHostQuery{Host: "gh", Query: "topic:x"}}, {CodeHostQuery: &CodeHostQuery{Host: "gh", Query: "slow"}}}},
			want: []string{"go/b@main:", "js/small@main:"}, failures: []string{"", `"x\x1b[2J"`, "--upload-pack=x", "on[1]"}},
		{name: "by folder", spec: Spec{On: []On{{Folder: "/srv/x"}}}, want: []string{"/srv/x@:"}},
		{name: "an option as branch", spec: Spec{On: []On{{Repository: "go/a", Branch: "--all"}, {Repository: "-x"}}}, failures: []string{"-x", "go/a"}},
		{name: "query on names", spec: Spec{On: []On{{RepositoriesMatchingQuery: "repo:^go/ -repo:b$"}}}, want: []string{"go/a@main:"}},
		{name: "query on text, version 1", spec: Spec{Version: 1, On: []On{{RepositoriesMatchingQuery: "repo:^go hello world"}}}, want: []string{"go/a@main:=x/main.go"}},
		{name: "query on words, version 2", spec: Spec{Version: 2, On: []On{{RepositoriesMatchingQuery: "r:^go hello world"}}}, want: []string{"go/a@main:=x/main.go", "go/b@main:=README.md"}},
		{name: "query on words with case", spec: Spec{Version: 2, On: []On{{RepositoriesMatchingQuery: "r:go world Hello case:yes -f:md$"}}}, want: []string{"go/a@main:=x/main.go"}},
		{name: "query on a language", spec: Spec{Version: 2, On: []On{{RepositoriesMatchingQuery: "r:^(go|js) lang:go"}}}, want: []string{"go/a@main:=x/main.go", "go/b@main:=main.go"}},
		{name: "query on a file", spec: Spec{Version: 2, On: []On{{RepositoriesMatchingQuery: "r:js repohasfile:^package\\.json$"}, {RepositoriesMatchingQuery: "r:go repo:has.file(path:^main content:package)"}}},
			want: []string{"go/b@main:", "js/mono@main:"}},
		{name: "query without a file", spec: Spec{Version: 2, On: []On{{RepositoriesMatchingQuery: "r:js -repo:has.path(package)"}}}, want: []string{"js/small@main:"}},
		{name: "workspaces", spec: Spec{On: []On{{RepositoriesMatching: "*/*"}}, Workspaces: []WorkspaceRule{{RootAtLocationOf: "package.json", In: "js/*", OnlyFetchWorkspace: true}}},
			want: []string{"go/a@main:", "go/b@main:", "js/mono@main:", "js/mono@main:p/one only", "js/mono@main:p/two only"}, failures: []string{"zz/broken"}},
		{name: "workspaces of two rules", spec: Spec{On: []On{{Repository: "js/mono"}, {Repository: "go/a"}}, Workspaces: []WorkspaceRule{{RootAtLocationOf: "package.json", In: "js/*"}, {RootAtLocationOf: "go.mod"}}},
			want: []string{"go/a@main:"}, failures: []string{"js/mono"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.spec.Steps = []Step{{Run: "true"}}
			got, err := Resolve(t.Context(), &test.spec, c, ResolveOptions{Parallel: 3})
			if err != nil {
				t.Fatal(err)
			}
			workspaces, failures := describe(got)
			if !slices.Equal(workspaces, test.want) || !slices.Equal(failures, test.failures) {
				t.Errorf("got %q, failures %v, notes %q\nwant %q, failures %q", workspaces, got.Failures, got.Notes, test.want, test.failures)
			}
		})
	}
}

func TestResolveAsksForNoMoreThanNeeded(t *testing.T) {
	c := someClones(t)
	for _, on := range [][]On{{{Repository: "go/a"}}, {}} {
		if _, err := Resolve(t.Context(), &Spec{Steps: []Step{{}}, On: on}, c, ResolveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.calls) != 0 {
		t.Errorf("asked for %v", c.calls)
	}
	spec := &Spec{Steps: []Step{{}}, On: []On{{RepositoriesMatching: "go/*"}, {RepositoriesMatchingQuery: "repo:js"}}}
	if _, err := Resolve(t.Context(), spec, c, ResolveOptions{}); err != nil {
		t.Fatal(err)
	}
	if c.calls["names"] != 1 || len(c.calls) != 1 {
		t.Errorf("asked for %v, want the names once", c.calls)
	}
	spec.Steps = nil
	if got, err := Resolve(t.Context(), spec, c, ResolveOptions{}); err != nil || len(got.Workspaces) != 0 || c.calls["names"] != 1 {
		t.Errorf("without steps: %+v, %v, %v", got, err, c.calls)
	}
}

func TestResolveSpecFaults(t *testing.T) {
	c := newClones(t, nil)
	spec := &Spec{Steps: []Step{{}}, On: []On{{RepositoriesMatching: "[a"}, {RepositoriesMatchingQuery: "fork:yes"}}}
	_, err := Resolve(t.Context(), spec, c, ResolveOptions{})
	if err == nil || !strings.Contains(err.Error(), "on[0]") || !strings.Contains(err.Error(), "on[1]") || len(c.calls) != 0 {
		t.Errorf("got %v after %v", err, c.calls)
	}
	spec = &Spec{Steps: []Step{{}}, Workspaces: []WorkspaceRule{{RootAtLocationOf: "x", In: "{a"}}}
	if _, err := Resolve(t.Context(), spec, c, ResolveOptions{}); err == nil || !strings.Contains(err.Error(), "workspaces[0].in") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if _, err := Resolve(ctx, &Spec{Steps: []Step{{}}, On: []On{{Repository: "x"}}}, c, ResolveOptions{}); !errors.Is(err, stop) {
		t.Errorf("canceled: %v", err)
	}
}

func TestResolveHostileTrees(t *testing.T) {
	c := newClones(t, map[string]map[string]string{"evil": {"pom.xml": ""}, "good": {"a/pom.xml": ""}, "huge": {}})
	c.extra = map[string][]string{
		"evil": {"x\x1b[2J/pom.xml", "\xff/pom.xml", "../pom.xml", "/etc/pom.xml", ".git/pom.xml", strings.Repeat("a/", 3000) + "pom.xml", "a//pom.xml"},
	}
	for i := range maxRoots + 1 {
		c.extra["huge"] = append(c.extra["huge"], fmt.Sprintf("d%d/pom.xml", i))
	}
	spec := &Spec{Steps: []Step{{}}, On: []On{{RepositoriesMatching: "*"}}, Workspaces: []WorkspaceRule{{RootAtLocationOf: "pom.xml"}}}
	got, err := Resolve(t.Context(), spec, c, ResolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	workspaces, failures := describe(got)
	if !slices.Equal(workspaces, []string{"evil@main:", "good@main:a"}) || !slices.Equal(failures, []string{"huge"}) || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "left out 7") {
		t.Errorf("got %q, failures %v, notes %q", workspaces, got.Failures, got.Notes)
	}
}

func TestFailureAsJSON(t *testing.T) {
	text, err := json.Marshal(Resolution{Failures: []Failure{{Name: "a", Err: errors.New("b")}}})
	if err != nil || !strings.Contains(string(text), `{"error":"b","name":"a"}`) {
		t.Fatalf("got %s, %v", text, err)
	}
	var back Resolution
	if err := json.Unmarshal(text, &back); err != nil || back.Failures[0].Err.Error() != "b" {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestBoundLeavesTheLargestOut(t *testing.T) {
	var all []Workspace
	for i := range 9_000 {
		all = append(all, Workspace{Repo: fmt.Sprintf("r%d", i)})
	}
	for i := range 1_500 {
		all = append(all, Workspace{Repo: "big", Path: fmt.Sprint(i)})
	}
	kept, failures := bound(all, nil)
	if len(kept) != 9_000 || len(failures) != 1 || failures[0].Name != "big" {
		t.Errorf("%d are left, failures %v", len(kept), failures)
	}
}

func TestWorkspaceIDs(t *testing.T) {
	base := chosen{Revision: Revision{Name: "a", Branch: "refs/heads/main", Commit: "1"}}
	moved := base
	moved.Commit = "2"
	other := base
	other.Branch = "refs/heads/next"
	ids := map[string]bool{base.workspace("", true).ID: true, base.workspace("x", false).ID: true, other.workspace("", false).ID: true}
	if len(ids) != 3 || base.workspace("x", false).ID != moved.workspace("x", true).ID {
		t.Errorf("ids %v", ids)
	}
	if base.workspace("", true).Only || !base.workspace("x", true).Only {
		t.Error("only is for folders")
	}
}

func TestCutBranch(t *testing.T) {
	for in, want := range map[string][2]string{
		"a/b":                          {"a/b", ""},
		"a/b@main":                     {"a/b", "main"},
		"a/b@release/1.0":              {"a/b", "release/1.0"},
		"https://u:p@h/a.git":          {"https://u:p@h/a.git", ""},
		"https://u:p@h/a.git@x":        {"https://u:p@h/a.git", "x"},
		"git@github.com:a/b.git":       {"git@github.com:a/b.git", ""},
		"git@github.com:a/b.git@dev":   {"git@github.com:a/b.git", "dev"},
		"ssh://git@h:22/a@b":           {"ssh://git@h:22/a", "b"},
		"https://u@h":                  {"https://u@h", ""},
		"/srv/repos/a@2":               {"/srv/repos/a", "2"},
		"github.com/a/b@refs/heads/mm": {"github.com/a/b", "refs/heads/mm"},
	} {
		if name, branch := cutBranch(in); name != want[0] || branch != want[1] {
			t.Errorf("%q: got %q and %q", in, name, branch)
		}
	}
}

func TestCheckBranch(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"main", "a/b-c_d.e", "ünicode", "x@y", "{x}", "a.lock.b", "", "-x", "--upload-pack=x", "a..b", "a@{1", "@", "a b", "a~1", "a^", "a:b", "a?b", "a*b", "a[b", `a\b`,
		"a\x00b", "a\nb", "a\x1bb", "\xff", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a.", "../x", "a/../b", "\x7f"} {
		_, err := tryGit(dir, nil, "check-ref-format", "refs/heads/"+strings.ReplaceAll(name, "\x00", "\x01"))
		if name == "-x" || strings.HasPrefix(name, "--") || name == "@" || name == "\xff" {
			err = errors.New("git takes it as a full ref only") // or not in UTF-8
		}
		if got := CheckBranch(name); (got == nil) != (err == nil) {
			t.Errorf("%q: %v, git says %v", name, got, err)
		}
	}
	for _, name := range []string{"HEAD", "refs/heads/x", strings.Repeat("a", 300)} {
		if CheckBranch(name) == nil {
			t.Errorf("%q is accepted", clip(name))
		}
	}
}
