package batch

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox/internal/patch"
)

// change is a repository with a commit, the diff of what was changed then, and the tree that it leads to.
type change struct {
	dir, tree string
	diff      []byte
}

// changed commits before, puts after in its place and takes the diff. A content "link:x" is a link to x.
func changed(t testing.TB, before, after map[string]string, args ...string) change {
	t.Helper()
	dir := t.TempDir()
	gitIn(t, dir, nil, "init", "-q", "--template=")
	put := func(files map[string]string) {
		for name, content := range files {
			path := filepath.Join(dir, name)
			if target, ok := strings.CutPrefix(content, "link:"); ok {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(target, path); err != nil {
					t.Fatal(err)
				}
				continue
			}
			layOut(t, dir, map[string]string{name: content})
		}
	}
	put(before)
	gitIn(t, dir, nil, "add", "-A")
	gitIn(t, dir, nil, "commit", "-q", "--allow-empty", "-m", "x")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".git" {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(after)
	gitIn(t, dir, nil, "add", "-A")
	args = append([]string{"diff", "--cached", "-M", "--full-index", "--binary", "--src-prefix=a/", "--dst-prefix=b/"}, args...)
	c := change{dir: dir, diff: []byte(gitIn(t, dir, nil, append(args, "HEAD")...))}
	c.tree = gitIn(t, dir, nil, "write-tree")
	return c
}

// apply applies diffs to the commit, one after another, and returns the tree.
func (c change) apply(diffs ...[]byte) (string, error) {
	if _, err := tryGit(c.dir, nil, "read-tree", "HEAD"); err != nil {
		return "", err
	}
	for _, d := range diffs {
		if len(d) == 0 {
			continue
		}
		if _, err := tryGit(c.dir, d, "apply", "--cached", "--whitespace=nowarn"); err != nil {
			return "", err
		}
	}
	return tryGit(c.dir, nil, "write-tree")
}

// names lists the files of a diff.
func names(t testing.TB, diff []byte) []string {
	t.Helper()
	files, err := patch.Sections(diff)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		out = append(out, f.Name)
	}
	return out
}

const lines = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after map[string]string
		groups        []string // directories
		rest          []string
		parts         [][]string
	}{
		{name: "by parts of the path", after: map[string]string{"a": "1", "b/c/x": "1", "bc/x": "1", "c/x": "1", "b/x": "1", "b/cc": "1"}, groups: []string{"b/c", "c/", "./bc"},
			rest: []string{"a", "b/cc", "b/x"}, parts: [][]string{{"b/c/x"}, {"c/x"}, {"bc/x"}}},
		{name: "the last that matches", after: map[string]string{"a/b/x": "1", "a/x": "1"}, groups: []string{"a/b", "a"}, parts: [][]string{nil, {"a/b/x", "a/x"}}},
		{name: "the longer one last", after: map[string]string{"a/b/x": "1", "a/x": "1"}, groups: []string{"a", "a/b"}, parts: [][]string{{"a/x"}, {"a/b/x"}}},
		{name: "deleted beneath a", before: map[string]string{"a/x": "1", "x": "1"}, groups: []string{"a"}, rest: []string{"x"}, parts: [][]string{{"a/x"}}},
		{name: "renamed into a group", before: map[string]string{"x": lines}, after: map[string]string{"g/x": lines + "end\n", "y": "1"}, groups: []string{"g"},
			rest: []string{"y"}, parts: [][]string{{"g/x"}}},
		{name: "renamed out of a group", before: map[string]string{"g/x": lines}, after: map[string]string{"x": lines}, groups: []string{"g"}, rest: []string{"x"}, parts: [][]string{nil}},
		{name: "file to folder", before: map[string]string{"g": "1"}, after: map[string]string{"g/sub/x": "2\n3", "y": "other"}, groups: []string{"g/sub"},
			rest: []string{"y"}, parts: [][]string{{"g", "g/sub/x"}}},
		{name: "folder to file", before: map[string]string{"g/sub/x": "1", "g/z": "2"}, after: map[string]string{"g": "3\n4\n5"}, groups: []string{"g/sub"},
			rest: []string{"g", "g/sub/x", "g/z"}, parts: [][]string{nil}},
		{name: "file to link", before: map[string]string{"g/x": "1"}, after: map[string]string{"g/x": "link:y"}, groups: []string{"g"}, parts: [][]string{{"g/x", "g/x"}}},
		{name: "everything", after: map[string]string{"a": "1"}, groups: []string{"."}, parts: [][]string{{"a"}}},
		{name: "quoted names", after: map[string]string{"g/ä\n": "1", "g\t/x": "1"}, groups: []string{"g"}, rest: []string{"g\t/x"}, parts: [][]string{{"g/ä\n"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ch := changed(t, c.before, c.after)
			var groups []Group
			for _, g := range c.groups {
				groups = append(groups, Group{Directory: g})
			}
			rest, parts := checkSplit(t, ch, groups)
			if got := names(t, rest); !slices.Equal(slices.Sorted(slices.Values(got)), c.rest) {
				t.Errorf("rest %q, want %q", got, c.rest)
			}
			for i, want := range c.parts {
				if got := names(t, parts[i]); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
					t.Errorf("part %d: %q, want %q", i, got, want)
				}
			}
		})
	}
}

// checkSplit splits and wants each part to apply on its own, all of them in any order to give the
// tree, and the sections to be those of the diff, byte for byte.
func checkSplit(t testing.TB, c change, groups []Group) (rest []byte, parts [][]byte) {
	t.Helper()
	rest, parts, err := Split(c.diff, groups)
	if err != nil {
		t.Fatalf("%v\n%s", err, c.diff)
	}
	all := append([][]byte{rest}, parts...)
	checkBytes(t, c.diff, all)
	gitIn(t, c.dir, nil, "read-tree", "HEAD")
	for i, part := range all {
		if len(part) == 0 {
			continue
		}
		if _, err := tryGit(c.dir, part, "apply", "--cached", "--check", "--whitespace=nowarn"); err != nil {
			t.Errorf("part %d alone: %v\n%s\nof\n%s", i, err, part, c.diff)
		}
	}
	slices.Reverse(all)
	if tree, err := c.apply(all...); err != nil || tree != c.tree {
		t.Errorf("all parts: %v, tree %s, want %s", err, tree, c.tree)
	}
	return rest, parts
}

// checkBytes wants the parts' sections to be those of the diff.
func checkBytes(t testing.TB, diff []byte, parts [][]byte) {
	t.Helper()
	count := map[string]int{}
	tally := func(text []byte, n int) {
		files, err := patch.Sections(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			count[string(text[f.Offset:f.Offset+f.Size])] += n
		}
	}
	tally(diff, 1)
	size := 0
	for _, p := range parts {
		tally(p, -1)
		size += len(p)
	}
	for text, n := range count {
		if n != 0 {
			t.Errorf("a section is there %d times too few: %.200q", n, text)
		}
	}
	if size != len(diff) {
		t.Errorf("the parts have %d bytes, the diff %d", size, len(diff))
	}
}

// TestSplitRandom splits the diffs of random changes, with files that became folders and the other way round.
func TestSplitRandom(t *testing.T) {
	paths := []string{"a", "a/x", "a/b", "a/b/x", "a/b/c d", "b", "b/a/x", "b/ü", "c/a/b/x", "c/diff --git a"}
	contents := []string{lines, lines + "more\n", "x\r\n" + lines, "diff --git a/x b/x\nnew file mode 100644\n@@ -1 +1 @@\n-x\n+y\n", "\x00\x01bin", "\xe9\n", "", "link:x", "end"}
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 7))
		tree := func() map[string]string {
			files := map[string]string{}
			for _, i := range r.Perm(len(paths)) {
				p := paths[i]
				clash := slices.ContainsFunc(paths, func(q string) bool {
					_, has := files[q]
					return has && (strings.HasPrefix(p, q+"/") || strings.HasPrefix(q, p+"/"))
				})
				if !clash && r.IntN(3) > 0 {
					files[p] = contents[r.IntN(len(contents))]
				}
			}
			return files
		}
		c := changed(t, tree(), tree(), []string{"-M", "-B", "-C"}[r.IntN(3)])
		groups := []Group{{Directory: "a/b"}, {Directory: "b"}, {Directory: "c/a"}}
		r.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
		t.Run(fmt.Sprint(seed), func(t *testing.T) { checkSplit(t, c, groups) })
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("diff --git a/x b/x\nnew file mode 100644\ndiff --git a/d/y b/d/z\nsimilarity index 100%\nrename from d/y\nrename to x/z\n"), "d", "x/z")
	f.Fuzz(func(t *testing.T, diff []byte, one, two string) {
		rest, parts, err := Split(diff, []Group{{Directory: one}, {Directory: two}})
		if err == nil {
			checkBytes(t, diff, append([][]byte{rest}, parts...))
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	var diff bytes.Buffer
	for i := range 10_000 {
		fmt.Fprintf(&diff, "diff --git a/d%d/f b/d%d/f\nnew file mode 100644\n--- /dev/null\n+++ b/d%d/f\n@@ -0,0 +1,100 @@\n%s", i%50, i%50, i%50, strings.Repeat("+line\n", 100))
	}
	groups := []Group{{Directory: "d1"}, {Directory: "d2"}}
	b.SetBytes(int64(diff.Len()))
	for b.Loop() {
		if _, _, err := Split(diff.Bytes(), groups); err != nil {
			b.Fatal(err)
		}
	}
}
