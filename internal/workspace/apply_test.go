package workspace

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/glovebox-dev/glovebox"
)

func TestApplyRefusesHostileDiffs(t *testing.T) {
	s := newSource(t)
	outside := t.TempDir()
	s.write("a", "x\n")
	do(t, os.Symlink(outside, filepath.Join(s.path, "out")))
	commit, cache := s.commit(), newCache(t)
	add := func(path, mode, text string) string {
		return "diff --git a/" + path + " b/" + path + "\nnew file mode " + mode + "\n--- /dev/null\n+++ b/" + path + "\n@@ -0,0 +1 @@\n+" + text + "\n"
	}
	for _, patch := range []string{add("../x", "100644", "x"), add("/x", "100644", "x"), add(".git/x", "100644", "x"), add("d/.GIT/x", "100644", "x"), add("git~1/x", "100644", "x"),
		add("out/x", "100644", "x"), add("m", "160000", "Subproject commit "+commit), add(".gitmodules", "120000", "x"), add("a", "100644", "x"), strings.TrimSuffix(add("b", "100644", "x"), "+x\n"), "garbage",
		"diff --git a/b b/b\nnew file mode 100644\nindex 0000000000000000000000000000000000000000..1111111111111111111111111111111111111111\nGIT binary patch\nliteral 99999999999\nKcmZQzWMT\n\nliteral 0\nHcmV?d00001\n\n"} {
		w := prepare(t, options(t, cache, s.path, commit))
		if err := w.Apply(t.Context(), strings.NewReader(patch)); err == nil {
			t.Errorf("applied: %q", patch)
		}
	}
	if left, _ := os.ReadDir(outside); len(left) != 0 {
		t.Errorf("written outside: %v", left)
	}
}

func TestOnly(t *testing.T) {
	s := newSource(t)
	for _, name := range []string{"top", ".gitignore", "a/.gitattributes", "a/other", "a/b/in", "a/b/deep/in", "a/bc/x", "z/x"} {
		s.write(name, "x\n")
	}
	commit, cache := s.commit(), newCache(t)
	lay := func(only string) (*Workspace, error) {
		opts := options(t, cache, s.path, commit)
		opts.Only = only
		return Prepare(t.Context(), opts)
	}
	w, err := lay("a/b")
	do(t, err)
	defer w.Close()
	var got []string
	for path := range tree(t, w.Root) {
		got = append(got, path)
	}
	slices.Sort(got)
	want := []string{".gitignore", "a/.gitattributes", "a/b/deep/in", "a/b/in"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if list := strings.Fields(stepGit(t, w, "ls-files")); !slices.Equal(list, want) {
		t.Errorf("index: %q", list)
	}
	if d, _, err := w.Diff(t.Context(), 0); d != nil || err != nil {
		t.Fatal("what is not laid out is in the diff", err)
	}
	do(t, put(w, "a/b/in", "changed\n"), put(w, "top", "made\n"), put(w, "z", "would push out a folder"), os.Remove(filepath.Join(w.Root, "a/b/deep/in")))
	d, notes, err := w.Diff(t.Context(), 0)
	do(t, err)
	if diff := cmp.Diff(glovebox.Changes{Modified: []string{"a/b/in", "top"}, Deleted: []string{"a/b/deep/in"}}, d.Changes); diff != "" {
		t.Error(diff)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "z") {
		t.Errorf("%q", notes)
	}
	patch, err := os.ReadFile(d.Path)
	do(t, err)
	again, err := lay("a/b")
	do(t, err, again.Apply(t.Context(), bytes.NewReader(patch)))
	defer again.Close()
	if d2, _, err := again.Diff(t.Context(), 0); err != nil || d2.SHA256 != d.SHA256 {
		t.Error("another diff", err)
	}
	for _, only := range []string{"nothing", "top", "a/b/in", "a/b/c"} {
		var fault *Fault
		if _, err := lay(only); !errors.As(err, &fault) {
			t.Errorf("%q: %v", only, err)
		}
	}
	for _, only := range []string{"../x", "/", ".git"} {
		if _, err := lay(only); err == nil {
			t.Errorf("%q was taken", only)
		}
	}
}

// TestRenamedLinkBecomesFolder: git apply takes no diff that says so.
func TestRenamedLinkBecomesFolder(t *testing.T) {
	s := newSource(t)
	s.write("always", "x")
	do(t, os.Symlink("always", filepath.Join(s.path, "a")))
	w := prepare(t, options(t, newCache(t), s.path, s.commit()))
	do(t, os.Rename(filepath.Join(w.Root, "a"), filepath.Join(w.Root, "b")), put(w, "a/in", ""), put(w, "end /in", ""))
	sameTree(t, s, w)
}

// TestDiffAfterEachStep: what did not change starts no git, what did is seen.
func TestDiffAfterEachStep(t *testing.T) {
	s := newSource(t)
	s.write("a", "one\n")
	s.write("move", strings.Repeat("a line to be recognized\n", 20))
	w := prepare(t, options(t, newCache(t), s.path, s.commit()))
	path := os.Getenv("PATH")
	t.Setenv("PATH", "") // no git
	if d, _, err := w.Diff(t.Context(), 0); d != nil || err != nil {
		t.Fatal(d, err)
	}
	t.Setenv("PATH", path)
	do(t, put(w, "a", "two\n"), put(w, "new", "x"), os.Rename(filepath.Join(w.Root, "move"), filepath.Join(w.Root, "mo\xffved")))
	first, _, err := w.Diff(t.Context(), 0)
	do(t, err)
	if diff := cmp.Diff(glovebox.Changes{Modified: []string{"a"}, Added: []string{"new"}, Renamed: []string{"mo\uFFFDved"}}, first.Changes); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(first.Path)
	do(t, err)
	t.Setenv("PATH", "")
	if d, _, err := w.Diff(t.Context(), 0); d != first || err != nil {
		t.Fatal("another diff", err)
	}
	t.Setenv("PATH", path)
	info, err := os.Stat(filepath.Join(w.Root, "a"))
	do(t, err, put(w, "a", "TWO\n"), os.Chtimes(filepath.Join(w.Root, "a"), info.ModTime(), info.ModTime()))
	second, _, err := w.Diff(t.Context(), 0)
	do(t, err)
	if second.SHA256 == first.SHA256 {
		t.Error("a change of equal size with its time put back was not seen")
	}
	if again, err := os.ReadFile(first.Path); err != nil || !bytes.Equal(again, text) {
		t.Error("the earlier diff changed", err)
	}
}

func TestLargeDiffs(t *testing.T) {
	s := newSource(t)
	s.write("a", "x")
	w := prepare(t, options(t, newCache(t), s.path, s.commit()))
	var million strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintf(&million, "line %d\n", i)
	}
	do(t, put(w, "million", million.String()))
	if d, _, err := w.Diff(t.Context(), 0); err != nil || d.Insertions != 1_000_000 {
		t.Fatal(err)
	}
	do(t, put(w, "huge file", strings.Repeat("100 MB of the same text\n", 100<<20/24)))
	var fault *Fault
	if _, _, err := w.Diff(t.Context(), 0); !errors.As(err, &fault) || !strings.Contains(fault.Reason, "huge file") {
		t.Error(err)
	}
}

func FuzzRequote(f *testing.F) {
	f.Add([]byte("diff --git a/x /y b/x /y\nnew file mode 100644\n"), 3)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		var whole, parts bytes.Buffer
		q := &requote{next: &whole}
		_, _ = q.Write(text)
		q = &requote{next: &parts}
		cut = max(0, min(cut, len(text)))
		_, _ = q.Write(text[:cut])
		_, _ = q.Write(text[cut:])
		if !bytes.Equal(whole.Bytes(), parts.Bytes()) {
			t.Fatalf("%q, in parts %q", &whole, &parts)
		}
	})
}

func FuzzParseRaw(f *testing.F) {
	f.Add(":100644 100644 1 2 R080\x00a\x00b\x00-\t-\tb\x00")
	f.Fuzz(func(_ *testing.T, text string) {
		_, rest, _ := parseRaw(text)
		_, _, _, _ = parseNumstat(rest)
	})
}
