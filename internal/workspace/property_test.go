package workspace

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/glovebox-dev/glovebox/internal/git"
)

// checks makes rapid try that many cases, unless the command line says how many.
func checks(t *testing.T, n int) {
	t.Helper()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if given {
		return
	}
	before := flag.Lookup("rapid.checks").Value.String()
	do(t, flag.Lookup("rapid.checks").Value.Set(fmt.Sprint(n)))
	t.Cleanup(func() { do(t, flag.Lookup("rapid.checks").Value.Set(before)) })
}

// forest draws random trees and edits of them.
type forest struct {
	t    *rapid.T
	root string
}

var (
	names = []string{"a", "b", "c.txt", "d.log", "d e", "ä", "e\u0301", "\u00e9", "\xf0", "x\ny", "-dash", `"q"`, "tab\t", `back\slash`, "'", ":(top)", "#", "!x", "end ", "a b", "..x", "日本", "\x01", ".gitignore", ".gitattributes"}
	// contents are what diffs go wrong with.
	contents = []string{"", "\n", "x", "one\ntwo\nthree\n", "one\r\ntwo\r\n", "one\r\ntwo\nthree", "\r", "\x00\x01\xff", "caf\xe9\n", "$Id$\n",
		"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "\\ No newline at end of file\n", "diff --git a/a b/a\ndeleted file mode 100644\n", "h\x00i\x00\n\x00",
		strings.Repeat("a line that is long enough to be known again\n", 30), strings.Repeat("\x00binary\xfe", 200), " trailing \t\n\n\n", "\ufeffbom\n"}
	ignores    = []string{"*.log\n", "a/\n", "*.txt\n!c.txt\n", "/b\n", "b/*\n!b/a\n", "\\#\n", "*\n", "x?y\n", "\xf0\n", "# nothing\n"}
	attributes = []string{"* text=auto\n", "* text eol=crlf\n", "*.txt -diff\n", "* binary\n", "*.txt working-tree-encoding=UTF-16LE\n", "* ident filter=x diff=x merge=x\n", "[attr]mine -text\n* mine\n", "* -crlf whitespace=error-all\n"}
	// No target leads to a link: git apply --index can't put a folder in the place of a link that leads to itself.
	targets = []string{"always", "nowhere", "../up", "/etc/passwd", ".", "x\nz", "\xf0\xf0", "a\r\n"}
)

func (f forest) path() string {
	parts := rapid.SliceOfN(rapid.SampledFrom(names), 1, 3).Draw(f.t, "path")
	return filepath.Join(append([]string{f.root}, parts...)...)
}

// free makes room for a file: no file and no link may be where a folder has to be.
func (f forest) free(path string) error {
	for dir := filepath.Dir(path); len(dir) > len(f.root); dir = filepath.Dir(dir) {
		if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
			if err := os.Remove(dir); err != nil {
				return err
			}
		}
	}
	return errors.Join(os.RemoveAll(path), os.MkdirAll(filepath.Dir(path), 0o755))
}

func (f forest) content(path string) []byte {
	switch filepath.Base(path) {
	case ".gitignore":
		return []byte(rapid.SampledFrom(ignores).Draw(f.t, "ignore"))
	case ".gitattributes":
		return []byte(rapid.SampledFrom(attributes).Draw(f.t, "attributes"))
	}
	return []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(contents), 1, 3).Draw(f.t, "content"), ""))
}

// existing picks one of the files there are, "" without any.
func (f forest) existing() string {
	var all []string
	_ = filepath.WalkDir(f.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == ".git" {
			return filepath.SkipDir
		}
		if path != f.root && d.Name() != "module" {
			all = append(all, path)
		}
		return nil
	})
	if len(all) == 0 {
		return ""
	}
	return all[rapid.IntRange(0, len(all)-1).Draw(f.t, "which")]
}

// edit does one random thing to the tree.
func (f forest) edit() error {
	what := rapid.SampledFrom([]string{"write", "write", "write", "link", "delete", "rename", "mode", "append", "crlf", "odd"}).Draw(f.t, "edit")
	switch what {
	case "write", "link":
		path := f.path()
		if err := f.free(path); err != nil {
			return err
		}
		if what == "link" {
			return os.Symlink(rapid.SampledFrom(targets).Draw(f.t, "target"), path)
		}
		mode := os.FileMode(0o644)
		if rapid.IntRange(0, 4).Draw(f.t, "mode") == 0 {
			mode = 0o755
		}
		return os.WriteFile(path, f.content(path), mode)
	case "odd": // a git directory that is none
		path := f.path()
		return errors.Join(f.free(path), os.MkdirAll(filepath.Join(path, ".git/objects"), 0o755), os.WriteFile(filepath.Join(path, "in"), nil, 0o644))
	}
	old := f.existing()
	if old == "" {
		return nil
	}
	info, err := os.Lstat(old)
	if err != nil {
		return err
	}
	switch what {
	case "delete":
		return os.RemoveAll(old)
	case "rename":
		path := f.path()
		if strings.HasPrefix(path+"/", old+"/") || strings.HasPrefix(old+"/", path+"/") {
			return nil
		}
		if err := f.free(path); err != nil {
			return err
		}
		if err := os.Rename(old, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	data, err := os.ReadFile(old)
	if err != nil {
		return err
	}
	switch what {
	case "mode":
		return os.Chmod(old, info.Mode().Perm()^0o111)
	case "append":
		data = append(data, f.content("")...)
	case "crlf":
		if bytes.Contains(data, []byte("\r\n")) {
			data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
		} else {
			data = bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
		}
	}
	return os.WriteFile(old, data, 0o644)
}

func (f forest) edits(max int) {
	for range rapid.IntRange(1, max).Draw(f.t, "edits") {
		if err := f.edit(); err != nil {
			f.t.Fatal(err)
		}
	}
}

// added is the tree that git itself makes of a workspace, with the steps' own .git.
func added(t *rapid.T, root string) string {
	return gitIn(t, root, [][]string{{"add", "-A"}, {"write-tree"}})
}

func gitIn(t *rapid.T, dir string, commands [][]string) string {
	var out []byte
	for _, args := range commands {
		var err error
		if out, err = git.Output(t.Context(), git.Options{Dir: dir, Transports: []string{"file"}, Config: []string{"user.name=ada", "user.email=ada@example.org"}}, args...); err != nil {
			t.Fatal(err)
		}
	}
	return strings.TrimSuffix(string(out), "\n")
}

// TestDiffsGiveTheTreeAgain: whatever the tree and the edits, the diff applied to a fresh clone, and
// to a fresh workspace, gives the tree that was left, as git itself would record it.
func TestDiffsGiveTheTreeAgain(t *testing.T) {
	checks(t, 10) // trees, three edits of each; many more by hand: -rapid.checks
	s, cache := newSource(t), newCache(t)
	do(t, os.WriteFile(filepath.Join(s.path, ".git/info/attributes"), []byte(rawAttributes), 0o644))
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "case")
		do(t, err)
		defer os.RemoveAll(dir)
		emptyTree(t, s.path)
		forest{rt, s.path}.edits(25)
		do(t, os.WriteFile(filepath.Join(s.path, "always"), []byte("x"), 0o644))
		gitIn(rt, s.path, [][]string{{"read-tree", "--empty"}, {"add", "-A", "-f"}})
		if rapid.Bool().Draw(rt, "submodule") {
			gitIn(rt, s.path, [][]string{{"update-index", "--add", "--cacheinfo", "160000,0123456789012345678901234567890123456789,module"}})
		}
		commit := gitIn(rt, s.path, [][]string{{"commit", "-q", "--allow-empty", "-m", "x"}, {"rev-parse", "HEAD"}})
		lay := func(name string) *Workspace {
			opts := Options{Root: filepath.Join(dir, name), GitDir: filepath.Join(dir, name+".git"), Cache: cache, URL: s.path, Commit: commit, Transports: []string{"file"}}
			do(t, os.Mkdir(opts.Root, 0o755))
			w, err := Prepare(t.Context(), opts)
			if err != nil {
				rt.Fatal(err)
			}
			return w
		}
		for i := range 3 {
			name := fmt.Sprint(i)
			checkEdits(rt, s, lay(name), func() *Workspace { return lay(name + "again") }, filepath.Join(dir, name+"clone"))
		}
	})
}

// checkEdits edits a fresh workspace in two steps and checks the diffs.
func checkEdits(t *rapid.T, s *source, w *Workspace, fresh func() *Workspace, clone string) {
	defer w.Close()
	left := forest{t, w.Root}
	left.edits(12)
	if _, _, err := w.Diff(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	left.edits(6) // and a second step
	d, _, err := w.Diff(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if again, _, err := w.Diff(t.Context(), 0); err != nil || again != d {
		t.Errorf("nothing changed since, but there is another diff: %v", err)
	}
	want := added(t, w.Root)
	if d == nil {
		if got := gitIn(t, w.Root, [][]string{{"rev-parse", w.Commit + "^{tree}"}}); got != want {
			t.Error("no diff, but the trees differ")
		}
		return
	}
	checkClone(t, s, clone, w.Commit, d.Path, want)
	checkApply(t, fresh(), d, want)
}

// checkClone applies a diff to a fresh clone.
func checkClone(t *rapid.T, s *source, dir, commit, patch, want string) {
	gitIn(t, "/", [][]string{{"clone", "-q", "-s", "-n", "--", s.path, dir}})
	if err := os.WriteFile(filepath.Join(dir, ".git/info/attributes"), []byte(rawAttributes), 0o644); err != nil {
		t.Fatal(err)
	}
	gitIn(t, dir, [][]string{{"checkout", "-q", "--detach", commit}, {"apply", "--index", "--whitespace=nowarn", "--", patch}})
	if got := gitIn(t, dir, [][]string{{"write-tree"}}); got != want {
		t.Errorf("the diff gives another tree:\n%s", gitIn(t, dir, [][]string{{"diff-tree", "-r", "--raw", want, got}}))
	}
	status := gitIn(t, dir, [][]string{{"status", "--porcelain", "-z", "--no-renames", "--ignored"}})
	for line := range strings.SplitSeq(status, "\x00") {
		if line != "" && line[1] != ' ' {
			t.Errorf("the index is not the tree: %q", line)
		}
	}
}

// checkApply applies a diff to a fresh workspace.
func checkApply(t *rapid.T, w *Workspace, d *Diff, want string) {
	defer w.Close()
	patch, err := os.ReadFile(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Apply(t.Context(), bytes.NewReader(patch)); err != nil {
		t.Fatal(err)
	}
	again, _, err := w.Diff(t.Context(), 0)
	if err != nil || again == nil {
		t.Fatal("no diff of what was applied", err)
	}
	if got, err := os.ReadFile(again.Path); err != nil || !bytes.Equal(got, patch) {
		t.Errorf("what was applied gives another diff (%v):\n%s\nwas\n%s", err, got, patch)
	}
	if diff := cmp.Diff(d.Changes, again.Changes); diff != "" || d.Diff != again.Diff {
		t.Error(diff)
	}
	// Not all that was left: what git ignores is not in a diff.
	if got := gitIn(t, w.Root, [][]string{{"add", "-A"}, {"write-tree"}}); got != want {
		t.Error("what was applied is another tree")
	}
}

func emptyTree(t *testing.T, root string) {
	t.Helper()
	all, err := os.ReadDir(root)
	do(t, err)
	for _, e := range all {
		if !slices.Contains([]string{".git"}, e.Name()) {
			do(t, os.RemoveAll(filepath.Join(root, e.Name())))
		}
	}
}
