package localrepo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// run runs git in a folder, as a user would.
func run(t testing.TB, dir string, args ...string) string {
	t.Helper()
	opts := git.Options{Dir: dir, Transports: []string{"file"}, Config: []string{"user.name=ada", "user.email=ada@example.org"}}
	out, err := git.Output(t.Context(), opts, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func do(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	do(t, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644))
}

// clone makes a repository with one commit and returns the commit.
func clone(t testing.TB, dir string) string {
	t.Helper()
	run(t, "/", "init", "-q", "-b", "main", "--", dir)
	write(t, filepath.Join(dir, "a.txt"), "one\ntwo\nthree\n")
	write(t, filepath.Join(dir, "sub/b.go"), "package b // find Me\n")
	run(t, dir, "add", "-A")
	run(t, dir, "commit", "-q", "-m", "one")
	return run(t, dir, "rev-parse", "HEAD")
}

func found(t *testing.T, dir string) ([]string, map[string]Repo, []string) {
	t.Helper()
	repos, notes, err := Find(t.Context(), dir)
	do(t, err)
	var names []string
	byName := map[string]Repo{}
	for _, r := range repos {
		names = append(names, r.Name)
		byName[r.Name] = r
	}
	return names, byName, notes
}

func TestFind(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "out")
	clone(t, filepath.Join(dir, "one"))
	clone(t, filepath.Join(dir, "one/nested"))
	clone(t, filepath.Join(dir, "group/ünder/two words"))
	clone(t, outside)
	run(t, filepath.Join(dir, "one"), "worktree", "add", "-q", "-b", "side", filepath.Join(dir, "tree"))
	run(t, dir, "clone", "-q", "--bare", "--upload-pack="+git.LocalUploadPack, "--", filepath.Join(dir, "one"), filepath.Join(dir, "bare.git"))
	clone(t, filepath.Join(dir, "bad\nname"))
	write(t, filepath.Join(dir, "plain/file"), "x")
	write(t, filepath.Join(dir, "fake/.git/HEAD"), "x")
	write(t, filepath.Join(dir, "lies/.git"), "gitdir: /nowhere/at/all\n")
	write(t, filepath.Join(dir, "junk/.git"), strings.Repeat("x", 100_000))
	do(t, os.Mkdir(filepath.Join(dir, "pipe"), 0o755), unix.Mkfifo(filepath.Join(dir, "pipe/.git"), 0o644))
	do(t, os.Symlink("..", filepath.Join(dir, "plain/loop")), os.Symlink(outside, filepath.Join(dir, "link")), os.Symlink("one", filepath.Join(dir, "again")))
	names, byName, notes := found(t, dir)
	want := []string{"bare.git", "group/ünder/two words", "link", "one", "tree"}
	if !slices.Equal(names, want) {
		t.Errorf("found %q, want %q", names, want)
	}
	if r := byName["tree"]; r.GitDir != filepath.Join(dir, "one/.git") || r.Dir != filepath.Join(dir, "tree") || r.Bare {
		t.Errorf("%+v", r)
	}
	if r := byName["bare.git"]; !r.Bare || r.GitDir != filepath.Join(dir, "bare.git") {
		t.Errorf("%+v", r)
	}
	if all := strings.Join(notes, "\n"); !strings.Contains(all, "lies") || !strings.Contains(all, "junk") || !strings.Contains(all, `bad\nname`) {
		t.Errorf("notes %q", notes)
	}
	if names, _, _ := found(t, filepath.Join(dir, "one")); !slices.Equal(names, []string{"one"}) {
		t.Errorf("a repository itself: %q", names)
	}
	if _, _, err := Find(t.Context(), filepath.Join(dir, "nothing")); err == nil {
		t.Error("a folder that is not there")
	}
}

// TestRevision holds what is read here to what git says.
func TestRevision(t *testing.T) {
	dir := t.TempDir()
	one := filepath.Join(dir, "one")
	first := clone(t, one)
	run(t, one, "branch", "feature/x")
	run(t, one, "commit", "-q", "--allow-empty", "-m", "two")
	second := run(t, one, "rev-parse", "HEAD")
	run(t, one, "worktree", "add", "-q", "-b", "side", filepath.Join(dir, "tree"), first)
	run(t, dir, "clone", "-q", "--upload-pack="+git.LocalUploadPack, "--", one, filepath.Join(dir, "copy"))
	run(t, one, "symbolic-ref", "refs/heads/alias", "refs/heads/feature/x")
	check := func(name, branch, ref, commit string) {
		t.Helper()
		r, err := Open(filepath.Join(dir, name))
		do(t, err)
		gotRef, got, err := r.Revision(t.Context(), branch)
		if err != nil || gotRef != ref || got != commit {
			t.Errorf("%s at %q: %s %s, %v; want %s %s", name, branch, gotRef, got, err, ref, commit)
		}
	}
	all := func() {
		t.Helper()
		check("one", "", "refs/heads/main", second)
		check("one", "main", "refs/heads/main", second)
		check("one", "refs/heads/feature/x", "refs/heads/feature/x", first)
		check("one", "alias", "refs/heads/alias", first)
		check("tree", "", "refs/heads/side", first)
		check("tree", "main", "refs/heads/main", second)
		check("copy", "feature/x", "refs/heads/feature/x", first) // the origin's
	}
	all()
	run(t, one, "pack-refs", "--all")
	if _, err := os.Stat(filepath.Join(one, ".git/refs/heads/main")); err == nil {
		t.Fatal("nothing was packed")
	}
	all()
	run(t, one, "commit", "-q", "--allow-empty", "-m", "three") // loose again, over a packed one
	third := run(t, one, "rev-parse", "HEAD")
	check("one", "", "refs/heads/main", third)
	run(t, one, "checkout", "-q", "--detach", first)
	check("one", "", "HEAD", first)
	r, err := Open(one)
	do(t, err)
	for _, branch := range []string{"nope", "feature", "feature/x/y"} {
		if _, _, err := r.Revision(t.Context(), branch); !errors.Is(err, glovebox.ErrNotFound) {
			t.Errorf("%q: %v", branch, err)
		}
	}
	for _, branch := range []string{"../../HEAD", "-x", "a b", "refs/tags/v1", "x\x00", "HEAD~1"} {
		if _, _, err := r.Revision(t.Context(), branch); err == nil {
			t.Errorf("%q was taken", branch)
		}
	}
	run(t, "/", "init", "-q", "--", filepath.Join(dir, "fresh"))
	if r, err := Open(filepath.Join(dir, "fresh")); err != nil {
		t.Error(err)
	} else if _, _, err := r.Head(t.Context()); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("no commit: %v", err)
	}
}

func TestHostileRefs(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "TOPSECRET\n")
	for name, spoil := range map[string]func(gitDir string) error{
		"large HEAD":     func(d string) error { return os.WriteFile(d+"/HEAD", make([]byte, 1<<20), 0o644) },
		"HEAD a pipe":    func(d string) error { return errors.Join(os.Remove(d+"/HEAD"), unix.Mkfifo(d+"/HEAD", 0o644)) },
		"HEAD elsewhere": func(d string) error { return os.WriteFile(d+"/HEAD", []byte("ref: ../../../"+secret+"\n"), 0o644) },
		"ref a link": func(d string) error {
			return errors.Join(os.Remove(d+"/refs/heads/main"), os.Symlink(secret, d+"/refs/heads/main"))
		},
		"ref is text": func(d string) error { return os.WriteFile(d+"/refs/heads/main", []byte("TOPSECRET"), 0o644) },
		"ref loop": func(d string) error {
			return os.WriteFile(d+"/refs/heads/main", []byte("ref: refs/heads/main\n"), 0o644)
		},
	} {
		dir := filepath.Join(t.TempDir(), "r")
		clone(t, dir)
		do(t, spoil(filepath.Join(dir, ".git")))
		r, err := Open(dir)
		if err != nil {
			continue
		}
		start := time.Now()
		if ref, commit, err := r.Head(t.Context()); err == nil || strings.Contains(err.Error(), "TOPSECRET") {
			t.Errorf("%s: %s %s %v", name, ref, commit, err)
		}
		if time.Since(start) > 10*time.Second {
			t.Errorf("%s: took %s", name, time.Since(start))
		}
	}
}

func FuzzPackedRef(f *testing.F) {
	f.Add([]byte("# pack-refs with: peeled fully-peeled sorted \n0123456789012345678901234567890123456789 refs/heads/main\n^0123456789012345678901234567890123456789\n"))
	f.Add([]byte(" refs/heads/main\n refs/heads/main\n"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		if object, err := packedRef(packed, "refs/heads/main"); err == nil && !git.IsObjectName(object) {
			t.Fatalf("%q", object)
		}
	})
}

func TestLook(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r")
	clone(t, dir)
	write(t, filepath.Join(dir, "odd\nname"), "find me (1)\n")
	write(t, filepath.Join(dir, "binary"), "find me\x00")
	mark := filepath.Join(t.TempDir(), "mark")
	write(t, filepath.Join(dir, ".gitattributes"), "* diff=evil\n")
	run(t, dir, "config", "diff.evil.textconv", "touch "+mark+";cat")
	run(t, dir, "config", "core.pager", "touch "+mark)
	run(t, dir, "add", "-A")
	run(t, dir, "commit", "-q", "-m", "two")
	r, err := Open(dir)
	do(t, err)
	_, commit, err := r.Head(t.Context())
	do(t, err)
	files, err := r.Files(t.Context(), commit)
	if want := []string{".gitattributes", "a.txt", "binary", "odd\nname", "sub/b.go"}; err != nil || !slices.Equal(files, want) {
		t.Errorf("%q, %v", files, err)
	}
	for _, c := range []struct {
		p    Pattern
		want []string
	}{
		{Pattern{Text: "find me"}, []string{"odd\nname"}},
		{Pattern{Text: "find me", IgnoreCase: true}, []string{"odd\nname", "sub/b.go"}},
		{Pattern{Text: "me (1)"}, []string{"odd\nname"}},
		{Pattern{Text: `^find\s.*\(\d\)$`, Regexp: true}, []string{"odd\nname"}},
		{Pattern{Text: "-e"}, nil},
		{Pattern{Text: "not there"}, nil},
	} {
		if got, err := r.Grep(t.Context(), commit, c.p); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, %v", c.p, got, err)
		}
	}
	for _, p := range []Pattern{{}, {Text: "a\nb"}, {Text: "(", Regexp: true}, {Text: "x\x00"}} {
		if got, err := r.Grep(t.Context(), commit, p); err == nil {
			t.Errorf("%+v: %q", p, got)
		}
	}
	if tree, err := r.Tree(t.Context(), commit); err != nil || tree != run(t, dir, "rev-parse", "HEAD^{tree}") {
		t.Error(tree, err)
	}
	for _, commit := range []string{"HEAD", "--all", strings.Repeat("0", 40), ""} {
		if files, err := r.Files(t.Context(), commit); err == nil {
			t.Errorf("%q: %q", commit, files)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the repository ran a program")
	}
}

// BenchmarkFind finds 500 repositories; BenchmarkHeads reads the head of each besides.
func BenchmarkFind(b *testing.B)  { benchmark(b, false) }
func BenchmarkHeads(b *testing.B) { benchmark(b, true) }

func benchmark(b *testing.B, heads bool) {
	dir := b.TempDir()
	first := filepath.Join(dir, "group0/r0")
	clone(b, first)
	run(b, first, "pack-refs", "--all")
	for i := 1; i < 500; i++ {
		to := filepath.Join(dir, fmt.Sprintf("group%d/r%d", i%10, i))
		do(b, os.MkdirAll(filepath.Dir(to), 0o755), os.CopyFS(to, os.DirFS(first)))
	}
	b.ResetTimer()
	for b.Loop() {
		repos, _, err := Find(b.Context(), dir)
		if err != nil || len(repos) != 500 {
			b.Fatal(len(repos), err)
		}
		for _, r := range repos {
			if !heads {
				break
			}
			if _, _, err := r.Head(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}
